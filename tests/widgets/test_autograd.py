"""The stepped graph shows the values and gradients that torch computes, and can be steered."""

from __future__ import annotations

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

from segtut.widgets import AutogradGraph
from segtut.widgets.base import state_weight

INPUTS = {"x1": 0.3, "x2": -0.7, "w1": 1.2, "w2": -0.4, "b": 0.15, "u0": 0.8, "u1": -1.1}


def shown(page) -> str:
    return page.get_by_role("status").inner_text().replace("−", "-")


def table(page) -> list[list[str]]:
    rows = page.locator("tbody tr").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    return [[text.replace("−", "-") for text in row] for row in cells]


def boxes(page) -> dict[str, list[str]]:
    """Value and gradient in the picture's boxes, by node."""
    texts = [group.locator("text").all_text_contents() for group in page.locator("svg g").all()]
    plain = str.maketrans("₀₁₂−", "012-")
    texts = [[text.translate(plain) for text in box] for box in texts]
    return {name: rest[:2] for name, *rest in texts}


def button(page, name: str):
    return page.get_by_role("button", name=name)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("label", [0, 1])
def test_stages_end_with_torchs_gradients(run_script, activation, label: int) -> None:
    figure = AutogradGraph(INPUTS, activation=activation, label=label)
    (stages,) = run_script(
        AutogradGraph, "trace", [[figure.nodes, figure.inputs, activation, label]]
    )
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in INPUTS.items()
    }
    hidden = leaves["w1"] * leaves["x1"] + leaves["w2"] * leaves["x2"] + leaves["b"]
    hidden = hidden.relu() if activation == "relu" else hidden.sigmoid()
    logits = torch.stack([leaves["u0"] * hidden, leaves["u1"] * hidden])
    loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([label]))
    loss.backward()
    assert stages[-1]["values"]["L"] == pytest.approx(loss.item(), abs=1e-12)
    for name, leaf in leaves.items():
        assert stages[-1]["gradients"][name] == pytest.approx(leaf.grad.item(), abs=1e-12)


def test_one_node_a_stage_and_h_is_added_up(run_script) -> None:
    figure = AutogradGraph(INPUTS)
    (stages,) = run_script(AutogradGraph, "trace", [[figure.nodes, figure.inputs, "relu", 1]])
    forward = [stage["node"] for stage in stages if stage["kind"] == "forward"]
    back = [stage["node"] for stage in stages if stage["kind"] == "backward"]
    assert forward == ["m1", "m2", "a", "h", "z0", "z1", "L"]
    assert back == forward[::-1]
    parts = [sent for stage in stages for sent in stage["sent"] if sent["to"] == "h"]
    assert len(parts) == 2
    assert parts[1]["sum"] == pytest.approx(parts[0]["product"] + parts[1]["product"])
    for stage in stages:
        for sent in stage["sent"]:
            assert sent["product"] == pytest.approx(sent["slope"] * sent["incoming"])


def test_any_graph_is_differentiated(run_script) -> None:
    # q is used three times, twice in one product
    nodes = [
        {"name": "s", "operation": "input", "inputs": []},
        {"name": "q", "operation": "activation", "inputs": ["s"]},
        {"name": "r", "operation": "multiply", "inputs": ["q", "q"]},
        {"name": "t", "operation": "add", "inputs": ["r", "q", "s"]},
    ]
    (stages,) = run_script(AutogradGraph, "trace", [[nodes, {"s": 0.4}, "sigmoid", 0]])
    s = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    (s.sigmoid() ** 2 + s.sigmoid() + s).backward()
    assert stages[-1]["gradients"]["s"] == pytest.approx(s.grad.item(), abs=1e-12)


def test_arrow_keys_step_both_ways(open_figure) -> None:
    page = open_figure(AutogradGraph())
    graph = page.get_by_role("application")
    graph.focus()
    assert "step 7 of 15" in (graph.get_attribute("aria-label") or "")
    page.keyboard.press("Home")
    assert boxes(page)["m1"] == ["", ""]
    page.keyboard.press("ArrowRight")
    assert boxes(page)["m1"] == ["0.160", ""]
    assert "m₁ = w₁ · x₁ = 0.800 · 0.200 = 0.160" in shown(page)
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert "step 14 of 15" in (graph.get_attribute("aria-label") or "")
    found = {name: boxes(page)[name] for name in ("x1", "h", "L")}
    tensors = AutogradGraph()._tensors()
    assert found["x1"][1] == ""  # the last to get its gradient
    for name in ("h", "L"):
        assert found[name] == [f"{tensors[name]:.3f}", f"{tensors[name].grad:.3f}"]


def test_mouse_steps_to_where_h_is_used_twice(open_figure) -> None:
    page = open_figure(AutogradGraph())
    for _ in range(4):
        button(page, "step ▶").click()
    tensors = AutogradGraph()._tensors()
    assert "h is used twice" in shown(page)
    assert table(page)[1] == [
        "h", "u₀ = 1.000", f"{tensors['z0'].grad:.3f}", f"{tensors['z0'].grad:.3f}",
        f"{tensors['h'].grad:.3f}",
    ]  # fmt: skip
    button(page, "back").click()
    assert "used twice" not in shown(page)


def test_inputs_activation_and_class_change_the_numbers(open_figure) -> None:
    page = open_figure(AutogradGraph())
    button(page, "to the end").click()
    page.get_by_label("b", exact=True).fill("-3")
    assert boxes(page)["h"][0] == "0.000"
    assert boxes(page)["w1"][1] == "0.000"  # nothing passes a ReLU that is off
    page.get_by_role("radio", name="sigmoid(a)").check(force=True)
    page.get_by_role("radio", name="0", exact=True).check(force=True)
    tensors = AutogradGraph({"b": -3}, activation="sigmoid", label=0)._tensors()
    for name in ("w1", "h", "z1", "L"):
        assert boxes(page)[name] == [f"{tensors[name]:.3f}", f"{tensors[name].grad:.3f}"]


def test_a_number_out_of_range_changes_nothing(open_figure) -> None:
    page = open_figure(AutogradGraph())
    field = page.get_by_label("w1", exact=True)
    field.fill("99")
    field.blur()
    assert field.input_value() == "0.8"
    assert boxes(page)["w1"][0] == "0.800"


def test_only_the_optimizer_changes_weights(open_figure) -> None:
    page = open_figure(AutogradGraph())
    update = button(page, "optimizer step")
    assert update.get_attribute("aria-disabled") == "true"
    button(page, "to the end").click()
    before = AutogradGraph()._tensors()
    assert boxes(page)["w2"][0] == "0.500"
    update.click()
    expected = before["w2"].item() - 0.5 * before["w2"].grad.item()
    assert boxes(page)["w2"] == [f"{expected:.3f}", ""]
    assert boxes(page)["x1"][0] == "0.200"
    assert float(boxes(page)["L"][0]) < before["L"].item()


def test_accessible_on_the_way_back(open_figure) -> None:
    page = open_figure(AutogradGraph(), width=390)
    button(page, "to the end").click()
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found = Axe().run(page, context=".segtut-figure").response["violations"]
        assert [(item["id"], item["nodes"][0]["html"]) for item in found] == []


def test_words_give_the_numbers() -> None:
    figure = AutogradGraph()
    tensors = figure._tensors()
    assert f"L = {tensors['L']:.3f}" in figure.alternative_text()
    assert f"by h, {tensors['h'].grad:.3f}" in figure.alternative_text()
    assert state_weight(figure) < 60_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"values": {"w3": 1.0}}, "w3; the graph's inputs are x1, x2"),
        ({"values": {"w1": 11}}, "w1 is 11, expected a number from -10 to 10"),
        ({"values": {"w1": float("nan")}}, "w1 is nan"),
        ({"activation": "tanh"}, "'tanh' and label 1"),
        ({"label": 2}, "label of 0 or 1"),
    ],
)
def test_what_does_not_fit_is_refused(options, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AutogradGraph(**options)
