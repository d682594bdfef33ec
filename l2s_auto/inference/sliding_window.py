"""Logits of a whole volume from networks that see one patch at a time, slab by slab.

The windows are visited in rows along one axis. What the rows to come do not touch any more is handed out, so that
memory is that of one row, whatever the length of the volume.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, product
from threading import Lock

import torch
from torch.nn import functional

from l2s_auto.core.protocols import Network
from l2s_auto.inference.abreast import map_abreast
from l2s_auto.inference.windows import check_overlap, shares, window_starts
from l2s_auto.networks.context import exchanged

Progress = Callable[[int, int], None]
#: Planes along the axis of the slabs, and their (K, *slab) float32 logits.
Slab = tuple[slice, torch.Tensor]
#: Logits that are handed out at a time, about: 32 MiB, and on a GPU 64.
PIECE, GPU_PIECE = 1 << 23, 1 << 24
LEFT_RIGHT_AXIS = 0  # the plan's grid is closest to R, A, S


@dataclass(frozen=True)
class Windowing:
    """How networks are run over a volume.

    patch      extent of a window, one number an axis
    classes    K
    overlap    share of a window that its neighbour covers too, in [0, 1)
    batch      windows in one call of a network
    device     where the networks are
    store      where the sums are kept and the results lie; None = device
    flip_axes  test-time augmentation: mean over all combinations of flips of these spatial axes
    pairs      output classes (left, right), exchanged when the left-right axis is flipped
    zeros      whether a volume smaller than the patch stands among zeros, instead of its repeated border
    context    whether the last channel holds class indices, whose pairs are exchanged too
    bfloat16   run the networks in mixed precision; sums stay float32
    abreast    batches of windows that are looked at side by side; the networks are then called by several threads
    """

    patch: Sequence[int]
    classes: int
    overlap: float = 0.5
    batch: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    store: torch.device | None = None
    flip_axes: Sequence[int] = ()
    pairs: Sequence[tuple[int, int]] = ()
    zeros: bool = False
    context: bool = False
    bfloat16: bool = False
    abreast: int = 1


def slab_axis(shape: Sequence[int], patch: Sequence[int]) -> int:
    """The axis along which a row of windows is smallest."""
    sizes = [max(n, p) for n, p in zip(shape, patch, strict=True)]
    return min(range(len(sizes)), key=lambda axis: patch[axis] * math.prod(sizes) // sizes[axis])


def sliding_window_slabs(
    networks: Sequence[Network],
    image: torch.Tensor,
    windowing: Windowing,
    *,
    axis: int = 0,
    progress: Progress | None = None,
) -> Iterator[Slab]:
    """(C, *S) image, about [0, 1] -> slabs along the axis, in order: the mean logits of the networks.

    Overlapping windows are blended by a Gaussian-weighted mean. A window in which each channel has one value, as in
    air, is the same wherever it lies: the networks see it once.

    progress   called with (windows done, all)

    A volume smaller than the patch is padded by repeating its border, and the result is cropped. Zeros would do for
    a head in air, whose border is 0 already; but where the field of view cuts through tissue, a fall to 0 is an
    edge that does not exist, while the repeated border goes on as the tissue does.
    """
    _check(image, windowing)
    patch = tuple(windowing.patch)
    store = windowing.store or windowing.device
    padded, inner = _pad(image.to(store, torch.float32), patch, zeros=windowing.zeros)
    shape = padded.shape[1:]
    starts = [window_starts(s, p, overlap=windowing.overlap) for s, p in zip(shape, patch, strict=True)]
    weights = [[w.to(store) for w in shares(*given)] for given in zip(shape, patch, starts, strict=True)]
    sums = _Sums(windowing.classes, shape, axis=axis, size=patch[axis], device=store)
    places = _places(starts, axis)
    windows = [tuple(slice(s[n], s[n] + p) for s, n, p in zip(starts, at, patch, strict=True)) for at in places]
    seen = _Seen(networks, windowing, store)
    batches = seen.batches(padded, windows, rows=[at[axis] for at in places])

    def finished(row: int) -> Iterator[Slab]:
        """What the rows behind this one do not touch."""
        last = starts[axis][row + 1] if row + 1 < len(starts[axis]) else shape[axis]
        for planes in sums.pieces(slice(starts[axis][row], last)):
            if (slab := sums.take(planes, inner)) is not None:
                yield slab

    row, done = 0, 0
    look = functools.partial(seen, padded, windows)
    for chosen, logits in zip(batches, map_abreast(look, batches, windowing.abreast), strict=True):
        for index, values in zip(chosen, logits, strict=True):
            if places[index][axis] > row:
                yield from finished(row)
                row = places[index][axis]
            sums.add(windows[index], values, [w[n] for w, n in zip(weights, places[index], strict=True)])
        done += len(chosen)
        if progress is not None:
            progress(done, len(windows))
    yield from finished(row)


def sliding_window_logits(
    networks: Sequence[Network], image: torch.Tensor, windowing: Windowing, *, progress: Progress | None = None
) -> torch.Tensor:
    """(C, *S) image -> (K, *S) float32 logits in one piece: `sliding_window_slabs` for what fits into memory."""
    return torch.cat([logits for _, logits in sliding_window_slabs(networks, image, windowing, progress=progress)], 1)


def sliding_window_classes(networks: Sequence[Network], image: torch.Tensor, windowing: Windowing) -> torch.Tensor:
    """(C, *S) image -> (*S) int16 the class with the largest logit, on the CPU."""
    axis = slab_axis(image.shape[1:], windowing.patch)
    slabs = sliding_window_slabs(networks, image, windowing, axis=axis)
    return torch.cat([logits.argmax(0).to("cpu", torch.int16) for _, logits in slabs], axis)


def _places(starts: Sequence[Sequence[int]], axis: int) -> list[tuple[int, ...]]:
    """Of each window its numbers along the axes, row by row along one axis."""
    return sorted(product(*(range(len(own)) for own in starts)), key=lambda place: place[axis])


class _Sums:
    """Weighted sums of logits of a row of windows. Plane n of the volume is plane n modulo the patch of the sums."""

    def __init__(self, classes: int, shape: Sequence[int], *, axis: int, size: int, device: torch.device) -> None:
        own = [size if other == axis else n for other, n in enumerate(shape)]
        self.values = torch.zeros((classes, *own), dtype=torch.float32, device=device)
        self.axis, self.size = axis, size

    def add(self, window: tuple[slice, ...], logits: torch.Tensor, weights: Sequence[torch.Tensor]) -> None:
        """Logits (K, *patch) of a window, with its weights along each axis."""
        weight = torch.ones((), device=weights[0].device)
        for own in weights:
            weight = weight[..., None] * own
        begin = window[self.axis].start % self.size
        place = list(window)
        for planes, source in (
            (slice(begin, self.size), slice(0, self.size - begin)),
            (slice(begin), slice(self.size - begin, None)),
        ):
            if planes.stop - (planes.start or 0) > 0:
                place[self.axis] = planes
                own = self._part(weight[None], source)
                self.values[(slice(None), *place)].addcmul_(self._part(logits, source), own)

    def pieces(self, planes: slice) -> Iterator[slice]:
        """The planes in slabs of about so many values, since each is copied."""
        most = PIECE if self.values.device.type == "cpu" else GPU_PIECE
        thickness = max(1, most * self.size // self.values.numel())
        for start in range(planes.start, planes.stop, thickness):
            yield slice(start, min(planes.stop, start + thickness))

    def take(self, planes: slice, inner: tuple[slice, ...]) -> Slab | None:
        """The finished planes of the volume, as those of what lies inside of its padding; they become 0 here."""
        inside = inner[self.axis]
        kept = slice(max(planes.start, inside.start), min(planes.stop, inside.stop))
        place = list(inner)
        finished = []
        for part in self._turns(kept):
            place[self.axis] = part
            finished.append(self.values[(slice(None), *place)])
        whole = torch.cat(finished, self.axis + 1) if finished else None
        for part in self._turns(planes):
            self.values.narrow(self.axis + 1, part.start, part.stop - part.start).zero_()
        if whole is None:
            return None
        return slice(kept.start - inside.start, kept.stop - inside.start), whole

    def _turns(self, planes: slice) -> Iterator[slice]:
        """Planes of the volume, no more than the sums hold -> one or two runs of planes of the sums."""
        start = planes.start
        while start < planes.stop:
            begin = start % self.size
            stop = min(planes.stop, start + self.size - begin)
            yield slice(begin, begin + stop - start)
            start = stop

    def _part(self, logits: torch.Tensor, planes: slice) -> torch.Tensor:
        return logits[(slice(None),) * (self.axis + 1) + (planes,)]


class _Seen:
    """What the networks see in windows, in batches; of windows without content each is looked at once."""

    def __init__(self, networks: Sequence[Network], windowing: Windowing, store: torch.device) -> None:
        self.networks, self.windowing, self.store = networks, windowing, store
        self.flips = _flips(windowing.flip_axes)
        self.values: dict[int, tuple[float, ...]] = {}  # of windows without content
        self.empty: dict[tuple[float, ...], torch.Tensor] = {}
        self.lock = Lock()

    def batches(
        self, image: torch.Tensor, windows: Sequence[tuple[slice, ...]], *, rows: Sequence[int]
    ) -> list[list[int]]:
        """Numbers of windows that are looked at together: all of one row, those without content alone."""
        made: list[list[int]] = []
        waiting: list[int] = []
        for number, window in enumerate(windows):
            if waiting and rows[number] != rows[waiting[0]]:
                made.append(waiting)
                waiting = []
            lowest, highest = image[(slice(None), *window)].flatten(1).aminmax(dim=1)
            if torch.equal(lowest, highest):
                self.values[number] = tuple(lowest.tolist())
                made.append([number])
                continue
            waiting.append(number)
            if len(waiting) == self.windowing.batch:
                made.append(waiting)
                waiting = []
        return [*made, waiting] if waiting else made

    def __call__(self, image: torch.Tensor, windows: Sequence[tuple[slice, ...]], batch: Sequence[int]) -> torch.Tensor:
        """(B, K, *patch) logits of a batch of windows."""
        stack = torch.stack([image[(slice(None), *windows[number])] for number in batch])
        if (value := self.values.get(batch[0])) is None:
            return self._logits(stack)
        with self.lock:
            if value not in self.empty:
                self.empty = {value: self._logits(stack)}  # one is kept: most often it is the same air
            return self.empty[value]

    def _logits(self, stack: torch.Tensor) -> torch.Tensor:
        """(B, C, *patch) -> (B, K, *patch) float32, the mean over networks and flips."""
        own = self.windowing
        kind = own.device.type
        total: torch.Tensor | None = None
        looks = len(self.flips) * len(self.networks)
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=own.bfloat16):
            stack = stack.to(own.device)
            for flip in self.flips:
                shown = stack
                if own.context and LEFT_RIGHT_AXIS in flip:
                    shown = torch.cat([stack[:, :-1], exchanged(stack[:, -1:], own.pairs, own.classes)], 1)
                for network in self.networks:
                    logits = _flipped_logits(network, shown, flip, own.pairs)
                    # In place: to make room for another such array takes longer than to add it.
                    total = logits.to(torch.float32, copy=looks > 1) if total is None else total.add_(logits)
            assert total is not None, "a model has at least one network"
            return (total.div_(looks) if looks > 1 else total).to(self.store)


def _check(image: torch.Tensor, windowing: Windowing) -> None:
    patch = windowing.patch
    assert image.ndim == len(patch) + 1, f"image {tuple(image.shape)} must have a channel axis and {len(patch)} more"
    assert windowing.batch >= 1 and min(patch) >= 1 and min(image.shape) >= 1
    flips = windowing.flip_axes
    assert all(0 <= axis < len(patch) for axis in flips), f"flip_axes {flips} must be spatial axes"
    check_overlap(windowing.overlap)


def _pad(image: torch.Tensor, patch: Sequence[int], *, zeros: bool) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """The image centred in a volume at least as large as the patch, and where it lies in it."""
    missing = [max(0, p - s) for p, s in zip(patch, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    inner = tuple(slice(b, b + s) for b, s in zip(before, image.shape[1:], strict=True))
    if not any(missing):
        return image, inner
    sides = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    amounts = list(chain.from_iterable(reversed(sides)))
    return functional.pad(image[None], amounts, mode="constant" if zeros else "replicate")[0], inner


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
