"""What training images are made of: fractions of the families of images, which sum to 1.

Families are registered in `synthesis.families`; their names are known here, so that recipes can be checked cheaply.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Rendered from label maps: A_theta is the scanner of the first.
REAL_LIKE, REVERSED, UNIFORM_TISSUES, UNIFORM_LABELS = "real-like", "reversed", "uniform-tissues", "uniform-labels"
#: Made of real scans. The last is a scan as it is.
RANDOM_CURVE, RECONTRASTED, ORIGINAL = "random-curve", "recontrasted", "original"
RENDERED = (REAL_LIKE, REVERSED, UNIFORM_TISSUES, UNIFORM_LABELS)
FROM_SCANS = (RANDOM_CURVE, RECONTRASTED, ORIGINAL)
FAMILIES = (*RENDERED, *FROM_SCANS)
#: Of images with random contrasts: those whose tissues differ whatever their labels, and those whose labels do.
OF_TISSUES = 0.75
ROUNDING = 1e-6
#: Of a training that learns theta, from many scans and from few: a scan is never learned from as it is. Of few scans
#: there is too little texture to learn mostly from it. What other fractions give: docs/experiments.md.
LEARNED = {REAL_LIKE: 0.3, RANDOM_CURVE: 0.7}
LEARNED_FROM_FEW = {REAL_LIKE: 0.6, RANDOM_CURVE: 0.4}
#: Scans that are many: 9 and 5 were few in measurements, 160 and 174 were many; nothing between was measured.
MANY_SCANS = 20
#: Of its home phase. The images with random curves keep what the network has learned of other contrasts.
AT_HOME = {ORIGINAL: 0.75, RANDOM_CURVE: 0.25}


@dataclass(frozen=True)
class Composition:
    """Name of a family -> its fraction of the training images.

    Raises ValueError for unknown names, fractions that are not positive numbers, and a sum other than 1.
    """

    fractions: Mapping[str, float]

    def __post_init__(self) -> None:
        if problem := problem_of(self.fractions):
            raise ValueError(problem)
        kept = {name: float(self.fractions[name]) for name in FAMILIES if self.fractions.get(name, 0) > 0}
        total = sum(kept.values())
        total = 1.0 if math.isclose(total, 1.0, rel_tol=1e-12) else total  # so that the same again is the same
        object.__setattr__(self, "fractions", {name: value / total for name, value in kept.items()})

    def __getitem__(self, name: str) -> float:
        return self.fractions.get(name, 0.0)

    @property
    def rendered(self) -> float:
        """Fraction of the images that are rendered from label maps."""
        return sum(self[name] for name in RENDERED)

    @property
    def from_scans(self) -> float:
        """Fraction of the images that are made of real scans."""
        return sum(self[name] for name in FROM_SCANS)

    def of_batch(self, batch: int, start: float) -> tuple[str, ...]:
        """The family of each image of a batch, in the order of `FAMILIES`.

        start  uniform in [0, 1). Systematic sampling: of each family a batch has fraction · batch images, rounded up or
               down at random so that the mean is right. So every family whose fraction · batch is 1 or more is in it.
        """
        sums = itertools.accumulate(fraction * batch for fraction in self.fractions.values())
        ends = [round(end, 9) for end in sums]  # where that is a whole number, rounding must not move an image
        names = list(self.fractions)
        return tuple(
            next((name for name, end in zip(names, ends, strict=True) if start < end - number), names[-1])
            for number in range(batch)
        )

    def only_rendered(self) -> Composition:
        """The families that are rendered from label maps, in their proportions; random contrasts if there are none."""
        if not self.rendered:
            return Composition(uniform())
        return Composition({name: self[name] / self.rendered for name in RENDERED})

    def with_fraction(self, name: str, fraction: float) -> Composition:
        """This family with that fraction, the others in their proportions; uniform images where there is no other."""
        rest = {other: value for other, value in self.fractions.items() if other != name}
        total = sum(rest.values())
        rest = rest or uniform()
        total = total or 1.0
        return Composition({name: fraction, **{o: v / total * (1 - fraction) for o, v in rest.items()}})

    def without_scans_statistics(self) -> Composition:
        """For label maps without images, of which no intensities are known: random contrasts in place of theirs."""
        lost = self[REAL_LIKE] + self[REVERSED]
        kept = {name: value for name, value in self.fractions.items() if name not in (REAL_LIKE, REVERSED)}
        return Composition(
            {name: kept.get(name, 0.0) + lost * part for name, part in uniform().items()}
            | {name: value for name, value in kept.items() if name not in uniform()}
        )


def learned_from(scans: int) -> dict[str, float]:
    """Usual fractions of a training that learns theta, by the number of scans to learn from."""
    return LEARNED if scans >= MANY_SCANS else LEARNED_FROM_FEW


def in_words(fractions: Mapping[str, float]) -> str:
    """Such as `60 % real-like, 40 % random-curve`."""
    return ", ".join(f"{100 * fractions[name]:.3g} % {name}" for name in FAMILIES if fractions.get(name, 0) > 0)


def problem_of(fractions: Mapping[str, float]) -> str:
    """Why these are no fractions of families; empty where they are."""
    unknown = [str(name) for name in fractions if name not in FAMILIES]
    if unknown:
        return f"unknown family {', '.join(unknown)}; the families are {', '.join(FAMILIES)}"
    values = list(fractions.values())
    if any(not math.isfinite(value) or value < 0 for value in values):
        return f"fractions must be numbers from 0 to 1, not {values}"
    if abs(sum(values) - 1) > ROUNDING:
        return f"fractions must sum to 1, not {sum(values):.6g}"
    return ""


def parsed(text: str) -> dict[str, float]:
    """Fractions from text such as `real-like=0.6,random-curve=0.4`. ValueError says what is wrong."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (one.strip() for one in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{part.strip()!r} is not NAME=FRACTION, such as real-like=0.6") from None
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = number
    if problem := problem_of(found):
        raise ValueError(problem)
    return found


def as_text(fractions: Mapping[str, float]) -> str:
    """What `parsed` reads."""
    return ",".join(f"{name}={fractions[name]:.6g}" for name in FAMILIES if fractions.get(name, 0) > 0)


def uniform(fraction: float = 1.0) -> dict[str, float]:
    """Random contrasts, as in SynthSeg."""
    return {UNIFORM_TISSUES: OF_TISSUES * fraction, UNIFORM_LABELS: (1 - OF_TISSUES) * fraction}


def of_shares(prior: float | None, turned: float | None, *, usual: tuple[float, float] = (0.6, 0.15)) -> Composition:
    """What `prior_share` and `reversed_share` of earlier recipes say; None: what was usual then."""
    real_like = usual[0] if prior is None else prior
    reverse = min(usual[1] if turned is None else turned, 1 - real_like)
    return Composition({REAL_LIKE: real_like, REVERSED: reverse, **uniform(1 - real_like - reverse)})
