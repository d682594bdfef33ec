"""From generation classes to intensities: a Gaussian mixture, blur, gamma, and the scale that networks read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Mixture:
    """A drawn Gaussian a class: mean and std, both (B, C, G) in units of the intensity range."""

    mean: torch.Tensor
    std: torch.Tensor

    def of(self, samples: slice) -> Mixture:
        """Some samples of the batch."""
        return Mixture(self.mean[samples], self.std[samples])


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


#: A class that is darker than this in the real images has no signal (air) and stays dark when others are reversed.
NO_SIGNAL = 0.05


def draw_mixture(
    batch: int,
    channels: int,
    structures: torch.Tensor,
    generator: torch.Generator,
    *,
    prior: PriorTensors | None = None,
    shares: Shares = Shares(),
    largest_std: float = 0.12,
) -> Mixture:
    """Class means and deviations, from one of three families for each image.

    structures  (G,) the structure that each class belongs to: in uniform images, parts of one structure look alike

    Uniform: mean ~ U(0, 1), std ~ U(0.01, largest_std). Prior: both normal around what real images have. Reversed:
    the same with 1 - mean in place of the mean.
    """
    device, count = generator.device, int(structures.max()) + 1
    size = (batch, channels, len(structures))

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=device)

    def normal() -> torch.Tensor:
        return torch.randn(size, generator=generator, device=device)

    mean = uniform(batch, channels, count)[..., structures]
    std = 0.01 + (largest_std - 0.01) * uniform(batch, channels, count)[..., structures]
    if prior is None or shares.prior + shares.reversed == 0:
        return Mixture(mean, std)
    family = uniform(batch, 1, 1)
    near_mean = prior.mean + prior.mean_spread * normal()
    near_std = (prior.std + prior.std_spread * normal()).clamp_min(0.005)
    turned = torch.where(prior.mean > NO_SIGNAL, 1 - near_mean, near_mean)
    is_prior, is_uniform = family < shares.prior, family >= shares.prior + shares.reversed
    mean = torch.where(is_uniform, mean, torch.where(is_prior, near_mean, turned))
    return Mixture(mean, torch.where(is_uniform, std, near_std))


def paint(classes: torch.Tensor, mixture: Mixture, noise: torch.Tensor) -> torch.Tensor:
    """(B, *S) class indices, (B, C, *S) standard normal noise -> (B, C, *S) image: mean + std · noise of each class."""
    flat = classes.flatten(1)[:, None].expand(-1, mixture.mean.shape[1], -1)
    mean = mixture.mean.gather(2, flat).view_as(noise)
    std = mixture.std.gather(2, flat).view_as(noise)
    return torch.addcmul(mean, std, noise)


def blur(image: torch.Tensor, sigma: torch.Tensor, *, radius: int = 2) -> torch.Tensor:
    """Gaussian blur of (B, C, *S), sigma (B, 3) in voxels, separately along each axis; the border is repeated."""
    batch, channels = image.shape[:2]
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    for axis in range(3):
        kernel = torch.exp(-0.5 * (offsets / sigma[:, axis, None].clamp_min(1e-3)) ** 2)
        kernel = kernel / kernel.sum(1, keepdim=True)
        shape = [1, 1, 1]
        shape[axis] = len(offsets)
        weight = kernel.repeat_interleave(channels, 0).view(-1, 1, *shape)
        padding = [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        flat = functional.pad(image.flatten(0, 1)[None], padding, mode="replicate")
        image = functional.conv3d(flat, weight, groups=batch * channels).view_as(image)
    return image


def gamma(image: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """clamp(image, 0, 1) ^ exponent, exponent (B, C) > 0."""
    return image.clamp(0, 1) ** exponent[..., None, None, None]


def rescale(image: torch.Tensor, *, lower: float = 0.005, upper: float = 0.995) -> torch.Tensor:
    """Each image and channel on its own: the lower quantile becomes 0, the upper 1. (B, C, *S), differentiable.

    It is what preprocessing does to real scans. Quantiles are those of at most 8,192 evenly spread voxels.
    """
    flat = image.flatten(2)
    stride = max(1, flat.shape[2] // 8192) | 1  # odd, so that it does not step along one plane of an even grid
    low, high = flat[..., ::stride].quantile(torch.tensor([lower, upper], device=image.device, dtype=image.dtype), 2)
    low, high = low[..., None, None, None], high[..., None, None, None]
    return (image - low) / (high - low).clamp_min(1e-6)
