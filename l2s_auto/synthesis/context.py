"""What a coarser network would have found, imitated from the label map: right in most places, wrong as networks are.

So the second network of a cascade learns from label maps alone as well, and the first need not be run in its training.
Borders are off by a voxel or two of the coarse grid, smoothly so along them; now and then a structure is missing or
taken for another, and at times nothing is found at all, so that the second network never leans on the first blindly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from l2s_auto.core.digits import extent_in
from l2s_auto.synthesis.drawn import Drawn, normal, uniform

REACH = 5  # voxels of the coarse grid over which borders are uncertain
ROUGHNESS = 3  # voxels of the coarse grid over which errors are alike
MISSING, MISTAKEN, NOTHING = 0.08, 0.04, 0.1  # shares of structures, of structures, of images
_UNLIKELY = 1e-6


@dataclass(frozen=True)
class ContextDraw(Drawn):
    """All that is random.

    errors    (B, K, *coarse) what is added to the log shares of each class
    phase     (B, D) of the coarse grid against the fine one, in voxels of the coarse one, [0, 1)
    found_as  (B, K) the class that each one is taken for; background where it is missing
    """

    errors: torch.Tensor
    phase: torch.Tensor
    found_as: torch.Tensor


def coarse_shape(shape: Sequence[int], spacing: Sequence[float], coarse: Sequence[float]) -> tuple[int, ...]:
    """Voxels of `coarse` mm that cover `shape` voxels of `spacing` mm, at least one an axis and at most as many."""
    return tuple(max(1, min(n, math.ceil(extent_in(n, s, c)))) for n, s, c in zip(shape, spacing, coarse, strict=True))


def draw_context(batch: int, classes: int, coarse: Sequence[int], generator: torch.Generator) -> ContextDraw:
    """Everything random for `batch` images; `coarse` is what `coarse_shape` gives."""
    errors = _averaged(normal(batch, classes, *coarse, generator=generator), ROUGHNESS)
    errors = errors / errors.flatten(1).std(1).clamp_min(1e-6).view(-1, *[1] * (errors.ndim - 1))
    strength = 2.0 * uniform(batch, generator=generator)
    kind = uniform(batch, classes, generator=generator)
    other = (uniform(batch, classes, generator=generator) * classes).long().clamp_max(classes - 1)
    found_as = torch.arange(classes, device=kind.device).expand(batch, classes)
    found_as = torch.where(kind < MISSING + MISTAKEN, other, found_as)
    found_as = torch.where(kind < MISSING, 0, found_as)
    found_as = torch.where(uniform(batch, 1, generator=generator) < NOTHING, 0, found_as)
    found_as[:, 0] = 0
    return ContextDraw(
        errors=errors * strength.view(-1, *[1] * (errors.ndim - 1)),
        phase=uniform(batch, len(coarse), generator=generator),
        found_as=found_as,
    )


@torch.no_grad()
def imitated(target: torch.Tensor, draw: ContextDraw) -> torch.Tensor:
    """(B, *S) classes -> (B, 1, *S) float32 class indices, as a coarser network would have found them.

    What is beyond the classes, because nobody labelled it, counts as background.
    """
    classes, coarse = draw.errors.shape[1], draw.errors.shape[2:]
    target = torch.where(target < classes, target, 0)
    found = []
    for own, errors, phase, found_as in zip(target, draw.errors, draw.phase.tolist(), draw.found_as, strict=True):
        small = own
        for axis, (n, m, at) in enumerate(zip(own.shape, coarse, phase, strict=True)):
            small = small.index_select(axis, _places(m, n, at, device=own.device))
        share = _averaged(functional.one_hot(small, classes).movedim(-1, 0)[None].float(), REACH)[0]
        large = found_as[(share.clamp_min(_UNLIKELY).log() + errors).argmax(0)]
        for axis, (n, m) in enumerate(zip(own.shape, coarse, strict=True)):
            large = large.index_select(axis, _places(n, m, 0.5, device=own.device))
        found.append(large)
    return torch.stack(found)[:, None].float()


def _places(new: int, old: int, phase: float, *, device: torch.device) -> torch.Tensor:
    """(new,) the old voxel in which each new one has its centre, or, by its phase, another point."""
    places = torch.arange(new, device=device, dtype=torch.float64) + phase
    return (places * (old / new)).long().clamp_max(old - 1)


def _averaged(values: torch.Tensor, width: int) -> torch.Tensor:
    """(B, K, *S) means over `width` (odd) voxels of each axis that has as many; beyond the border is nothing."""
    sizes = [width if n >= width else 1 for n in values.shape[2:]]
    pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[len(sizes) - 1]
    return pool(values, sizes, 1, [size // 2 for size in sizes], count_include_pad=False)
