"""What is around the labelled structures: a field of view that ends, air, and tissue that was removed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from l2s_auto.core.constants import constant
from l2s_auto.core.plan import GenerationPlan
from l2s_auto.synthesis.drawn import Drawn, uniform
from l2s_auto.synthesis.intensity import Mixture

#: Removing unlabelled tissue is for images whose labels cover an organ: at least this share of the voxels.
LABELLED = 0.15
#: An unlabelled class that is darker than this in the real images has no signal: air. A labelled one may be a fluid.
NO_SIGNAL = 0.05


@dataclass(frozen=True)
class ViewRanges:
    """cropped   share of the images whose field of view ends inside the patch
    largest_cut  share of an axis that is cut at either end at most, drawn from U(0, largest_cut)
    black, flat  shares of the images whose air is 0, and without texture; in the rest it has what was drawn for it
    stripped     share of the images without unlabelled tissue, where the labels allow it"""

    cropped: float = 0.05
    largest_cut: float = 0.25
    black: float = 0.1
    flat: float = 0.1
    stripped: float = 0.05


@dataclass(frozen=True)
class View(Drawn):
    """cuts (B, D, 2) share of each axis without signal, at its start and end; level (B,) intensity there;
    air (B, 2) factors of the mean and the deviation of air; stripped (B,) whether unlabelled tissue is air, too."""

    cuts: torch.Tensor
    level: torch.Tensor
    air: torch.Tensor
    stripped: torch.Tensor


def draw_view(batch: int, shape: tuple[int, ...], ranges: ViewRanges, generator: torch.Generator) -> View:
    """Axes of one voxel are never cut. Outside of the field of view there is 0 in one half of the images."""
    dims = len(shape)
    open_axes = constant(tuple(float(n > 1) for n in shape), generator.device)[:, None]
    cropped = (uniform(batch, 1, 1, generator=generator) < ranges.cropped).float()
    level = 2 * uniform(batch, generator=generator) - 1
    kind = uniform(batch, generator=generator)
    black, flat = kind < ranges.black, (kind >= ranges.black) & (kind < ranges.black + ranges.flat)
    return View(
        cuts=cropped * open_axes * ranges.largest_cut * uniform(batch, dims, 2, generator=generator),
        level=level.clamp_min(0),
        air=1 - torch.stack([black, black | flat], 1).float(),
        stripped=uniform(batch, generator=generator) < ranges.stripped,
    )


def seen(cuts: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(B, D, 2) cuts -> (B, *shape) bool, whether a voxel is in the field of view; with cuts of 0 all are."""
    inside = torch.ones(len(cuts), *[1] * len(shape), dtype=torch.bool, device=cuts.device)
    for axis, n in enumerate(shape):
        middle = (torch.arange(n, device=cuts.device) + 0.5) / n
        kept = (middle >= cuts[:, axis, :1]) & (middle <= 1 - cuts[:, axis, 1:])
        inside = inside & kept.view(-1, *[n if a == axis else 1 for a in range(len(shape))])
    return inside.expand(-1, *shape)


def air_classes(generation: GenerationPlan) -> tuple[int, ...]:
    """Generation classes that are air: no signal in the real images; without images, all that is unlabelled."""
    unlabelled = unlabelled_classes(generation)
    if generation.priors:
        return tuple(c for c in unlabelled if max(generation.priors[c].mean) < NO_SIGNAL)
    return unlabelled if len(unlabelled) == 1 else ()


def unlabelled_classes(generation: GenerationPlan) -> tuple[int, ...]:
    """Generation classes that no label has a part in."""
    labelled = {label.generation_class for label in generation.enriched if label.target > 0}
    return tuple(c for c in range(generation.classes) if c not in labelled)


def strippable(generation: GenerationPlan) -> bool:
    """Whether unlabelled tissue is known, so that it can be told from air: several enriched labels of target 0."""
    return sum(label.target == 0 for label in generation.enriched) > 1


def with_air(mixture: Mixture, view: View, *, air: torch.Tensor, bare: torch.Tensor, stripped: torch.Tensor) -> Mixture:
    """The mixture with the drawn air.

    air, bare  (G,) bool: classes that are air, and those that are where unlabelled tissue is removed
    stripped   (B,) bool: where it is
    """
    factor = torch.where(air[:, None], view.air[:, None, :], 1.0)
    factor = factor * (1 - (bare[:, None] & stripped[:, None, None]).to(factor))
    mean, std = factor.to(mixture.mean.dtype)[:, None].unbind(-1)
    return replace(mixture, mean=mixture.mean * mean, std=mixture.std * std)
