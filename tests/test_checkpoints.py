"""Files that are whole or not there, and errors that say which file does not fit and why."""

from __future__ import annotations

import pickle
import resource
import signal
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segtut import checkpoints
from segtut.checkpoints import Description, load_model, load_weights, read, save_model, write
from tests.blocks import Blocks, fresh_processes, small_unet

UNET = Description("unet", Blocks.classes, Blocks.palette, {"width": 4, "depth": 2}, shorter=24)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "folder" / "model.safetensors"
    save_model(path, UNET.build(), UNET)
    return path


def test_model_comes_back_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = UNET.build()
    model(torch.rand(2, 3, 8, 8))  # moves the running statistics
    save_model(tmp_path / "m", model, UNET)
    torch.manual_seed(1)
    loaded, description = load_model(tmp_path / "m")
    assert description == UNET
    assert not loaded.training
    images = torch.rand(1, 3, 9, 7)
    assert torch.equal(loaded(images), model.eval()(images))


def test_file_may_be_read_by_others_and_is_alone(model_file: Path) -> None:
    assert stat.S_IMODE(model_file.stat().st_mode) == 0o644
    assert list(model_file.parent.iterdir()) == [model_file]


def test_tensors_and_header_of_any_kind(tmp_path: Path) -> None:
    tensors = {
        "transposed": torch.arange(6).reshape(2, 3).T,
        "half": torch.rand(3).bfloat16(),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "gradient": torch.rand(2, requires_grad=True),
    }
    header = {"step": 3, "rate": 0.1 + 0.2, "text": "ü"}
    write(tmp_path / "x", tensors, header)
    found, found_header = read(tmp_path / "x")
    assert found_header == header
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*absent.*segtut train"):
        load_model(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_model(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(model_file: Path, share: float) -> None:
    content = model_file.read_bytes()
    model_file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file, or is"):
        load_model(model_file)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / "pickle").write_bytes(pickle.dumps(Trap(sprung)))
    torch.save({"weight": torch.zeros(2), "trap": Trap(sprung)}, tmp_path / "torch")
    for name in ("pickle", "torch"):
        with pytest.raises(ValueError, match=f"{name} is not a safetensors file"):
            load_model(tmp_path / name)
    assert not sprung.exists()


def test_files_of_other_programs_and_other_kinds(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="segtut did not write it"):
        load_model(tmp_path / "foreign")
    write(tmp_path / "run", {}, {"kind": "unfinished run"})
    with pytest.raises(ValueError, match=r"holds a unfinished run, not a trained model"):
        load_model(tmp_path / "run")


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (Description("unet", ("a", "b"), ((0, 0, 0), (1, 1, 1)), UNET.options), "other classes"),
        (
            Description("unet", UNET.classes, UNET.palette, {"width": 8, "depth": 2}),
            "other options",
        ),
        (
            Description(
                "unet", UNET.classes, UNET.palette, {**UNET.options, "upsample": "transposed"}
            ),
            "has no tensor",
        ),
        (Description("classifier_fcn", UNET.classes, UNET.palette), "another model"),
    ],
)
def test_weights_that_do_not_fit_the_description(
    tmp_path: Path, other: Description, text: str
) -> None:
    save_model(tmp_path / "m", UNET.build(), other)
    with pytest.raises(ValueError, match=text):
        load_model(tmp_path / "m")


def test_superfluous_and_missing_tensors_are_named() -> None:
    model = small_unet()
    weights = model.state_dict()
    with pytest.raises(ValueError, match=r"from afar has a tensor 'extra\.weight'"):
        load_weights(model, {**weights, "extra.weight": torch.zeros(1)}, "from afar")
    gone = next(iter(weights))
    with pytest.raises(ValueError, match=f"from afar has no tensor '{gone}'"):
        load_weights(model, {k: v for k, v in weights.items() if k != gone}, "from afar")


def test_misfit_leaves_the_network_as_it_was() -> None:
    model = small_unet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrong = {name: torch.ones_like(value) for name, value in before.items()}
    wrong["head.weight"] = torch.ones(9, 4, 1, 1)
    with pytest.raises(ValueError, match=r"\(9, 4, 1, 1\) where this model has \(3, 4, 1, 1\)"):
        load_weights(model, wrong, "a file")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# Writing is all or nothing


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_full_disk_leaves_the_old_file_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    write(path, {"x": torch.zeros(3)}, {"step": 1})
    try:
        limit_files(50_000)
        with pytest.raises(OSError, match=r"run\.safetensors"):
            write(path, {"x": torch.ones(100_000)}, {"step": 2})
    finally:
        limit_files(resource.RLIM_INFINITY)
    assert read(path)[1] == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def _die_while_writing(path: Path) -> None:
    # The kernel ends the process in the middle of the write, as SIGKILL or a power cut would.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_files(50_000)
    write(path, {"x": torch.ones(100_000)}, {"step": 2})


def test_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    write(path, {"x": torch.zeros(3)}, {"step": 1})
    process = fresh_processes().Process(target=_die_while_writing, args=(path,))
    process.start()
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGXFSZ
    (half,) = set(tmp_path.iterdir()) - {path}
    assert half.stat().st_size == 50_000
    assert read(path)[1] == {"step": 1}
    write(path, {"x": torch.ones(2)}, {"step": 2})
    assert read(path)[1] == {"step": 2}


def test_interruption_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x", {"x": torch.zeros(3)}, {})
    assert list(tmp_path.iterdir()) == []
