"""Logits of a whole volume from a network that sees one patch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations, product

import torch
from torch.nn import functional

from l2s_auto.core.errors import UserError
from l2s_auto.core.protocols import Network
from l2s_auto.networks.context import exchanged

Progress = Callable[[int, int], None]
LEFT_RIGHT_AXIS = 0  # the plan's grid is closest to R, A, S


def sliding_window_logits(
    network: Network,
    image: torch.Tensor,
    patch: Sequence[int],
    classes: int,
    *,
    overlap: float = 0.5,
    batch: int = 1,
    device: torch.device | str = "cpu",
    store: torch.device | str | None = None,
    flip_axes: Sequence[int] = (),
    pairs: Sequence[tuple[int, int]] = (),
    context: bool = False,
    bfloat16: bool = False,
    progress: Progress | None = None,
) -> torch.Tensor:
    """(C, *S) image, about [0, 1] -> (K, *S) float32 logits, the Gaussian-weighted mean of overlapping windows.

    patch      extent of a window, one number an axis
    classes    K
    overlap    share of a window that its neighbour covers too, in [0, 1)
    batch      windows in one call of the network
    device     where the network is
    store      where the sums are kept and the result lies; None = device
    flip_axes  test-time augmentation: mean over all combinations of flips of these spatial axes
    pairs      output classes (left, right), exchanged when the left-right axis is flipped
    context    whether the last channel holds class indices, whose pairs are exchanged too
    bfloat16   run the network in mixed precision; sums stay float32
    progress   called with (calls of the network done, all)

    A volume smaller than the patch is padded by repeating its border, and the result is cropped. Zeros would do for
    a head in air, whose border is 0 already; but where the field of view cuts through tissue, a fall to 0 is an
    edge that does not exist, while the repeated border goes on as the tissue does.
    """
    _check(image, patch, overlap=overlap, batch=batch, flip_axes=flip_axes)
    store = torch.device(device if store is None else store)
    padded, inner = _pad(image.to(store, torch.float32), patch)
    shape = padded.shape[1:]
    weight = gaussian_weight(patch).to(store)
    total = torch.zeros((classes, *shape), dtype=torch.float32, device=store)
    weights = torch.zeros(shape, dtype=torch.float32, device=store)
    windows = window_slices(shape, patch, overlap=overlap)
    flips = _flips(flip_axes)
    calls = math.ceil(len(windows) / batch) * len(flips)
    done = 0
    with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16):
        for group in _groups(windows, batch):
            stack = torch.stack([padded[(slice(None), *window)] for window in group]).to(device)
            for flip in flips:
                shown = stack
                if context and LEFT_RIGHT_AXIS in flip:
                    shown = torch.cat([stack[:, :-1], exchanged(stack[:, -1:], pairs, classes)], 1)
                logits = _flipped_logits(network, shown, flip, pairs).to(store, torch.float32)
                for window, values in zip(group, logits, strict=True):
                    total[(slice(None), *window)] += values * weight
                done += 1
                if progress is not None:
                    progress(done, calls)
            for window in group:
                weights[window] += weight * len(flips)
    total /= weights
    return total[(slice(None), *inner)].clone(memory_format=torch.contiguous_format)


def gaussian_weight(patch: Sequence[int]) -> torch.Tensor:
    """Patch extents -> (*patch) weights, 1 at the centre, standard deviation patch / 8, never 0.

    A network knows least near the border of its window, where it lacks context; so windows are blended with weights
    that fall from the centre (Isensee et al., nnU-Net, Nature Methods 2021). The floor keeps the corners, where the
    Gaussian is about 1e-11, within the exact range of float32 sums.
    """
    weight = torch.ones(())
    for extent in patch:
        offset = torch.arange(extent, dtype=torch.float64) - (extent - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (offset / (extent / 8)) ** 2)
    return (weight / weight.max()).clamp_min(1e-4).to(torch.float32)


def window_starts(extent: int, patch: int, *, overlap: float) -> list[int]:
    """First voxels of windows along an axis: evenly spread, no further apart than the overlap allows, all covered."""
    assert extent >= patch, f"an axis of {extent} voxels must be padded to the patch, {patch}"
    step = max(1.0, patch * (1 - overlap))
    intervals = math.ceil((extent - patch) / step)
    return [round(i * (extent - patch) / max(1, intervals)) for i in range(intervals + 1)]


def window_slices(shape: Sequence[int], patch: Sequence[int], *, overlap: float) -> list[tuple[slice, ...]]:
    """All windows of a volume that is at least as large as the patch."""
    starts = [window_starts(s, p, overlap=overlap) for s, p in zip(shape, patch, strict=True)]
    return [tuple(slice(b, b + p) for b, p in zip(begin, patch, strict=True)) for begin in product(*starts)]


def _check(image: torch.Tensor, patch: Sequence[int], *, overlap: float, batch: int, flip_axes: Sequence[int]) -> None:
    assert image.ndim == len(patch) + 1, f"image {tuple(image.shape)} must have a channel axis and {len(patch)} more"
    assert batch >= 1 and min(patch) >= 1 and min(image.shape) >= 1
    assert all(0 <= axis < len(patch) for axis in flip_axes), f"flip_axes {flip_axes} must be spatial axes"
    check_overlap(overlap)


def check_overlap(overlap: float) -> None:
    """UserError unless overlap is in [0, 1)."""
    if not 0 <= overlap < 1:
        raise UserError.single(
            "The overlap of the windows is out of range.",
            where="--overlap",
            found=str(overlap),
            expected="a number from 0 up to, but not including, 1",
            mend="Use 0.5, or 0.25 for speed.",
        )


def _pad(image: torch.Tensor, patch: Sequence[int]) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """The image centred in a volume at least as large as the patch, and where it lies in it."""
    missing = [max(0, p - s) for p, s in zip(patch, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    inner = tuple(slice(b, b + s) for b, s in zip(before, image.shape[1:], strict=True))
    if not any(missing):
        return image, inner
    sides = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    amounts = list(chain.from_iterable(reversed(sides)))
    return functional.pad(image[None], amounts, mode="replicate")[0], inner


def _flips(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every subset of the axes; the first is empty: no flip."""
    return list(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))


def _flipped_logits(
    network: Network, stack: torch.Tensor, flip: tuple[int, ...], pairs: Sequence[tuple[int, int]]
) -> torch.Tensor:
    """(B, C, *S) windows -> (B, K, *S) logits, seen through a flip that is undone."""
    dims = [axis + 2 for axis in flip]
    logits = network(stack.flip(dims)).flip(dims) if dims else network(stack)
    if LEFT_RIGHT_AXIS not in flip or not pairs:
        return logits
    order = list(range(logits.shape[1]))
    for left, right in pairs:
        order[left], order[right] = right, left
    return logits[:, order]


def _groups(windows: list[tuple[slice, ...]], size: int) -> Iterator[list[tuple[slice, ...]]]:
    for begin in range(0, len(windows), size):
        yield windows[begin : begin + size]
