"""What a model was found to be like on the cases that it was validated on, so that its own opinion can be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated

from pydantic import Field

from l2s_auto.core.digits import shown, significant
from l2s_auto.core.limits import MAX_COUNT, MAX_LABELS
from l2s_auto.core.plan import LabelValue, Strict
from l2s_auto.io.json_files import read_model

#: Cases below which a mean says nothing.
FEWEST = 3
#: Mean Dice that leaving out all but a label's largest piece must gain, and what it may cost in a single case.
GAIN, COST = 0.001, 0.002
#: Share of the training cases in which the label is one piece, at least, where smaller ones are left out.
SINGLE = 0.95
#: A volume outside of what was labelled in training by more than this factor is implausible.
BEYOND = 2.0


_DIGITS = 6  # that are kept of a volume
_Difference = Annotated[float, Field(ge=-1, le=1)]
_Volume = Annotated[float, Field(ge=0, le=1e21)]


class LabelCalibration(Strict):
    """Of one label.

    excess  by how much, on average, the networks expected a higher Dice than the one they reached
    error   mean absolute difference between what is expected after that, and what was reached
    cases   that this was seen in
    smallest, largest  mm³ of the label in the training cases that have it; None where none has
    pieces  most connected pieces of it in one of these cases
    single  share of them in which it is one piece; None where none has it
    largest_gain, largest_worst  by how much its Dice rises, on average and in the worst validated case, where all but
            its largest piece is left out; None where nothing is known
    """

    excess: _Difference
    error: float = Field(ge=0, le=2)
    cases: int = Field(ge=0, le=MAX_COUNT)
    smallest: _Volume | None = None
    largest: _Volume | None = None
    pieces: int | None = Field(default=None, ge=0, le=MAX_COUNT)
    single: float | None = Field(default=None, ge=0, le=1)
    largest_gain: _Difference | None = None
    largest_worst: _Difference | None = None


class Calibration(Strict):
    """Original value of a label -> its calibration."""

    labels: dict[LabelValue, LabelCalibration] = Field(default_factory=dict, max_length=MAX_LABELS)

    def dice(self, value: int, expected: float | None) -> float | None:
        """The Dice of a label to be expected, from what the networks expect."""
        own = self.labels.get(value)
        if expected is None or own is None or not self.knows(value):
            return expected
        return min(1.0, max(0.0, expected - own.excess))

    def knows(self, value: int) -> bool:
        """Whether enough validated cases have the label."""
        return value in self.labels and self.labels[value].cases >= FEWEST

    def usual_pieces(self, value: int) -> int:
        """Most connected pieces of the label in a training case; 1 where nothing is known."""
        own = self.labels.get(value)
        return 1 if own is None or own.pieces is None else max(1, own.pieces)

    def only_largest(self) -> tuple[int, ...]:
        """The labels of which all but the largest piece is better left out, as the validated cases have shown."""
        return tuple(value for value, own in self.labels.items() if _better_alone(own))

    def strange_volume(self, value: int, volume: float) -> str:
        """Why a volume in mm³ is implausible; empty where it is not, or nothing is known."""
        own = self.labels.get(value)
        if own is None or own.smallest is None or own.largest is None or volume == 0:
            return ""
        if own.smallest / BEYOND <= volume <= own.largest * BEYOND:
            return ""
        usual = f"{shown(own.smallest)} to {shown(own.largest)} mm³"
        return f"{shown(volume)} mm³, while the training cases have {usual}"


def _better_alone(own: LabelCalibration) -> bool:
    if own.cases < FEWEST or own.largest_gain is None or own.largest_worst is None:
        return False
    single = own.single is not None and own.single >= SINGLE
    return single and own.largest_gain >= GAIN and own.largest_worst >= -COST


def calibrate(
    results: Sequence[Mapping[int, tuple[float | None, float | None]]],
    volumes: Mapping[int, Sequence[float]],
    pieces: Mapping[int, Sequence[int]],
    alone: Sequence[Mapping[int, float]] = (),
) -> Calibration:
    """The calibration of a model.

    results  a mapping a validated case: value -> (expected Dice, Dice reached), None where there is none
    volumes  value -> mm³ of it in each training case that has it
    pieces   value -> connected pieces of it in each of these cases
    alone    a mapping a validated case: value -> by how much its Dice rises where its largest piece alone is kept
    """
    values = sorted({value for result in results for value in result} | set(volumes))
    labels = {}
    for value in values:
        rises = [case[value] for case in alone if value in case]
        labels[value] = _of_label(value, results, volumes, pieces).model_copy(
            update={
                "largest_gain": round(fmean(rises), 5) if rises else None,
                "largest_worst": round(min(rises), 5) if rises else None,
            }
        )
    return Calibration(labels=labels)


def _of_label(
    value: int,
    results: Sequence[Mapping[int, tuple[float | None, float | None]]],
    volumes: Mapping[int, Sequence[float]],
    pieces: Mapping[int, Sequence[int]],
) -> LabelCalibration:
    found = [result[value] for result in results if value in result]
    both = [(expected, reached) for expected, reached in found if expected is not None and reached is not None]
    excess = fmean(expected - reached for expected, reached in both) if both else 0.0
    seen = volumes.get(value, ())
    return LabelCalibration(
        excess=round(excess, 4),
        error=round(fmean(abs(expected - excess - reached) for expected, reached in both), 4) if both else 0.0,
        cases=len(both),
        smallest=significant(min(seen), _DIGITS) if seen else None,
        largest=significant(max(seen), _DIGITS) if seen else None,
        pieces=max(pieces[value]) if pieces.get(value) else None,
        single=round(fmean(count == 1 for count in pieces[value]), 4) if pieces.get(value) else None,
    )


def read_calibration(paths: Iterable[Path]) -> Calibration:
    """The mean over the folds whose files are there."""
    known = [read_model(path, Calibration) for path in paths if path.is_file()]
    values = sorted({value for one in known for value in one.labels})
    return Calibration(labels={v: _mean([one.labels[v] for one in known if v in one.labels]) for v in values})


def _mean(of_folds: Sequence[LabelCalibration]) -> LabelCalibration:
    weights = [max(one.cases, 1e-9) for one in of_folds]
    total = sum(weights)

    def mean(values: Iterable[float]) -> float:
        return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total

    smallest = [one.smallest for one in of_folds if one.smallest is not None]
    largest = [one.largest for one in of_folds if one.largest is not None]
    pieces = [one.pieces for one in of_folds if one.pieces is not None]
    gains = [(one.largest_gain, max(one.cases, 1)) for one in of_folds if one.largest_gain is not None]
    worst = [one.largest_worst for one in of_folds if one.largest_worst is not None]
    return LabelCalibration(
        excess=mean(one.excess for one in of_folds),
        error=mean(one.error for one in of_folds),
        cases=min(sum(one.cases for one in of_folds), MAX_COUNT),
        smallest=min(smallest, default=None),
        largest=max(largest, default=None),
        pieces=max(pieces, default=None),
        single=min((one.single for one in of_folds if one.single is not None), default=None),
        largest_gain=sum(gain * n for gain, n in gains) / sum(n for _, n in gains) if gains else None,
        largest_worst=min(worst, default=None),
    )
