"""Which labels are one tissue, how bright a made-up T1-weighted scanner shows it, and what the network has to find.

FreeSurfer's numbers, and SynthSeg's for what is outside of the brain, are known by name; both sides are one tissue.
Other numbers are tissues of their own, whose brightness is spread evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: The golden ratio's fraction: multiples of it are spread evenly over [0, 1], however many there are.
GOLDEN = 0.6180339887
#: Tissues that the network has to find, at most; the others are its background.
MOST_TARGETS = 13

#: name -> (FreeSurfer's numbers, brightness, whether the network has to find it)
_KNOWN: dict[str, tuple[tuple[int, ...], float, bool]] = {
    "air": ((0,), 0.03, False),
    "white matter": ((2, 41), 0.80, True),
    "cortex": ((3, 42), 0.58, True),
    "ventricle": ((4, 43, 5, 44), 0.25, True),
    "cerebellar white matter": ((7, 46), 0.80, False),
    "cerebellar cortex": ((8, 47), 0.58, False),
    "thalamus": ((10, 49), 0.68, True),
    "caudate": ((11, 50), 0.60, True),
    "putamen": ((12, 51), 0.63, True),
    "pallidum": ((13, 52), 0.72, True),
    "third and fourth ventricle": ((14, 15), 0.25, False),
    "brainstem": ((16,), 0.75, True),
    "hippocampus": ((17, 53), 0.57, True),
    "amygdala": ((18, 54), 0.57, True),
    "fluid": ((24,), 0.22, True),
    "other brain": ((26, 58, 28, 60, 30, 62, 72, 77, 80, 85), 0.65, False),
    "dura and vessels": ((25, 57, 136, 137, 163, 164), 0.50, False),
    "soft tissue": ((507, 506, 514, 516), 0.38, True),
    "bone": ((511, 509), 0.15, True),
    "fat and skin": ((515, 530), 0.90, True),
    "other head": ((502, 508), 0.30, False),
}


@dataclass(frozen=True)
class Tissues:
    """names, brightness in [0, 1] and target (0: background) of each class; values, rising, and the class of each."""

    names: tuple[str, ...]
    brightness: tuple[float, ...]
    targets: tuple[int, ...]
    values: np.ndarray
    classes: np.ndarray

    def of(self, labels: np.ndarray) -> np.ndarray:
        """Label values that are among `values` -> classes, int16."""
        return self.classes[np.searchsorted(self.values, labels)]


def numbers_of(name: str) -> tuple[int, ...]:
    """FreeSurfer's numbers of a tissue that is known."""
    return _KNOWN[name][0]


def tissues_of(values: np.ndarray) -> Tissues:
    """Classes of the label values that are there; that of 0 comes first."""
    present = sorted({0, *(int(v) for v in values)})
    known = {value: name for name, (numbers, _, _) in _KNOWN.items() for value in numbers}
    # Any dataset may have labels 1 to 9: they are FreeSurfer's where both sides' white matter or cortex is there.
    named = {2, 3} <= set(present) and {41, 42} & set(present)
    name_of = {v: known.get(v, f"label {v}") if named or v == 0 else f"label {v}" for v in present}
    names = tuple(dict.fromkeys(name_of[v] for v in sorted(present, key=bool)))
    brightness: list[float] = []
    targets: list[int] = []
    for number, name in enumerate(names):
        _, bright, wanted = _KNOWN.get(name, ((), round(GOLDEN * number % 1, 3), number > 0))
        brightness.append(bright)
        targets.append(max(targets, default=0) + 1 if wanted and max(targets, default=0) < MOST_TARGETS else 0)
    classes = np.array([names.index(name_of[value]) for value in present], dtype=np.int16)
    return Tissues(names, tuple(brightness), tuple(targets), np.array(present), classes)
