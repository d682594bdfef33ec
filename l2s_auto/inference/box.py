"""The part of a scan in which both ends of a model are compared, and a quick look at it.

Prediction and the training's choice of the threshold measure the agreement by the functions here, so that it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from l2s_auto.core import counting
from l2s_auto.core.protocols import Network
from l2s_auto.inference.sliding_window import Slab, Windowing, slab_axis, sliding_window_slabs
from l2s_auto.inference.windows import window_starts

#: First and last voxel of each axis of the plan's grid.
Box = tuple[slice, ...]
#: What is added on each side of the structures, in patches, and what is enough where fewer windows then do.
MARGIN, LEAST_MARGIN = 1 / 4, 1 / 8
#: Overlap of the windows of a look, at most.
OVERLAP = 0.0


class Classes:
    """The class of each voxel on the plan's grid, kept while slabs of logits pass.

    values     (*S) uint8, or int16 for more than 256 classes
    is_finite  whether no logits of a class that won were NaN or infinity
    """

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        self.values = np.zeros(tuple(shape), dtype=np.uint8 if classes <= 2**8 else np.int16)
        self.is_finite = True

    def noting(self, slabs: Iterable[Slab], *, axis: int) -> Iterator[Slab]:
        """Slabs along the axis as they are, each noted on its way."""
        for planes, logits in slabs:
            highest, index = logits.max(dim=0)
            self.is_finite &= bool(highest.isfinite().all())
            self.values[(*[slice(None)] * axis, planes)] = index.to(torch.int16).cpu().numpy()
            yield planes, logits


def box_of(classes: np.ndarray, patch: Sequence[int], *, labels: int) -> Box:
    """(*S) classes that the home weights found -> what is worth a second look: the structures and what is around them.

    labels  number of classes, background included

    Where one of the labels was not found, the whole scan: the structure may be anywhere.
    The box has at least the extent of a patch, where the scan has it, and no more windows than the structures need.
    """
    if not counting.counts_of(classes.ravel(), labels).all():
        return tuple(slice(0, n) for n in classes.shape)
    sides = zip(counting.box_of(classes != 0), patch, classes.shape, strict=True)
    return tuple(_side(found, size, extent) for found, size, extent in sides)


def _side(found: slice, patch: int, extent: int) -> slice:
    """One axis of the box, from that of the structures in it."""
    length = found.stop - found.start
    windows = math.ceil((length + 2 * LEAST_MARGIN * patch) / patch)
    length = min(extent, max(patch, min(math.ceil(length + 2 * MARGIN * patch), windows * patch)))
    start = (found.start + found.stop - length) // 2
    start = min(max(0, start), extent - length)
    return slice(start, start + length)


def of_a_look(windowing: Windowing) -> Windowing:
    """How networks are run in a look, from how they are run in a complete pass."""
    return replace(windowing, overlap=min(windowing.overlap, OVERLAP))


def windows_in(shape: Sequence[int], windowing: Windowing) -> list[list[int]]:
    """First voxels of the windows along each axis of (*S) voxels."""
    sizes = zip(shape, windowing.patch, strict=True)
    return [window_starts(max(n, p), p, overlap=windowing.overlap) for n, p in sizes]


def count_of_windows(shape: Sequence[int], windowing: Windowing) -> int:
    """Windows over (*S) voxels."""
    return math.prod(len(starts) for starts in windows_in(shape, windowing))


def is_complete(box: Box, shape: Sequence[int], windowing: Windowing) -> bool:
    """Whether a look at the box sees the same windows as a complete pass over the (*S) voxels."""
    whole = all(side == slice(0, n) for side, n in zip(box, shape, strict=True))
    return whole and windows_in(shape, of_a_look(windowing)) == windows_in(shape, windowing)


def look(
    networks: Sequence[Network],
    image: torch.Tensor,
    windowing: Windowing,
    box: Box,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Classes:
    """(C, *S) image -> the classes in the box, from few windows that lie in it.

    windowing  of a complete pass
    """
    part = image[(slice(None), *box)]
    shape = part.shape[1:]
    axis = slab_axis(shape, windowing.patch)
    slabs = sliding_window_slabs(networks, part, of_a_look(windowing), axis=axis, progress=progress)
    kept = Classes(shape, windowing.classes)
    for _ in kept.noting(slabs, axis=axis):
        pass
    return kept


def agreement(first: np.ndarray, second: np.ndarray, *, labels: int) -> float:
    """(*S) classes of one box, twice -> mean Dice over the labels, background left out, in [0, 1].

    Labels that neither has are left out; where none is left, both agree: 1.
    """
    voxels, same = np.zeros((2, labels), dtype=np.int64)
    for one, other in zip(first, second, strict=True):  # planes, so that little memory is needed
        a, b = one.ravel(), other.ravel()
        voxels += counting.counts_of(a, labels) + counting.counts_of(b, labels)
        same += counting.counts_of(a[a == b], labels)
    dice = [2 * int(same[k]) / int(voxels[k]) for k in range(1, labels) if voxels[k]]
    return math.fsum(dice) / len(dice) if dice else 1.0
