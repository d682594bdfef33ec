"""Choosing the point on the dial for each aim, from Dice on validation cases; what is chosen is told cross-fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from l2s_auto.core.dial import ASSUMED, Aim, Dial, Point, Reached
from l2s_auto.evaluation.appearance import AS_THEY_ARE, CHANGES
from l2s_auto.evaluation.intervals import interval_of, paired_difference

#: Of scans as they are, and of changed ones.
COLUMNS = (AS_THEY_ARE, *CHANGES)
#: How much changed Dice `both` may lose to the best point; differences of own Dice that are none, for home and both.
WORTH, EQUAL_AT_HOME, EQUAL = 0.01, 0.001, 0.0005
#: Folds of the cross-fitting.
FOLDS = 5
#: Cases without which nothing is chosen.
FEWEST = 2
#: Slack of comparisons, for rounding.
SLACK = 1e-9

#: Case -> appearance -> Dice.
Table = Mapping[str, Mapping[str, float]]
NOT_EACH = "--aim each cannot be given: {0}. The point for both is used instead."
NO_AGREEMENT = "the agreement of the two segmentations was not measured on enough validation cases"
GENERAL_AT_HOME = "the general weights are the best at home too, so there is nothing to choose per scan"


def settle(points: Mapping[float, Table], agreements: Mapping[float, Table], *, aim: Aim) -> Dial:
    """Dice on validation cases at points of the dial -> what to choose for each aim, and what that reaches.

    points      a -> case -> appearance (`AS_THEY_ARE`, or one of `CHANGES`) -> Dice in [0, 1]; with 0 and 1, or empty
    agreements  a > 0 -> case -> appearance -> Dice between the segmentations of the general weights and of point a
    A case and appearance that was not measured at each point counts at none. Other appearances are ignored.

    anywhere    a = 0, the general weights
    home        the point with the best own Dice; of points within EQUAL_AT_HOME of it, the one with the best changed
    both        of points whose changed Dice is at most WORTH below the best, the one with the best own Dice; of points
                within EQUAL of it, the one with the best changed
    each        the weights chosen for home where the agreement is at least the threshold, else the general ones. The
                threshold is that with the best mean of own and changed Dice, both with half the weight. Candidates are
                the lowest agreement, since nothing is known of scans on which the ends agree less, 1, and what lies
                midway between two neighbouring agreements; of equal ones, the middle of their range

    What an aim reaches is cross-fitted: the cases are in up to FOLDS parts, and each part is measured at what was
    chosen on the others. Below FEWEST cases nothing is chosen or reached, and the note says what was assumed.
    """
    if not points:
        return unmeasured(aim, why="no point was measured")
    measured = _Measured.of(points, agreements)
    known, cases = measured.summary(), measured.counted
    if cases < FEWEST:
        why = f"it takes {FEWEST} validation cases with original and changed scans, and there were {cases}"
        return unmeasured(aim, why=why).model_copy(update={"points": known, "cases": cases})
    best = _choose(measured)
    note = "" if best.threshold is not None else (NO_AGREEMENT if best.chosen["home"] > 0 else GENERAL_AT_HOME)
    return Dial(
        aim=aim,
        a=_point_of(aim, best),
        points=known,
        chosen=best.chosen,
        threshold=best.threshold,
        reached=_cross_fitted(measured, each=best.threshold is not None),
        own_gain=paired_difference(*measured.ends(measured.own)),
        changed_gain=paired_difference(*measured.ends(measured.changed)),
        cases=cases,
        note=NOT_EACH.format(note) if note and aim == "each" else "",
    )


def unmeasured(aim: Aim, *, why: str) -> Dial:
    """Of a training of which nothing tells the better point: the ends, and the one that is assumed for both.

    why  a part of a sentence, such as "no case was held out"
    """
    choice = _Choice({"home": 1.0, "both": ASSUMED, "anywhere": 0.0})
    a = _point_of(aim, choice)
    note = f"The point of the dial was not chosen by measurement, since {why}: a = {a:g} is assumed."
    if aim == "each":
        note += f" {NOT_EACH.format('it needs a threshold from validation cases')}"
    return Dial(aim=aim, a=a, chosen=choice.chosen, note=note)


@dataclass(frozen=True)
class _Choice:
    """The points of aims, and the threshold of `each`."""

    chosen: dict[Aim, float]
    threshold: float | None = None


def _point_of(aim: Aim, choice: _Choice) -> float:
    """Of the weights that predict; where each is not to be had, that for both."""
    if aim == "each":
        return choice.chosen["both" if choice.threshold is None else "home"]
    return choice.chosen[aim]


@dataclass(frozen=True)
class _Measured:
    """What was measured, as arrays; NaN where it was not.

    dice       (points, cases, appearances)
    agreement  a -> (cases, appearances)
    """

    a: tuple[float, ...]
    cases: tuple[str, ...]
    dice: np.ndarray
    agreement: dict[float, np.ndarray]

    @classmethod
    def of(cls, points: Mapping[float, Table], agreements: Mapping[float, Table]) -> _Measured:
        a = tuple(sorted(points))
        cases = tuple(sorted({case for table in points.values() for case in table}))
        dice = np.stack([_array(points[point], cases) for point in a])
        dice[:, np.isnan(dice).any(axis=0)] = np.nan
        return cls(a, cases, dice, {point: _array(agreements[point], cases) for point in agreements})

    def some(self, which: np.ndarray) -> _Measured:
        """Of some of the cases, by their numbers."""
        agreement = {a: values[which] for a, values in self.agreement.items()}
        return _Measured(self.a, tuple(self.cases[i] for i in which), self.dice[:, which], agreement)

    @property
    def own(self) -> np.ndarray:
        """(points, cases) Dice of scans as they are."""
        return self.dice[:, :, 0]

    @property
    def changed(self) -> np.ndarray:
        """(points, cases) Dice of changed scans, mean over the changes."""
        return _mean(self.dice[:, :, 1:])

    @property
    def counted(self) -> int:
        """Cases that were measured as they are, or changed, whichever are fewer."""
        return min(int(np.isfinite(values[0]).sum()) for values in (self.own, self.changed))

    def at(self, a: float) -> int:
        """Number of the measured point next to a."""
        return int(np.argmin(np.abs(np.array(self.a) - a)))

    def summary(self) -> tuple[Point, ...]:
        rows = zip(self.a, _mean(self.own), _mean(self.changed), strict=True)
        return tuple(Point(a=a, own=_or_none(own), changed=_or_none(changed)) for a, own, changed in rows)

    def ends(self, values: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
        """(points, cases) -> case -> value of the home end, and of the general end."""
        known = [i for i in range(len(self.cases)) if np.isfinite(values[0, i])]
        home, general = ({self.cases[i]: float(values[k, i]) for i in known} for k in (self.at(1), self.at(0)))
        return home, general


def _choose(measured: _Measured) -> _Choice:
    """By the rules of `settle`. Without changed scans `ASSUMED` is for both; without original ones, 1 for home."""
    own, changed = _mean(measured.own), _mean(measured.changed)
    chosen: dict[Aim, float] = {"home": 1.0, "both": ASSUMED, "anywhere": 0.0}
    if np.isfinite(own).all():
        chosen["home"] = measured.a[_best(own, changed, equal=EQUAL_AT_HOME)]
    if np.isfinite(own).all() and np.isfinite(changed).all():
        worth = np.where(changed >= changed.max() - WORTH - SLACK, own, -np.inf)
        chosen["both"] = measured.a[_best(worth, changed, equal=EQUAL)]
    return _Choice(chosen, _threshold(measured, chosen["home"]))


def _best(first: np.ndarray, second: np.ndarray, *, equal: float) -> int:
    """Number of the point with the best first value; of almost equal ones, that with the best second."""
    level = first >= first.max() - equal - SLACK
    return int(np.argmax(np.where(level, np.nan_to_num(second, nan=0.0), -np.inf)))


def _threshold(measured: _Measured, home: float) -> float | None:
    """Of `each`; None where too few agreements are known, or the general weights are those for home."""
    if home == 0 or home not in measured.agreement:
        return None
    agreement = measured.agreement[home]
    gain = np.where(np.isnan(agreement), np.nan, measured.dice[measured.at(home)] - measured.dice[measured.at(0)])
    of_own, of_changed = (np.isfinite(part).any(axis=1) for part in (gain[:, :1], gain[:, 1:]))
    if min(of_own.sum(), of_changed.sum()) < FEWEST:
        return None
    known = np.isfinite(gain)
    weight = np.zeros_like(gain)
    weight[:, 0] = 0.5 / of_own.sum()
    weight[:, 1:] = 0.5 / of_changed.sum() / np.maximum(1, known[:, 1:].sum(axis=1, keepdims=True))
    agreed, gained = agreement[known], (weight * gain)[known]
    different = np.unique(agreed)
    candidates = np.unique([different[0], *((different[1:] + different[:-1]) / 2), 1.0])
    total = np.array([gained[agreed >= candidate].sum() for candidate in candidates])
    return _middle(candidates, total >= total.max() - SLACK)


def _middle(candidates: np.ndarray, best: np.ndarray) -> float:
    """The middle of the widest range of neighbouring candidates that are all best."""
    edges = np.flatnonzero(np.diff([False, *best, False]))
    low, high = candidates[edges[::2]], candidates[edges[1::2] - 1]
    widest = int(np.argmax(high - low))
    return float(low[widest] + high[widest]) / 2


def _cross_fitted(measured: _Measured, *, each: bool) -> dict[Aim, Reached]:
    """What each aim reaches where each case is measured at what was chosen on the others."""
    shape = (len(measured.cases), len(COLUMNS))
    aims: tuple[Aim, ...] = ("home", "both", "anywhere", *(("each",) if each else ()))
    taken = {aim: np.full(shape, np.nan) for aim in aims}
    for others, left_out in _parts(len(measured.cases)):
        choice = _choose(measured.some(others))
        for aim in aims:
            taken[aim][left_out] = _taken(measured.some(left_out), aim, choice)
    return {aim: _reached(values) for aim, values in taken.items()}


def _parts(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of cases to choose on, and of those that are left out: each is left out once."""
    numbers = np.arange(count)
    folds = min(FOLDS, count)
    for fold in range(folds):
        yield numbers[numbers % folds != fold], numbers[numbers % folds == fold]


def _taken(measured: _Measured, aim: Aim, choice: _Choice) -> np.ndarray:
    """(cases, appearances) Dice of the segmentations that are taken."""
    if aim != "each" or choice.threshold is None:
        return measured.dice[measured.at(_point_of(aim, choice))]
    home = choice.chosen["home"]
    agreement = measured.agreement[home]
    taken = np.where(agreement >= choice.threshold, measured.dice[measured.at(home)], measured.dice[measured.at(0)])
    return np.where(np.isnan(agreement), np.nan, taken)


def _reached(dice: np.ndarray) -> Reached:
    """(cases, appearances) Dice -> means and intervals over the cases."""
    figures: dict[str, object] = {}
    for name, values in (("own", dice[:, 0]), ("changed", _mean(dice[:, 1:]))):
        known = values[np.isfinite(values)]
        interval = interval_of(known)
        figures[name] = float(known.mean()) if len(known) else None
        figures[f"{name}_interval"] = None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1]))
    return Reached.model_validate(figures)


def _array(table: Table, cases: tuple[str, ...]) -> np.ndarray:
    """(cases, appearances), NaN where there is nothing."""
    values = [[table.get(case, {}).get(name, np.nan) for name in COLUMNS] for case in cases]
    return np.array(values, float).reshape(len(cases), len(COLUMNS))


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=-1) / np.maximum(1, count), np.nan)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
