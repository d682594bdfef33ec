"""Which results a person should look at: rows of qc.csv."""

from __future__ import annotations

from collections.abc import Mapping

import cc3d
import numpy as np
import torch

COLUMNS = ("case", "label", "score", "touches_border", "components", "flag", "reason")
#: A separate part counts as large from this share of its label's voxels on.
LARGE_PART = 0.1
#: Voxels of a slab times classes, so that softmax needs 64 MiB whatever the volume.
SLAB = 1 << 24


class Scores:
    """How sure the networks say they are of each label: gathered slab by slab.

    The score of a label is, for now, the mean of the largest softmax probability over the label's voxels. It is not
    calibrated: a network can be surely wrong on scans unlike its training data.
    """

    def __init__(self, classes: int) -> None:
        self.total, self.count = torch.zeros(2, classes, dtype=torch.float64)

    def add(self, logits: torch.Tensor) -> None:
        """Logits (K, *slab)."""
        rows = max(1, SLAB // max(1, logits[:, 0].numel()))
        for part in logits.split(rows, dim=1):
            highest, index = part.float().max(dim=0)
            probability = (highest - part.float().logsumexp(dim=0)).exp()
            flat = index.flatten().cpu()
            self.total += torch.bincount(flat, probability.flatten().double().cpu(), minlength=len(self.total))
            self.count += torch.bincount(flat, minlength=len(self.count))

    def means(self) -> list[float | None]:
        """K scores in (1/K, 1], None for a class that no voxel has."""
        return [float(t / n) if n else None for t, n in zip(self.total, self.count, strict=True)]


def quality_rows(
    case: str, labels: np.ndarray, names: Mapping[int, str], scores: Mapping[int, float | None]
) -> list[dict[str, object]]:
    """One row a label of a segmentation, flagged with the reason where a person should look.

    labels  (X, Y, Z) original values, on the scan's own grid
    names   value -> name, background left out
    scores  value -> score of `Scores`
    """
    border = _values_on_border(labels)
    parts = _part_sizes(labels)
    return [
        _row(case, name, scores.get(value), touches=value in border, parts=parts.get(value, []))
        for value, name in names.items()
    ]


def _row(case: str, name: str, score: float | None, *, touches: bool, parts: list[int]) -> dict[str, object]:
    """parts: voxels of each connected component, the largest first."""
    reasons = []
    large = [size for size in parts if size >= LARGE_PART * sum(parts)]
    if not parts:
        reasons.append("empty: no voxel has this label")
    if touches:
        reasons.append("touches the border of the image: the volume may be cut off")
    if len(large) > 1:
        reasons.append(f"{len(large)} separate large parts")
    return {
        "case": case,
        "label": name,
        "score": None if score is None or not parts else round(score, 4),
        "touches_border": touches,
        "components": len(parts),
        "flag": bool(reasons),
        "reason": "; ".join(reasons),
    }


def _values_on_border(labels: np.ndarray) -> set[int]:
    """Values on the faces of the grid; an axis of one voxel, as in a single slice, has no faces."""
    values: set[int] = set()
    for axis, extent in enumerate(labels.shape):
        if extent > 1:
            for face in (0, -1):
                values.update(np.unique(labels.take(face, axis=axis)).tolist())
    return values


def _part_sizes(labels: np.ndarray) -> dict[int, list[int]]:
    """Value -> voxels of its 26-connected components, the largest first; value 0 left out."""
    inside = np.nonzero(labels)
    if not len(inside[0]):
        return {}
    box = tuple(slice(int(index.min()), int(index.max()) + 1) for index in inside)
    cropped = np.ascontiguousarray(labels[box])
    # cc3d takes few dtypes and 0 as outside, so the values are numbered from there.
    values, numbered = np.unique(cropped, return_inverse=True)
    shifted = numbered.reshape(cropped.shape).astype(np.uint32) + (0 if 0 in values and values[0] == 0 else 1)
    shifted[cropped == 0] = 0
    components = cc3d.connected_components(shifted, connectivity=26).ravel()
    sizes = np.bincount(components)
    value_of = np.zeros(len(sizes), dtype=np.int64)
    value_of[components] = cropped.ravel()
    result: dict[int, list[int]] = {}
    for size, value in sorted(zip(sizes[1:].tolist(), value_of[1:].tolist(), strict=True), reverse=True):
        result.setdefault(value, []).append(size)
    return result
