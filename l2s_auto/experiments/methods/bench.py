"""What the methods of an experiment learn from, and what they are tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.choices import Choices

#: Folder of the label maps of the test scans.
REFERENCES = "references"


@dataclass(frozen=True)
class Bench:
    """What is learned from, and tested on.

    dataset  the labelled dataset
    draw     (number, seed) -> cases to learn from
    tests    makes or finds the folder with the test scans: `REFERENCES`, and a folder for each of `names` and
             `structural`
    names    kinds of test scans, such as appearances; the first is like the scans that are learned from
    scans    names of the test scans, and the subject of each
    choices  what the user decides of the plans
    structural  further kinds, which are reported apart; rows of former versions may have no scores of them
    """

    dataset: Dataset
    draw: Callable[[int, int], Sequence[Case]]
    tests: Callable[[], Path]
    names: tuple[str, ...]
    scans: Mapping[str, str]
    choices: Choices = field(default_factory=Choices)
    structural: tuple[str, ...] = ()
