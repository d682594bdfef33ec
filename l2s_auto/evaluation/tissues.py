"""Two tissues change places in intensity near the structures; texture is kept."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from l2s_auto.evaluation.scene import Scene

#: Width of the ring around a structure, in finest voxel edges, in which the tissue around it is looked for.
RING = 2.5
#: Difference of intensity below which two tissues are alike.
ALIKE = 0.1
#: Structures that are tried, the largest first.
TRIED = 20
#: Voxels that centres of clusters are found from.
SAMPLE = 20_000
Masks = tuple[np.ndarray, np.ndarray]


def exchanged_tissues(x: np.ndarray, scene: Scene) -> np.ndarray:
    """A structure has the mean intensity of the tissue around it, and that tissue has the structure's.

    The structure is the largest one that differs from what is around it. Labelled structures move as a whole, by how
    close their median is to either tissue. Unlabelled voxels move where they are like the tissue around the structure;
    those like the structure itself stay, so the change is no function of intensity. Further away than a structure's
    size from all labels it fades out. Without a reference two clusters of intensity are exchanged in one half of the
    scan.
    """
    if scene.labels is None:
        return _exchange_clusters(x)
    pair = _structure_and_ring(x, scene.labels, scene.edges)
    if pair is None:
        return x
    weight = _near(scene.labels, scene)
    return np.stack([_exchange(channel, scene.labels, pair, weight) for channel in x])


def _exchange(x: np.ndarray, labels: np.ndarray, pair: Masks, weight: np.ndarray) -> np.ndarray:
    """(X, Y, Z) one channel, with its two tissues exchanged."""
    own, other = (float(np.median(x.ravel()[voxels])) for voxels in pair)
    gap = other - own
    if gap == 0:
        return x
    shift = np.interp((_median(x) - own) / gap, (0, 1, 2), (0, -1, 0)).astype(np.float32)
    inside = labels != 0
    values, which = np.unique(labels[inside], return_inverse=True)
    medians = _medians(x[inside], which, len(values))
    shift[inside] = np.interp((medians - own) / gap, (-1, 0, 1, 2), (0, 1, -1, 0))[which]
    return x + gap * weight * _smooth(shift)


def _structure_and_ring(x: np.ndarray, labels: np.ndarray, edges: tuple[float, ...]) -> Masks | None:
    """Flat indices of the voxels of a structure, and of the tissue around it: the darker or the brighter voxels of the
    ring, whichever are more. None where no structure has anything around it.
    """
    values, counts = np.unique(labels[labels != 0], return_counts=True)
    largest = values[np.argsort(-counts, kind="stable")][:TRIED]
    codes = np.searchsorted(largest[np.argsort(largest)], labels)  # small numbers for find_objects
    best: tuple[float, Masks] | None = None
    ordered = np.sort(largest)
    codes = np.where(ordered[codes.clip(max=len(ordered) - 1)] == labels, codes + 1, 0)
    boxes = find_objects(codes)
    flat = np.arange(labels.size).reshape(labels.shape)
    for value in largest:
        code = int(np.searchsorted(ordered, value)) + 1
        box = _padded(boxes[code - 1], labels.shape, edges)
        inside = codes[box] == code
        away = distance_transform_edt(~inside, sampling=edges)
        ring = (away > 0) & (away <= RING)
        for channel in x:
            found = _contrast(channel[box], inside, ring)
            if found is not None and (best is None or found[0] > best[0]):
                best = found[0], (flat[box][inside], flat[box][found[1]])
        if best is not None and best[0] >= ALIKE:
            break
    return best[1] if best is not None else None


def _contrast(x: np.ndarray, inside: np.ndarray, ring: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Difference of a structure from the tissue around it, and the voxels of that tissue."""
    own = np.median(x[inside])
    sides = [ring & (x > own + ALIKE / 2), ring & (x < own - ALIKE / 2)]
    other = max(sides, key=np.count_nonzero)
    if not other.any():
        other = ring & (x != own)
    return (float(abs(np.median(x[other]) - own)), other) if other.any() else None


def _padded(box: tuple[slice, ...], shape: tuple[int, ...], edges: tuple[float, ...]) -> tuple[slice, ...]:
    """The box with room for the ring on each side."""
    rooms = [int(np.ceil(RING / edge)) for edge in edges]
    return tuple(
        slice(max(0, part.start - room), min(n, part.stop + room))
        for part, room, n in zip(box, rooms, shape, strict=True)
    )


def _near(labels: np.ndarray, scene: Scene) -> np.ndarray:
    """(X, Y, Z) 1 within the size of a structure from a labelled voxel, falling to 0 at twice that distance."""
    reach = max(scene.size(labels.shape), 1.0)
    away = distance_transform_edt(labels == 0, sampling=scene.edges)
    return (2 - away / reach).clip(0, 1).astype(np.float32)


def _medians(x: np.ndarray, which: np.ndarray, count: int) -> np.ndarray:
    """Median of each class of voxels; `which` is the class of each."""
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=count))
    return np.array([np.median(part) for part in np.split(x[order], ends[:-1])])


def _median(x: np.ndarray) -> np.ndarray:
    """Median of three voxels along each axis in turn: noise goes, borders stay."""
    for axis in range(x.ndim):
        before, after = _neighbours(x, axis)
        x = np.maximum(np.minimum(before, after), np.minimum(np.maximum(before, after), x))
    return x


def _smooth(x: np.ndarray) -> np.ndarray:
    """Weights 1/4, 1/2, 1/4 along each axis: no step between a structure and what is around it."""
    for axis in range(x.ndim):
        before, after = _neighbours(x, axis)
        x = 0.5 * x + 0.25 * (before + after)
    return x


def _neighbours(x: np.ndarray, axis: int) -> Masks:
    """The voxels before and after each along the axis; at the border the voxel itself."""
    last = x.shape[axis] - 1
    places = np.arange(last + 1)
    return x.take((places - 1).clip(0), axis), x.take((places + 1).clip(max=last), axis)


def _exchange_clusters(x: np.ndarray) -> np.ndarray:
    """The two brighter ones of three clusters of intensity exchanged, in one half along the longest axis."""
    axis = int(np.argmax(x.shape[1:]))
    n = x.shape[1 + axis]
    ramp = (0.5 + 4 * (0.5 - (np.arange(n) + 0.5) / n)).clip(0, 1)
    weight = ramp.reshape([n if i == axis else 1 for i in range(3)]).astype(np.float32)
    return np.stack([_swap(channel, _centres(channel), weight) for channel in x])


def _swap(x: np.ndarray, centres: np.ndarray, weight: np.ndarray) -> np.ndarray:
    own, gap = float(centres[1]), float(centres[2] - centres[1])
    if gap == 0:
        return x
    shift = np.interp((_median(x) - own) / gap, (-1, 0, 1, 2), (0, 1, -1, 0)).astype(np.float32)
    return x + gap * weight * _smooth(shift)


def _centres(x: np.ndarray) -> np.ndarray:
    """Three centres of intensity, sorted (Lloyd's k-means from the quartiles)."""
    sample = x.ravel()[:: max(1, x.size // SAMPLE)]
    centres = np.quantile(sample, (0.1, 0.5, 0.9))
    for _ in range(20):
        nearest = np.abs(sample[:, None] - centres).argmin(1)
        centres = np.array([sample[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(3)])
    return np.sort(centres)
