"""Which results a person should look at: rows of qc.csv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch

from l2s_auto.core.digits import shown
from l2s_auto.inference.calibration import Calibration
from l2s_auto.inference.sliding_window import Slab

COLUMNS = ("case", "label", "score", "touches_border", "components", "flag", "reason")
#: A separate part counts as large from this share of its label's voxels on.
LARGE_PART = 0.1
#: A Dice below this, to be expected of a label, is a reason to look at it.
LOW = 0.7
#: Voxels of a slab times classes, so that softmax stays in a processor's cache; other devices take more at once.
SLAB = 1 << 20
ON_A_GPU = 64


class Scores:
    """The Dice of each label that the networks themselves expect: gathered slab by slab.

    With p_k the softmax probability of class k and S_k the voxels that it wins, the expected Dice is
    2 sum_{S_k} p_k / (sum p_k + |S_k|): what the class is not sure to have, and what it may have missed, count alike.
    Networks expect too much; `Calibration` takes off what they expected too much of the cases that they were validated
    on.
    """

    def __init__(self, classes: int) -> None:
        self.won, self.all, self.count = torch.zeros(3, classes, dtype=torch.float64)

    def add(self, logits: torch.Tensor) -> None:
        """Logits (K, *slab)."""
        most = SLAB if logits.device.type == "cpu" else ON_A_GPU * SLAB
        rows = max(1, most // max(1, logits[:, 0].numel()))
        classes = len(self.all)
        for part in logits.split(rows, dim=1):
            flat = part.reshape(classes, -1).float()
            highest, index = flat.max(dim=0)
            share = (flat - highest).exp_()
            probability = share.sum(dim=0).reciprocal_()  # of the class that wins, whose share is 1
            self.all += (share @ probability).double().cpu()
            won, index = probability.double().cpu(), index.cpu()
            self.won += torch.bincount(index, won, minlength=classes)
            self.count += torch.bincount(index, minlength=classes)

    def noting(self, slabs: Iterable[Slab]) -> Iterator[Slab]:
        """The slabs as they are, each noted on its way."""
        for planes, logits in slabs:
            self.add(logits)
            yield planes, logits

    @property
    def is_finite(self) -> bool:
        """Whether all logits were numbers, none of them infinite: a single one that is not stays in the sums."""
        return bool(self.all.isfinite().all())

    def means(self) -> list[float | None]:
        """K expected Dice in (0, 1], None for a class that no voxel has."""
        return [
            float(2 * won / (every + count)) if count else None
            for won, every, count in zip(self.won, self.all, self.count, strict=True)
        ]


def quality_rows(
    case: str,
    labels: np.ndarray,
    names: Mapping[int, str],
    scores: Mapping[int, float | None],
    *,
    parts: Mapping[int, list[int]],
    lost: Mapping[int, int] | None = None,
    calibration: Calibration | None = None,
    voxel: float = 1.0,
) -> list[dict[str, object]]:
    """One row a label of a segmentation, flagged with the reason where a person should look.

    labels  (X, Y, Z) original values, on the scan's own grid
    names   value -> name, background left out
    scores  value -> expected Dice of `Scores`
    parts   value -> voxels of its connected pieces, the largest first
    lost    value -> voxels that were left out because they were apart from its largest piece
    calibration  what the model was found to be like on the cases that it was validated on
    voxel   mm³
    """
    known = calibration or Calibration()
    border = _values_on_border(labels)
    rows: list[dict[str, object]] = []
    for value, name in names.items():
        sizes = parts.get(value, [])
        score = known.dice(value, scores.get(value)) if sizes else None
        reasons = _reasons(sizes, touches=value in border, usual=known.usual_pieces(value))
        if (gone := (lost or {}).get(value, 0)) >= LARGE_PART * (sum(sizes) + gone) > 0:
            reasons.append(f"{shown(gone * voxel)} mm³ apart from its largest piece were left out")
        if score is not None and known.knows(value) and score < LOW:
            reasons.append(f"a Dice of about {score:.2f} is to be expected, by what the model reached in validation")
        if strange := known.strange_volume(value, sum(sizes) * voxel):
            reasons.append(strange)
        rows.append(
            {
                "case": case,
                "label": name,
                "score": None if score is None else round(score, 4),
                "touches_border": value in border,
                "components": len(sizes),
                "flag": bool(reasons),
                "reason": "; ".join(reasons),
            }
        )
    return rows


def _reasons(parts: list[int], *, touches: bool, usual: int) -> list[str]:
    """parts: voxels of each connected component, the largest first; usual: of how many a training case may consist."""
    reasons = []
    large = [size for size in parts if size >= LARGE_PART * sum(parts)]
    if not parts:
        reasons.append("empty: no voxel has this label")
    if touches:
        reasons.append("touches the border of the image: the volume may be cut off")
    if len(large) > usual:
        reasons.append(f"{len(large)} separate large parts")
    return reasons


def _values_on_border(labels: np.ndarray) -> set[int]:
    """Values on the faces of the grid; an axis of one voxel, as in a single slice, has no faces."""
    values: set[int] = set()
    for axis, extent in enumerate(labels.shape):
        if extent > 1:
            for face in (0, -1):
                values.update(np.unique(labels.take(face, axis=axis)).tolist())
    return values
