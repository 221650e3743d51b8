"""Learning from pictures alone: return them, repair them, or model where they come from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segtut.models.autoencoder import MaskedAutoencoder, hidden_patches
from segtut.objectives.base import Objective


class Noise(nn.Module):
    """Adds normal noise of standard deviation `std` to images (N, C, H, W), 0-1, and clips.

    Source: Vincent, Larochelle, Bengio and Manzagol (2008), "Extracting and composing robust
    features with denoising autoencoders".
    """

    def __init__(self, std: float = 0.2) -> None:
        super().__init__()
        if not std >= 0:
            raise ValueError(f"Noise got std={std}; it must not be negative.")
        self.std = std

    def forward(self, images: Tensor) -> Tensor:
        return (images + self.std * torch.randn_like(images)).clamp(0, 1)


class Patches(nn.Module):
    """Paints a random `share` of the `patch` x `patch` squares of images (N, C, H, W) gray."""

    def __init__(self, patch: int = 8, share: float = 0.6) -> None:
        super().__init__()
        if patch < 1 or not 0 <= share <= 1:
            raise ValueError(
                f"Patches got patch={patch} and share={share}; expected at least 1, and 0 to 1."
            )
        self.patch, self.share = patch, share

    def forward(self, images: Tensor) -> Tensor:
        return images.masked_fill(hidden_patches(images, self.patch, self.share), 0.5)


class Reconstruction(Objective):
    """The mean squared error between a picture and what the network returns for it.

    The labels are not looked at. images (N, C, H, W), 0-1, and a network that returns the same
    shape, or a tuple that begins with it.

    corrupt: what is done to the picture before the network sees it, such as `Noise` or `Patches`;
        the loss compares with the picture as it was. None: nothing, a plain autoencoder.
    hidden_only: count the hidden pixels alone, with a `MaskedAutoencoder`, whose own task this
        is (He et al. 2022, section 3).

    Raises ValueError: `hidden_only` with a corruption or with another network.
    """

    def __init__(self, corrupt: nn.Module | None = None, hidden_only: bool = False) -> None:
        super().__init__()
        if corrupt is not None and hidden_only:
            raise ValueError("hidden_only is for a MaskedAutoencoder, which corrupts by itself.")
        self.corrupt = corrupt
        self.hidden_only = hidden_only

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        if self.hidden_only:
            return self._error_where_hidden(network, images)
        seen = images if self.corrupt is None else self.corrupt(images)
        return (_picture(self.run(network, seen)) - images).square().mean()

    def _error_where_hidden(self, network: nn.Module, images: Tensor) -> Tensor:
        if not isinstance(network, MaskedAutoencoder):
            raise ValueError(f"hidden_only needs a MaskedAutoencoder, not {type(network).__name__}")
        seen, hidden = network.mask(images)
        errors = (_picture(self.run(network.reconstruct, seen)) - images).square().mean(1, True)
        return (errors * hidden).sum() / hidden.sum().clamp(min=1)


class VariationalBound(Objective):
    """The negative evidence lower bound of a `VariationalAutoencoder`, a mean over pictures.

    |x - reconstruction|^2 / (2 sigma^2), summed over a picture's numbers, plus beta times the
    divergence of its code from the standard normal. The constant of the normal density is left out.

    sigma: standard deviation that a pixel is believed to have around its reconstruction.
    beta: 1 is the bound itself; other values weigh the code (Higgins et al. 2017).

    Raises ValueError: sigma is not positive, or beta is negative.
    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes", equation 10.
    """

    def __init__(self, beta: float = 1.0, sigma: float = 0.1) -> None:
        super().__init__()
        if not sigma > 0 or beta < 0:
            raise ValueError(
                f"VariationalBound got beta={beta} and sigma={sigma}; expected beta of at least 0 "
                "and sigma above 0."
            )
        self.beta, self.sigma = beta, sigma

    def forward(self, network: nn.Module, images: Tensor, target: Tensor) -> Tensor:
        picture, mean, log_variance = (part.float() for part in self.run(network, images))
        error = (picture - images).square().flatten(1).sum(1) / (2 * self.sigma**2)
        divergence = kl_to_standard_normal(mean, log_variance).sum(1)
        return (error + self.beta * divergence).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The divergence of normal distributions from N(0, 1), in nats, elementwise.

    mean, log_variance: any shape; the result has the same. (m^2 + v - 1 - ln v) / 2.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def _picture(output: Any) -> Tensor:
    picture: Tensor = output[0] if isinstance(output, tuple) else output
    return picture.float()
