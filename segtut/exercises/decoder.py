"""Checks of section 3.3.2: pixel shuffle, counted gradients, blur, the two terms of a VAE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import conv2d, interpolate, pixel_shuffle

from segtut.exercises.registry import Fault, call, exercise, number


@exercise("3.3.2-shuffle")
def check_shuffle(answer: Callable[[Tensor, int], Tensor]) -> str:
    """answer: (maps (N, C * r * r, H, W), r) -> (N, C, r * H, r * W), as torch's pixel shuffle."""
    for n, channels, height, width, factor in ((1, 1, 2, 3, 2), (2, 3, 2, 3, 2), (1, 2, 3, 2, 3)):
        # Every value names its place, so that a wrong order cannot be right by luck.
        size = (n, channels * factor**2, height, width)
        maps = torch.arange(float(torch.Size(size).numel())).view(size)
        right = pixel_shuffle(maps, factor)
        found = torch.as_tensor(call(answer, maps.clone(), factor)).float()
        case = f"maps {size} and r = {factor}"
        if found.shape != right.shape:
            raise Fault(f"{case}: the result is {tuple(found.shape)}, expected "
                        f"{tuple(right.shape)}, r times as high and wide.")  # fmt: skip
        if torch.equal(found, right):
            continue
        grid = maps.unflatten(1, (channels, factor, factor))
        if torch.equal(found, _lay_out(grid.transpose(2, 3))):
            raise Fault(f"{case}: rows and columns within a block are exchanged. Channel r * a + b "
                        "of a group goes to row a, column b.")  # fmt: skip
        strided = maps.unflatten(1, (factor, factor, channels)).permute(0, 3, 1, 2, 4, 5)
        if torch.equal(found, _lay_out(strided)):
            raise Fault(f"{case}: the channels are taken {channels} apart. The r * r channels that "
                        "make one output channel follow each other.")  # fmt: skip
        if torch.equal(found, maps.reshape(right.shape)):
            raise Fault(f"{case}: the numbers kept their order in memory; a view alone moves none "
                        "to another row. Exchange axes between two reshapes.")  # fmt: skip
        raise Fault(f"{case}: the values are not where they belong. Pixel (y, x) of channel "
                    "r * a + b goes to (r * y + a, r * x + b).")  # fmt: skip
    return "each group of r * r channels became the blocks of one map, as in torch."


def _lay_out(grid: Tensor) -> Tensor:
    """(N, C, r, r, H, W) to (N, C, r * H, r * W)."""
    n, channels, factor, _, height, width = grid.shape
    mixed = grid.permute(0, 1, 4, 2, 5, 3)
    return mixed.reshape(n, channels, height * factor, width * factor)


@exercise("3.3.2-icnr")
def check_icnr(answer: Callable[[Tensor, int], Tensor]) -> str:
    """answer: (kernels (C, C_in, K, K), r) -> (C * r * r, C_in, K, K) that shuffle without a grid.

    With them, convolving and shuffling equals convolving with `kernels` and repeating each value.
    """
    generator = torch.Generator().manual_seed(0)
    for channels, entering, factor in ((1, 2, 2), (3, 2, 2), (2, 1, 3)):
        kernels = torch.randn(channels, entering, 3, 3, generator=generator)
        found = torch.as_tensor(call(answer, kernels.clone(), factor)).float()
        right = kernels.repeat_interleave(factor**2, dim=0)
        case = f"{channels} kernels and r = {factor}"
        if found.shape != right.shape:
            raise Fault(f"{case}: the result is {tuple(found.shape)}, expected "
                        f"{tuple(right.shape)}: r * r kernels for each of them.")  # fmt: skip
        if torch.allclose(found, right, atol=1e-6):
            continue
        if torch.allclose(found, kernels.repeat(factor**2, 1, 1, 1), atol=1e-6):
            raise Fault(f"{case}: the kernels follow each other as 1 2 3, 1 2 3, ...; the shuffle "
                        "takes neighbors for a block, so 1 1 1 1, 2 2 2 2, ... is wanted "
                        "(repeat_interleave, not repeat).")  # fmt: skip
        if torch.allclose(found, right / factor**2, atol=1e-6):
            raise Fault(f"{case}: the kernels are divided by r * r. The shuffle adds nothing up; "
                        "each output value comes from one kernel.")  # fmt: skip
        maps = torch.randn(1, entering, 5, 6, generator=generator)
        shuffled = pixel_shuffle(conv2d(maps, found), factor)
        repeated = interpolate(conv2d(maps, kernels), scale_factor=factor)
        worst = (shuffled - repeated).abs().max()
        raise Fault(f"{case}: convolved and shuffled, a map differs by up to {worst:.2g} from the "
                    "map convolved with the given kernels and repeated.")  # fmt: skip
    return "convolve and shuffle now begins as convolve and repeat, without a grid."


@exercise("3.3.2-gradient-counts")
def check_gradient_counts(answer: Callable[[int, int, int], Sequence[int]]) -> str:
    """answer: (size, kernel, stride) -> how many outputs read each pixel of a line, no padding."""
    for size, kernel, stride in ((9, 3, 2), (10, 3, 2), (10, 4, 2), (11, 2, 3), (12, 5, 3)):
        outputs = (size - kernel) // stride + 1
        right = [
            sum(0 <= pixel - stride * output < kernel for output in range(outputs))
            for pixel in range(size)
        ]
        found = [number(value) for value in call(answer, size, kernel, stride)]
        case = f"{size} pixels, kernel {kernel}, stride {stride}"
        if len(found) != size:
            raise Fault(f"{case}: {len(found)} counts came back, one for each of the {size} pixels "
                        "is asked for.")  # fmt: skip
        if found == right:
            continue
        endless = [len(range(pixel % stride, kernel, stride)) for pixel in range(size)]
        if found == endless:
            raise Fault(f"{case}: at the borders there are fewer outputs, and the first and last "
                        f"pixels are read by fewer: {right}.")  # fmt: skip
        if found == [kernel] * size:
            raise Fault(f"{case}: that is how many pixels an output reads, not how many outputs "
                        "read a pixel.")  # fmt: skip
        places = size - kernel + 1
        dense = [sum(0 <= p - start < kernel for start in range(places)) for p in range(size)]
        if found == dense:
            raise Fault(f"{case}: the stride is missing. Output t reads from pixel S * t on.")
        if sum(found) > sum(right):
            raise Fault(f"{case}: {sum(found):g} readings were counted, and {outputs} outputs of "
                        f"{kernel} pixels make {sum(right)}. Is there one output too many, whose "
                        "window hangs over the end?")  # fmt: skip
        raise Fault(f"{case}: expected {right}. Output t reads the pixels S * t to S * t + K - 1.")
    return "so many terms does each pixel's gradient have, borders included."


@exercise("3.3.2-best-gray")
def check_best_gray(answer: object) -> str:
    """answer: the pair of grays that minimize mean squared and mean absolute error; see the page.

    In 30 of 100 plausible pictures a pixel is pole, gray 0.2, in the others wall, gray 0.8.
    """
    try:
        squared, absolute = (number(value) for value in answer)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise Fault("two numbers are asked for: best for squared error, best for absolute.") from (
            error
        )
    mean, median = 0.3 * 0.2 + 0.7 * 0.8, 0.8
    if abs(squared - mean) < 5e-3 and abs(absolute - median) < 5e-3:
        return "a gray 0.62 that no picture has, and for absolute error the wall, as if no pole."
    if abs(squared - median) < 5e-3 and abs(absolute - mean) < 5e-3:
        raise Fault("the two are exchanged: squares are least at the mean.")
    if abs(squared - 0.5) < 5e-3:
        raise Fault("0.5 is the middle of the two grays; the wall is seen more often than the pole "
                    "and pulls harder.")  # fmt: skip
    if abs(squared - 0.38) < 5e-3:
        raise Fault("the weights are exchanged: 0.3 belongs to the pole's 0.2.")
    if abs(squared - mean) > 5e-3:
        raise Fault(f"squared error is not least at {squared:g}: set the derivative of "
                    "0.3 (v - 0.2)^2 + 0.7 (v - 0.8)^2 to zero.")  # fmt: skip
    raise Fault(f"absolute error is not least at {absolute:g}: a step towards 0.8 shortens seven "
                "distances in ten and lengthens three, wherever one is.")  # fmt: skip


@exercise("3.3.2-kl")
def check_kl(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """answer: (mean (N, E), log variance (N, E)) -> KL to the standard normal (N,)."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(4, 3, generator=generator)
    log_variance = torch.randn(4, 3, generator=generator)
    found = torch.as_tensor(call(answer, mean.clone(), log_variance.clone())).float()
    deviation = (log_variance / 2).exp()
    standard = Normal(torch.zeros(4, 3), torch.ones(4, 3))
    latents = kl_divergence(Normal(mean, deviation), standard)
    right = latents.sum(dim=1)
    if found.shape == latents.shape:
        raise Fault("there is a number for each latent; add them up, one number for each picture.")
    if found.shape != right.shape:
        raise Fault(f"the result has the shape {tuple(found.shape)}, expected (N,) = (4,).")
    if torch.allclose(found, right, atol=1e-4):
        nothing = torch.as_tensor(call(answer, torch.zeros(1, 5), torch.zeros(1, 5)))
        if nothing.abs().max() > 1e-5:
            raise Fault("mean 0 and log variance 0 is the standard normal: the answer must be 0.")
        return "the value that torch.distributions gives, summed over the latents."
    backwards = kl_divergence(standard, Normal(mean, deviation)).sum(dim=1)
    squares = mean**2 + log_variance.exp() - 1
    doubled = Normal(mean, log_variance.exp())
    wrong = {
        "the sign is turned: a divergence is never negative.": -right,
        "that is the mean over the latents; independent latents add up.": latents.mean(dim=1),
        "twice too large: the factor one half is missing.": 2 * right,
        "that is the divergence of the normal from the code; the two are exchanged.": backwards,
        "the log variance was taken for the logarithm of the standard deviation; e^l is s^2.": (
            kl_divergence(doubled, standard).sum(dim=1)
        ),
        "the term -ln s^2 is missing, which keeps the variance from shrinking to 0.": (
            squares.sum(dim=1) / 2
        ),
    }
    for text, values in wrong.items():
        if torch.allclose(found, values, atol=1e-4):
            raise Fault(text)
    raise Fault("the values differ from half the sum of m^2 + s^2 - 1 - ln s^2, s^2 = e^l.")


@exercise("3.3.2-reparameterize")
def check_reparameterize(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """answer: (mean, log variance, noise), each (N, E) -> codes that gradients can pass through."""
    generator = torch.Generator().manual_seed(0)
    mean, log_variance, noise = (torch.randn(4, 3, generator=generator) for _ in range(3))
    mean.requires_grad_()
    log_variance.requires_grad_()
    found = call(answer, mean, log_variance, noise)
    if not isinstance(found, Tensor) or found.shape != mean.shape:
        raise Fault("a tensor of the shape of the mean is asked for, (N, E).")
    deviation = (log_variance / 2).exp()
    right = mean + deviation * noise
    if not torch.allclose(found, right, atol=1e-5):
        wrong = {
            "the noise is multiplied by the variance; it wants the standard deviation, e^(l/2).": (
                mean + log_variance.exp() * noise
            ),
            "the noise is multiplied by the log variance itself.": mean + log_variance * noise,
            "the noise is not scaled.": mean + noise,
            "the mean is scaled as well; only the noise is.": (mean + noise) * deviation,
            "that is the mean; the noise is missing.": mean,
        }
        for text, values in wrong.items():
            if torch.allclose(found, values, atol=1e-5):
                raise Fault(text)
        again = call(answer, mean, log_variance, noise)
        if not torch.equal(found, again):
            raise Fault("two calls with the same noise differ: use the noise given, draw no other.")
        raise Fault("the values are not mean + standard deviation * noise.")
    if not found.requires_grad:
        raise Fault("no gradient can pass: the code was detached, or made under no_grad.")
    slopes = torch.autograd.grad(found.sum(), (mean, log_variance), allow_unused=True)
    for name, slope in zip(("mean", "log variance"), slopes, strict=True):
        if slope is None or not slope.any():
            raise Fault(f"no gradient reaches the {name}: do not detach it.")
    return "a draw from the code's normal distribution, with a gradient to both its numbers."
