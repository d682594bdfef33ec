"""How long a training still takes, as a range: from what its iterations take once it has warmed up.

Iterations do not all cost the same. A training begins with smaller patches where the plan asks for it, moves theta on
some iterations later on. Of what has begun the cost is measured; of what is to come it is that of now times a factor
that is known within bounds.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from statistics import fmean, stdev

#: First iterations of each phase, which are not looked at: libraries choose their ways, caches fill.
WARMING_UP = 3
#: Iterations of a phase that its cost is taken from: at least, and at most.
FEWEST, MOST = 5, 200
#: Cost of an iteration with the plan's own patches, by one with the smaller ones of the beginning.
LATER = (0.7, 1.5)
#: Cost of an iteration that moves theta, by one that does not.
HYPER_STEP = (3.0, 8.0)
#: Cost of a validation in iterations, before one was measured.
VALIDATION = (0.0, 20.0)
#: By how much an estimate is off at least.
UNSURE = 0.05

#: Whether patches are the smaller ones, whether theta moves.
Kind = tuple[bool, bool]
Range = tuple[float, float]


@dataclass(frozen=True)
class Course:
    """What is known of a training before it begins; all but the numbers of times are shares of it.

    iterations   in all; None: as many as fit the time
    time_budget  seconds in all; None: no limit
    early        until where patches are the smaller ones
    hyper_from   from where theta moves, on every `hyper_every`-th iteration; None: never
    home_from    from where neither is done any more, after one more validation; 1: there is no home phase
    after        fraction of the training's time that the choice of a point takes at most after it
    validations  evenly spaced, the last one at the end
    final        cost of the validation after the training, in those during the training
    """

    iterations: int | None
    time_budget: float | None
    early: float = 0.0
    hyper_from: float | None = None
    hyper_every: int = 1
    home_from: float = 1.0
    after: float = 0.0
    validations: int = 0
    final: float = 1.0

    def kind(self, progress: float) -> Kind:
        home = progress >= self.home_from
        hyper = self.hyper_from is not None and progress >= self.hyper_from and not home
        return progress < self.early, hyper

    def stretches(self, progress: float) -> list[tuple[Kind, float]]:
        """What is left, as stretches of one kind each, and how long they are."""
        inner = [p for p in (self.early, self.hyper_from, self.home_from) if p is not None and progress < p < 1]
        ends = sorted({progress, *inner, 1.0})
        return [(self.kind(a), b - a) for a, b in itertools.pairwise(ends)]


@dataclass
class RemainingTime:
    """Collects what iterations and validations took -> the time that is left."""

    course: Course
    _times: dict[Kind, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=MOST)))
    _begun: dict[Kind, int] = field(default_factory=lambda: defaultdict(int))
    _validations: list[float] = field(default_factory=list)

    def iteration(self, progress: float, seconds: float) -> None:
        """Note what the iteration that began at a share of the training took."""
        kind = self.course.kind(progress)
        self._begun[kind] += 1
        if self._begun[kind] > WARMING_UP:
            self._times[kind].append(seconds)

    def validation(self, seconds: float) -> None:
        """Note what a validation took."""
        self._validations.append(seconds)

    def left(self, progress: float, elapsed: float) -> Range | None:
        """Seconds that are left, at least and at most; None before the training has warmed up.

        elapsed  seconds of the training so far
        """
        known = {kind: _mean(times) for kind, times in self._times.items() if len(times) >= self._needed(kind)}
        if not known or progress >= 1:
            return None
        ends = []
        if self.course.iterations is not None:
            ends.append(self._by_count(progress, known))
        if self.course.time_budget is not None:
            rest = max(0.0, self.course.time_budget - elapsed)
            ends.append((rest, rest))
        low, high = min(low for low, _ in ends), min(high for _, high in ends)
        first, last = self._a_validation(known)
        count = self.course.final if self.course.validations else 0.0
        high += self.course.after * (elapsed + high)
        return low + count * first, high + 2 * count * last  # on the scans' own grids it may take longer

    def _needed(self, kind: Kind) -> int:
        """Iterations after which the cost of a kind is known: some of them have to have moved theta."""
        return max(FEWEST, min(2 * self.course.hyper_every, MOST)) if kind[1] else FEWEST

    def _by_count(self, progress: float, known: dict[Kind, Range]) -> Range:
        iterations = self.course.iterations or 0
        low = high = 0.0
        for kind, share in self.course.stretches(progress):
            least, most = self._cost(kind, known)
            low, high = low + least * share * iterations, high + most * share * iterations
        count = self.course.validations - math.floor(progress * self.course.validations)
        count += progress < self.course.home_from < 1  # of the general weights
        first, last = self._a_validation(known)
        return low + count * first, high + count * last

    def _cost(self, kind: Kind, known: dict[Kind, Range]) -> Range:
        """Seconds of an iteration of a kind: measured, or from the kind that is most like it."""
        if kind in known:
            return known[kind]
        nearest = min(known, key=lambda other: sum(a != b for a, b in zip(kind, other, strict=True)))
        low, high = known[nearest]
        for (least, most), before, now in zip(self._factors(), nearest, kind, strict=True):
            if now and not before:
                low, high = low * least, high * most
            elif before and not now:
                low, high = low / most, high / least
        return low, high

    def _factors(self) -> tuple[Range, Range]:
        """Cost of smaller patches, and of moving theta now and then, by that without."""
        every = self.course.hyper_every
        hyper = (1 + (HYPER_STEP[0] - 1) / every, 1 + (HYPER_STEP[1] - 1) / every)
        return (1 / LATER[1], 1 / LATER[0]), hyper

    def _a_validation(self, known: dict[Kind, Range]) -> Range:
        if self._validations:
            mean = fmean(self._validations[-3:])
            return (1 - UNSURE) * mean, (1 + UNSURE) * mean
        low, high = min(low for low, _ in known.values()), max(high for _, high in known.values())
        return VALIDATION[0] * low, VALIDATION[1] * high


def _mean(times: deque[float]) -> Range:
    """The mean, as a range of two standard errors."""
    mean = fmean(times)
    error = max(UNSURE * mean, 2 * stdev(times) / math.sqrt(len(times)))
    return max(0.0, mean - error), mean + error


def told_range(left: Range) -> str:
    """`about 12 to 15 min`."""
    low, high = left
    seconds, unit, step = (1, "s", 5) if high < 90 else (60, "min", 1) if high < 5400 else (3600, "h", 0.5)
    first, last = math.floor(low / seconds / step) * step, math.ceil(high / seconds / step) * step
    last = max(last, step)
    return f"about {last:g} {unit}" if first == last else f"about {first:g} to {last:g} {unit}"


def told_seconds(seconds: float) -> str:
    """`90 s`, `10 min`, `2.5 h`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
