"""The dial of a model: its two ends, the points between them, and what each point reaches on validation cases.

A training ends at general weights w and, after a last phase mostly on real scans as they are, at home weights w_home.
The point a of the dial has the weights (1 - a) · w + a · w_home (WiSE-FT, Wortsman et al., CVPR 2022).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from l2s_auto.core.limits import MAX_COUNT
from l2s_auto.core.plan import Strict

Aim = Literal["home", "both", "anywhere", "each"]
#: What a model can be chosen for. each: per scan, home weights where both ends agree, general weights elsewhere.
AIMS: tuple[Aim, ...] = ("home", "both", "anywhere", "each")
#: File of a fold with both ends: tensors `general/NAME` and `home/NAME`, all weights of the network in each.
ENDS = "ends.safetensors"
#: File of a fold with its `Dial`.
DIAL = "dial.json"
GENERAL, HOME = "general/", "home/"
#: The point for both where nothing was measured: near the home end, since a home phase forgets little.
ASSUMED = 0.75

_Dice = Annotated[float, Field(ge=0, le=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class Reached(Strict):
    """Mean Dice over validation cases with its 95 % interval; None: not measured, or of too few cases.

    own      of the scans as they are
    changed  of the scans with changed appearances, mean over the changes of `evaluation.appearance.CHANGES`
    """

    own: _Dice | None = None
    own_interval: tuple[float, float] | None = None
    changed: _Dice | None = None
    changed_interval: tuple[float, float] | None = None


class Point(Strict):
    """A point that was measured: own and changed as in `Reached`."""

    a: _Share
    own: _Dice | None = None
    changed: _Dice | None = None


class Difference(Strict):
    """Mean paired difference of Dice over validation cases, with its 95 % interval; None: of too few cases."""

    mean: Annotated[float, Field(ge=-1, le=1)]
    interval: tuple[float, float] | None = None

    @property
    def is_none(self) -> bool:
        """Whether the cases cannot tell it from 0."""
        return self.interval is None or self.interval[0] <= 0 <= self.interval[1]


class Dial(Strict):
    """Of one fold.

    aim        what the training was asked for
    a          point of weights.safetensors; where the aim is `each`, that of the weights at home
    points     measured, in the order of a; empty: nothing was measured
    chosen     aim (home, both, anywhere) -> its point
    threshold  Dice between the segmentations of the general weights and of those chosen for home from which on `each`
               takes the latter; None: `each` is not to be had
    reached    aim -> what it reaches, cross-fitted: each case is measured at what was chosen on the others
    own_gain, changed_gain  what the home end (a = 1) has over the general end (a = 0); None: not measured
    cases      validation cases that were looked at
    note       what was assumed, in a sentence; empty: nothing
    """

    aim: Aim = "both"
    a: _Share
    points: tuple[Point, ...] = ()
    chosen: dict[Aim, _Share]
    threshold: _Share | None = None
    reached: dict[Aim, Reached] = Field(default_factory=dict)
    own_gain: Difference | None = None
    changed_gain: Difference | None = None
    cases: int = Field(default=0, ge=0, le=MAX_COUNT)
    note: str = Field(default="", max_length=1000)
