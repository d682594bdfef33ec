"""Which method to use for a dataset: the most accurate on its own scans that bears other ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

#: A model is taken to bear other scans if changes of appearance cost it no more Dice than this.
BEARABLE = 0.1
#: Differences of Dice below this are none.
EQUAL = 0.005
#: Held-out subjects below this number are few: the sentence says how many they are.
FEW = 10


@dataclass(frozen=True)
class Scores:
    """Mean Dice on held-out scans as they are, and over changes of their appearance.

    structural  over changes that are no function of intensity, which have no say in a recommendation; None: not known
    """

    own: float
    changed: float
    structural: float | None = None

    @property
    def mean(self) -> float:
        return (self.own + self.changed) / 2


def recommended(methods: Mapping[str, Scores]) -> str:
    """The method with the best mean of both figures; of equal ones that which bears changes best."""
    best = max(score.mean for score in methods.values())
    equal = [name for name, score in methods.items() if score.mean >= best - EQUAL]
    return max(equal, key=lambda name: (methods[name].changed, name == "learn2synth", name))


def recommendation(methods: Mapping[str, Scores], *, subjects: int | None = None, level: Collection[str] = ()) -> str:
    """One sentence: what is recommended, why, and what would be better where every scan is like these.

    subjects  how many are held out, where that is known
    level     methods that cannot be told from the best on these scans
    """
    name = recommended(methods)
    own = methods[name]
    if own.mean == 0:
        return "No method has found anything in the held-out scans, so that none is recommended."
    few = subjects is not None and subjects < FEW
    whose = f" of only {subjects} subject{'s' if subjects != 1 else ''}" if few else ""
    reached = (
        f"Dice {own.own:.3f} on held-out scans{whose} as they are and {own.changed:.3f} where their appearance is "
        "changed"
    )
    if len(methods) == 1:
        return f"{name} reaches {reached}; no other method was tried on these data."
    others = "; ".join(f"{n} {s.own:.3f} and {s.changed:.3f}" for n, s in methods.items() if n != name)
    sentence = f"For these data {name} is recommended: {reached} ({others})"
    ahead = max(methods, key=lambda n: methods[n].own)
    gain = methods[ahead].own - own.own
    if gain > EQUAL:
        lost = methods[ahead].own - methods[ahead].changed
        but = f", but loses {lost:.3f} on changed ones ({name} {own.own - own.changed:.3f})" if lost > BEARABLE else ""
        sentence += f"; {ahead} is more accurate by {gain:.3f} on scans exactly like these{but}"
    if beside := [other for other in methods if other in level and other != name]:
        sentence += f"; no difference from it can be told for {', '.join(beside)}"
    return sentence + "."
