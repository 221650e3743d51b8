"""The training in the page is torch's, step by step, and the reader steers it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor, nn
from torch.nn import functional as F

from segtut.widgets import GanTrainer
from segtut.widgets.gan_trainer import SLOPE, point_sets

ROUNDS, BATCH = 12, 16


def network(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, dtype=torch.float64), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


def flat(player: nn.Module) -> list[float]:
    return nn.utils.parameters_to_vector(player.parameters()).detach().tolist()


def penalty(discriminator: nn.Module, real: Tensor, r1: float) -> Tensor:
    leaf = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(leaf).sum(), leaf, create_graph=True)
    return r1 / 2 * slope.square().sum(dim=1).mean()


def trained_by_torch(
    generator: nn.Module,
    discriminator: nn.Module,
    reals: list[Tensor],
    noises: list[Tensor],
    settings: dict[str, Any],
    betas: tuple[float, float],
) -> list[tuple[float, float]]:
    """Losses of the two, round by round; the networks are trained in place."""
    reals, noises = list(reals), list(noises)
    improve_d = torch.optim.Adam(
        discriminator.parameters(), lr=settings["discriminatorRate"], betas=betas
    )
    improve_g = torch.optim.Adam(generator.parameters(), lr=settings["generatorRate"], betas=betas)
    losses = []
    for _ in range(ROUNDS):
        for _ in range(settings["discriminatorSteps"]):
            real, fake = reals.pop(0), generator(noises.pop(0)).detach()
            critical = F.softplus(-discriminator(real)).mean()
            critical = critical + F.softplus(discriminator(fake)).mean()
            critical = critical + penalty(discriminator, real, settings["r1"])
            improve_d.zero_grad()
            critical.backward()
            improve_d.step()
        score = discriminator(generator(noises.pop(0)))
        if settings["loss"] == "minimax":
            loss = (1 - score.sigmoid()).log().mean()
        else:
            loss = -score.sigmoid().log().mean()
        improve_g.zero_grad()
        loss.backward()
        improve_g.step()
        losses.append((critical.item(), loss.item()))
    return losses


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
@pytest.mark.parametrize(("r1", "steps"), [(0.0, 1), (0.3, 1), (1.0, 3)])
def test_steps_are_those_of_torch(run_script, loss: str, r1: float, steps: int) -> None:
    torch.manual_seed(0)
    sizes = {"generator": [3, 7, 5, 2], "discriminator": [2, 6, 8, 1]}
    generator, discriminator = (network(sizes[name]) for name in sizes)
    start = {"generator": flat(generator), "discriminator": flat(discriminator)}
    reals = [torch.randn(BATCH, 2, dtype=torch.float64) for _ in range(ROUNDS * steps)]
    noises = [torch.randn(BATCH, 3, dtype=torch.float64) for _ in range(ROUNDS * (steps + 1))]
    settings = {"loss": loss, "r1": r1, "discriminatorSteps": steps}
    settings |= {"generatorRate": 0.01, "discriminatorRate": 0.02}
    case = [
        {**sizes, "slope": SLOPE, "betas": [0.5, 0.999]},
        start,
        [real.flatten().tolist() for real in reals],
        [noise.flatten().tolist() for noise in noises],
        ROUNDS,
        settings,
    ]
    (found,) = run_script(GanTrainer, "replay", [case])
    losses = trained_by_torch(generator, discriminator, reals, noises, settings, (0.5, 0.999))
    for shown, (critical, loss_value) in zip(found["losses"], losses, strict=True):
        assert shown["discriminator"] == pytest.approx(critical, abs=1e-8)
        assert shown["generator"] == pytest.approx(loss_value, abs=1e-8)
    assert found["generator"] == pytest.approx(flat(generator), abs=1e-7)
    assert found["discriminator"] == pytest.approx(flat(discriminator), abs=1e-7)
    moved = np.abs(np.array(found["generator"]) - start["generator"])
    assert moved.mean() > 0.01


def counted(name: str, points: np.ndarray) -> tuple[list[int], int, float]:
    """Points in each part, parts covered and share in place, by numpy."""
    chosen = next(one for one in point_sets() if one.name == name)
    gaps = np.linalg.norm(points[:, None] - np.array(chosen.anchors), axis=2)
    near = gaps.min(axis=1) <= 3 * chosen.std
    parts = np.array(chosen.pieces)[gaps.argmin(axis=1)[near]]
    hits = np.bincount(parts, minlength=max(chosen.pieces) + 1)
    return hits.tolist(), int((hits >= 0.01 * len(points)).sum()), float(near.mean())


@pytest.mark.parametrize("chosen", point_sets(), ids=lambda one: one.name)
def test_coverage_is_counted_as_by_numpy(run_script, chosen) -> None:
    generator = np.random.default_rng(0)
    real = chosen.draw(1000, generator)
    crowd = np.concatenate([real[:4], 0.01 * generator.standard_normal((996, 2)) + real[:1]])
    everywhere = generator.uniform(-1.5, 1.5, (1000, 2))
    state = GanTrainer().sets[[one.name for one in point_sets()].index(chosen.name)]
    cases = [[state, points.flatten().tolist()] for points in (real, crowd, everywhere)]
    for found, points in zip(
        run_script(GanTrainer, "coverage", cases), (real, crowd, everywhere), strict=True
    ):
        hits, covered, near = counted(chosen.name, points)
        assert found["hits"] == hits
        assert found["covered"] == covered
        assert found["near"] == pytest.approx(near)
    assert counted(chosen.name, real)[1] == max(chosen.pieces) + 1
    assert counted(chosen.name, real)[2] > 0.97
    assert counted(chosen.name, crowd)[1] <= 2


def shown(page: Page) -> dict[str, str]:
    names = page.locator(".st-tiles dt").all_inner_texts()
    return dict(zip(names, page.locator(".st-tiles dd").all_inner_texts(), strict=True))


def covered(page: Page) -> int:
    return int(shown(page)["Covered"].split()[0])


def picture(page: Page) -> str:
    return str(page.locator(".st-arena canvas").evaluate("node => node.toDataURL()"))


def hurried(figure: GanTrainer) -> GanTrainer:
    """The figure, but Play takes 40 steps where nothing may move: enough to tell two runs apart."""
    assert "AT_ONCE = 300" in figure._esm
    figure._esm = figure._esm.replace("AT_ONCE = 300", "AT_ONCE = 40")
    return figure


def test_step_by_mouse_and_by_key(open_figure) -> None:
    page = open_figure(GanTrainer())
    assert shown(page)["Step"] == "0"
    before = picture(page)
    step = page.get_by_role("button", name="Step", exact=True)
    step.click()
    assert shown(page)["Step"] == "1"
    assert picture(page) != before
    step.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert shown(page)["Step"] == "3"
    assert "Step 3" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Start over").click()
    assert shown(page)["Step"] == "0"
    assert picture(page) == before
    page.get_by_role("button", name="Another start").click()
    assert picture(page) != before


def test_the_same_start_gives_the_same_steps(open_figure) -> None:
    pages = [open_figure(hurried(GanTrainer(seed=3)), reduced_motion="reduce") for _ in range(2)]
    for page in pages:
        page.get_by_role("button", name="Play").click()
    assert shown(pages[0]) == shown(pages[1])
    assert picture(pages[0]) == picture(pages[1])


def test_play_and_pause(open_figure) -> None:
    page = open_figure(GanTrainer())
    play = page.get_by_role("button", name="Play")
    play.focus()
    page.keyboard.press("Space")
    pause = page.get_by_role("button", name="Pause")
    page.wait_for_function("() => +document.querySelector('.st-tiles dd').textContent > 3")
    pause.click()
    at = shown(page)["Step"]
    assert int(at.replace(",", "")) > 3
    page.wait_for_timeout(150)
    assert shown(page)["Step"] == at
    assert f"Step {at}" in page.get_by_role("status").inner_text()


def test_reduced_motion_takes_the_steps_at_once(open_figure) -> None:
    page = open_figure(GanTrainer(), reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    assert shown(page)["Step"] == "300"


def test_a_hasty_generator_collapses_and_exchanged_rates_bring_it_back(open_figure) -> None:
    figure = GanTrainer(loss="non_saturating", generator_rate=5e-3, discriminator_rate=1e-3)
    page = open_figure(figure, reduced_motion="reduce")
    play = page.get_by_role("button", name="Play")
    play.click()
    play.click()
    assert covered(page) <= 4
    assert "mode collapse" in page.get_by_role("status").inner_text()
    page.get_by_role("slider", name="Rate of G").fill("-3")
    page.get_by_role("slider", name="Rate of D").fill("-2.3")
    for _ in range(3):
        play.click()
    assert covered(page) == 8


def test_controls_reach_the_training(open_figure) -> None:
    page = open_figure(hurried(GanTrainer()), reduced_motion="reduce")
    play, over = (page.get_by_role("button", name=name) for name in ("Play", "Start over"))
    seen = []
    for change in (
        lambda: None,
        lambda: page.get_by_role("radio", name="non-saturating").check(force=True),
        lambda: page.get_by_role("slider", name="R1 penalty").press("ArrowRight"),
        lambda: page.get_by_role("slider", name="Rate of G").press("ArrowRight"),
        lambda: page.get_by_role("slider", name="Rate of D").press("ArrowLeft"),
        lambda: page.get_by_role("slider", name="Steps of D").press("ArrowRight"),
        lambda: page.get_by_role("radio", name="nine Gaussians").check(force=True),
    ):
        over.click()
        change()
        play.click()
        seen.append(picture(page))
    assert len(set(seen)) == len(seen)
    assert shown(page)["Covered"].endswith("of 9")


def test_noise_and_batches_have_the_right_spread(open_figure) -> None:
    """The crosses drawn in the page lie in place: the discriminator's mean on them is a share."""
    page = open_figure(GanTrainer(data="spiral"))
    assert shown(page)["Covered"].endswith("of 12")
    assert re.fullmatch(r"\d+\s%, \d+\s%", shown(page)["D on real, generated"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": "moons"}, "data is 'moons', expected one of ring, square, spiral"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"r1": 0.5}, "r1 is 0.5"),
        ({"discriminator_steps": 6}, "discriminator_steps is 6"),
        ({"generator_rate": 1.0}, "learning rates"),
        ({"beta": 1.0}, "beta 1.0"),
        ({"noise": 0}, "0"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        GanTrainer(**changes)
