"""What counts as a label map, and what the message says when it is none."""

import pytest
import torch

from segtut.labels import check_label_map


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_classes_and_void_pass(dtype: torch.dtype) -> None:
    check_label_map(torch.tensor([[0, 20], [255, 3]], dtype=dtype), 21, 255)


def test_a_value_beyond_the_classes_is_named_and_counted() -> None:
    with pytest.raises(ValueError, match=r"holds the value 37 in 2 of 4 pixels.*0 to 20, or 255"):
        check_label_map(torch.tensor([[0, 37], [255, 37]]), 21, 255)


def test_the_first_value_beyond_the_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="value 11 in 1 of 2"):
        check_label_map(torch.tensor([10, 11]), 11, 255)


def test_negative_values_are_an_error() -> None:
    with pytest.raises(ValueError, match="value -1 in 1 of 2"):
        check_label_map(torch.tensor([0, -1]), 2, 255)


def test_void_is_an_error_where_none_may_be() -> None:
    with pytest.raises(ValueError, match="the prediction holds the value 255"):
        check_label_map(torch.tensor([0, 255], dtype=torch.uint8), 2, None, name="prediction")


@pytest.mark.parametrize("labels", [torch.zeros(2), torch.zeros(2, dtype=torch.bool)])
def test_types_that_are_not_whole_numbers_are_an_error(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"type torch\.(float32|bool).*argmax"):
        check_label_map(labels, 2, 255)
