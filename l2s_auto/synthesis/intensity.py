"""From generation classes to intensities: a Gaussian mixture, gamma, and the scale that networks read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from l2s_auto.core.constants import constant
from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.drawn import Drawn


@dataclass(frozen=True)
class Mixture(Drawn):
    """A drawn Gaussian a class: mean and std, both (B, C, G) in units of the intensity range.

    own  (B,) bool: which images are to look like the real ones; None: all
    """

    mean: torch.Tensor
    std: torch.Tensor
    own: torch.Tensor | None = None


@dataclass(frozen=True)
class PriorTensors:
    """The real images' class statistics as tensors, each (C, G)."""

    mean: torch.Tensor
    mean_spread: torch.Tensor
    std: torch.Tensor
    std_spread: torch.Tensor


@dataclass(frozen=True)
class Shares:
    """Shares of the images whose class intensities come from each family; what is left to 1 is uniform.

    prior     as in the real images
    reversed  as in the real images, dark and bright exchanged, as between T1- and T2-weighted MRI
    """

    prior: float = 0.0
    reversed: float = 0.0

    def __post_init__(self) -> None:
        if min(self.prior, self.reversed) < 0 or self.prior + self.reversed > 1:
            raise ValueError(f"shares must be >= 0 and at most 1 together, not {self.prior} and {self.reversed}")


#: Share of the uniform images in which tissues differ, whatever their labels; in the others labels stand out.
OF_TISSUES = 0.75
#: Intensity below which the curve of gamma is straight.
STRAIGHT = 1e-4


def draw_mixture(
    batch: int,
    channels: int,
    structures: Sequence[int],
    generator: torch.Generator,
    *,
    tissues: Sequence[int] | None = None,
    prior: PriorTensors | None = None,
    shares: Shares = Shares(),
    air: torch.Tensor | None = None,
    own: bool | None = None,
    largest_std: float = 0.12,
) -> Mixture:
    """Class means and deviations, from one of three families for each image.

    structures  (G) the structure that each class belongs to: in uniform images, parts of one structure look alike
    tissues     (G) the same, of tissues, which go on across the border of a label; None: the structures
    air         (G,) bool: classes without signal, which stay dark where others are reversed; None: none
    own         whether all images, or none, are to look like the real ones; the random numbers are the same

    Uniform: mean ~ U(0, 1), std ~ U(0.01, largest_std). Prior: both normal around what real images have. Reversed:
    the same with 1 - mean in place of the mean. Without a share of the prior, all images are to look like the real ones
    as far as they can.
    """
    device = generator.device
    size = (batch, channels, len(structures))

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=device)

    def normal() -> torch.Tensor:
        return torch.randn(size, generator=generator, device=device)

    def alike(kinds: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        count, index = max(kinds) + 1, constant(tuple(kinds), device, torch.int64)
        return uniform(batch, channels, count)[..., index], uniform(batch, channels, count)[..., index]

    mean, std = alike(structures)
    if tissues is not None:
        of_tissues = uniform(batch, 1, 1) < OF_TISSUES
        mean, std = (torch.where(of_tissues, a, b) for a, b in zip(alike(tissues), (mean, std), strict=True))
    std = 0.01 + (largest_std - 0.01) * std
    if prior is None or shares.prior + shares.reversed == 0:
        return Mixture(mean, std)
    family = uniform(batch, 1, 1)
    if own is not None:
        family = shares.prior * family if own else shares.prior + (1 - shares.prior) * family
    near_mean = prior.mean + prior.mean_spread * normal()
    near_std = (prior.std + prior.std_spread * normal()).clamp_min(0.005)
    turned = 1 - near_mean if air is None else torch.where(air, near_mean, 1 - near_mean)
    is_prior, is_uniform = family < shares.prior, family >= shares.prior + shares.reversed
    mean = torch.where(is_uniform, mean, torch.where(is_prior, near_mean, turned))
    return Mixture(mean, torch.where(is_uniform, std, near_std), is_prior[:, 0, 0] if shares.prior else None)


def with_own(drawn: Mixture, learned: Mixture) -> Mixture:
    """What was learned for images that are to look like the real ones, what was drawn for the others."""
    if drawn.own is None:
        return learned
    where = drawn.own[:, None, None]
    return replace(
        drawn, mean=torch.where(where, learned.mean, drawn.mean), std=torch.where(where, learned.std, drawn.std)
    )


def paint(
    classes: torch.Tensor, mixture: Mixture, noise: torch.Tensor, *, mix: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """(B, *S) class indices, (B, C, *S) noise of unit variance -> (B, C, *S) image: mean + std · noise of each class.

    mix  matrices along the axes that blur the means, which is partial volume; the noise stays sharp
    """
    flat = classes.flatten(1)[:, None].expand(-1, mixture.mean.shape[1], -1)
    mean = mixture.mean.gather(2, flat).view_as(noise)
    std = mixture.std.gather(2, flat).view_as(noise)
    if mix:
        mean = along_axes(mean, mix)
    return torch.addcmul(mean, std, noise)


def gamma(image: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """clamp(image, 0, 1) ^ exponent, exponent (B, C) > 0; straight where the slope would go to infinity."""
    image = image.clamp(0, 1)
    return image * image.clamp_min(STRAIGHT) ** (_spread(exponent, image) - 1)


def rescale(image: torch.Tensor, *, lower: float = 0.005, upper: float = 0.995) -> torch.Tensor:
    """Each image and channel on its own: the lower quantile becomes 0, the upper 1. (B, C, *S), differentiable.

    It is what preprocessing does to real scans. Quantiles are those of at most 8,192 evenly spread voxels.
    """
    flat = image.flatten(2)
    stride = -(-flat.shape[2] // 8192) | 1  # odd, so that it does not step along one plane of an even grid
    low, high = flat[..., ::stride].quantile(constant((lower, upper), image.device, image.dtype), 2)
    low, high = _spread(low, image), _spread(high, image)
    return (image - low) / (high - low).clamp_min(1e-6)


def _spread(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, C) -> (B, C, 1, …), to go with (B, C, *S)."""
    return values.view(*values.shape, *[1] * (image.ndim - 2))
