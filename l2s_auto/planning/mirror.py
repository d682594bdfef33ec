"""Left and right partners among labels without telling names: labels that are mirror images of each other.

In each case the mid-sagittal plane is found as the plane that most labels are mirrored at; heads may be turned. Two
labels are a pair if, in the median of the cases that hold both, their volumes and extents are alike, each lies on
its own side, one's centre mirrored is where the other's is, and neither has a better partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from l2s_auto.core.plan import CaseFingerprint

ALIKE_VOLUME = float(np.log(1.25))  # partners' volumes differ by at most a quarter
ALIKE_EXTENT = 0.3  # and the standard deviations of their voxels' places by this share
_TURNED = float(np.cos(np.deg2rad(25)))  # a head is turned by at most this
#: A mirrored centre is off by at most this share of the labels' root mean square distance from their middle.
_NEAR = 0.15
_UNLIKE = 1.75  # at most, of the three together, each as a share of its limit: not all may be at their limits
_FEWEST = 3  # pairs that have to agree on one plane, or there is no evidence for any
_COVERED = 0.4  # nor is there if less than this share of the labels is in pairs: then the body is not symmetric

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Places:
    """N cases, L labels; NaN where a case lacks one.

    centre, spread  (N, L, 3) in units of the case's finest voxel edge
    volume          (N, L) mm³, of which only ratios are looked at
    """

    centre: np.ndarray
    spread: np.ndarray
    volume: np.ndarray


def mirrored_pairs(cases: Sequence[CaseFingerprint], values: Sequence[int]) -> Pairs:
    """The values (left, right) of each pair, by the left value.

    None unless at least three pairs agree on a plane, and they are 40 % of the labels or more.
    """
    if len(values) < 2 * _FEWEST or not cases:
        return ()
    places = _gather(cases, values)
    unlike = _unlikeness(places)
    candidate = (unlike < 2) & _side_by_side(places.centre)  # [a, b]: b is to the right of a
    if candidate.sum() < _FEWEST:
        return ()
    both = candidate | candidate.T
    costs = [_case_costs(centre, spread, both) for centre, spread in zip(*_kept(places), strict=True)]
    if not costs:
        return ()
    off = _median(np.stack(costs))
    total = np.where(both & (off <= 1), off + unlike, np.inf)
    total = np.where(total <= _UNLIKE, total, np.inf)
    best = total.argmin(axis=1)
    pairs = [
        (int(values[a]), int(values[b]))
        for a, b in enumerate(best.tolist())
        if candidate[a, b] and np.isfinite(total[a, b]) and best[b] == a
    ]
    present = int(np.isfinite(places.centre[:, :, 0]).any(axis=0).sum())
    return tuple(sorted(pairs)) if len(pairs) >= max(_FEWEST, _COVERED * present / 2) else ()


def _gather(cases: Sequence[CaseFingerprint], values: Sequence[int]) -> _Places:
    nowhere = (np.nan,) * 3
    unit = np.array([min(case.spacing) for case in cases])[:, None, None]
    return _Places(
        centre=np.array([[case.label_centre.get(v, nowhere) for v in values] for case in cases]) / unit,
        spread=np.array([[case.label_spread.get(v, nowhere) for v in values] for case in cases]) / unit,
        volume=np.array([[case.label_volume.get(v, np.nan) for v in values] for case in cases]),
    )


def _median(numbers: np.ndarray) -> np.ndarray:
    """Over the first axis, of what there is; infinite where there is nothing."""
    missing = np.isnan(numbers).all(axis=0)
    return np.where(missing, np.inf, np.nanmedian(np.where(missing, np.inf, numbers), axis=0))


def _unlikeness(places: _Places) -> np.ndarray:
    """(L, L) difference in volume and extent, both up to 1 for what may be a pair; infinite for what may not."""
    ratio = np.log(places.volume[:, :, None] / places.volume[:, None, :])
    volume = _median(np.abs(ratio)) / ALIKE_VOLUME
    size = np.linalg.norm(places.spread, axis=2)
    difference = np.linalg.norm(places.spread[:, :, None] - places.spread[:, None, :], axis=3)
    extent = _median(difference / np.maximum(size[:, :, None], size[:, None, :]).clip(1e-6)) / ALIKE_EXTENT
    return np.where((volume <= 1) & (extent <= 1), volume + extent, np.inf)


def _side_by_side(centre: np.ndarray) -> np.ndarray:
    """(L, L) whether b lies to the right of a, as straight as turned heads allow."""
    across = centre[:, None, :, :] - centre[:, :, None, :]
    cosine = across[..., 0] / np.linalg.norm(across, axis=3).clip(1e-6)
    return np.where(np.isnan(cosine).all(axis=0), False, -_median(-cosine) >= _TURNED)


def _kept(places: _Places) -> tuple[np.ndarray, np.ndarray]:
    """Centres and spreads of the cases that have labels enough for a plane."""
    enough = np.isfinite(places.centre[:, :, 0]).sum(axis=1) >= 2 * _FEWEST
    return places.centre[enough], places.spread[enough]


def _case_costs(centre: np.ndarray, spread: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(L, L) how far a's mirrored centre is from b's in a case, 1 = just near; NaN where the case cannot tell.

    Infinite where a label is not on one side: its centre is nearer to the plane than its voxels scatter.
    """
    near = _NEAR * float(np.sqrt(np.nanmean(np.nansum((centre - np.nanmean(centre, axis=0)) ** 2, axis=1))))
    normal, offset = _plane(centre, both, near)
    if normal is None:
        return np.full(both.shape, np.nan)
    off = _off(centre, normal, offset) / near
    side = np.abs(centre @ normal - offset) >= np.sqrt(spread**2 @ normal**2)
    known = np.isfinite(centre[:, 0])
    off = np.where(side[:, None] & side[None, :], off, np.inf)
    return np.where(known[:, None] & known[None, :], off, np.nan)


def _off(centre: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """(L, L) distance from a's centre, mirrored at the plane normal · x = offset, to b's centre."""
    mirrored = centre - 2 * (centre @ normal - offset)[:, None] * normal
    return np.linalg.norm(mirrored[:, None] - centre[None], axis=2)


def _plane(centre: np.ndarray, both: np.ndarray, near: float) -> tuple[np.ndarray | None, float]:
    """Unit normal (pointing right) and offset of the plane that most labels find a partner at.

    Each candidate pair proposes a plane; the best proposal is refined with all pairs that agree with it.
    """
    a, b = np.nonzero(both & (centre[:, None, 0] < centre[None, :, 0]))
    across, middle = centre[b] - centre[a], (centre[a] + centre[b]) / 2
    length = np.linalg.norm(across, axis=1)
    proposed = np.flatnonzero((length > near) & (across[:, 0] >= _TURNED * length))
    best, offset = 0.0, 0.0
    normal: np.ndarray | None = None
    for i in proposed:
        direction = across[i] / length[i]
        place = float(middle[i] @ direction)
        agreeing = _agreement(centre, both, direction, place, near)
        score = float(agreeing.max(axis=1).sum())
        if score > best:
            best, normal, offset = score, direction, place
    if normal is None:
        return None, 0.0
    for _ in range(3):
        weight = _agreement(centre, both, normal, offset, near)[a, b]
        total = (weight[:, None] * across).sum(axis=0)  # long distances tell the direction best
        normal = total / np.linalg.norm(total)
        offset = float((weight * (middle @ normal)).sum() / weight.sum())
    return normal, offset


def _agreement(centre: np.ndarray, both: np.ndarray, normal: np.ndarray, offset: float, near: float) -> np.ndarray:
    """(L, L) from 1 for candidates that are exact mirror images down to 0 for those that are not near."""
    return np.where(both, np.nan_to_num(1 - _off(centre, normal, offset) / near).clip(0), 0.0)
