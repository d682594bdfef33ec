"""Learning rates over a training: progress in [0, 1] -> factor in [0, 1] of the full rate, by name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """The factor rises linearly from 0 to 1 over the first `ramp` of the training; what follows is the schedule's own.

    ramp  share of the training, in [0, 1)

    Raises ValueError for an option outside its range.
    """

    ramp: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.ramp < 1:
            raise ValueError(f"a schedule needs ramp >= 0 and < 1, not {self.ramp!r}")

    def __call__(self, progress: float) -> float:
        """The factor at a share of the training; past its end, as a time budget can be, the factor at the end."""
        if progress < self.ramp:
            return progress / self.ramp
        return self.after_ramp((min(progress, 1.0) - self.ramp) / (1 - self.ramp))

    @abstractmethod
    def after_ramp(self, progress: float) -> float:
        """The factor at a share of what is left after the ramp, 1 at its beginning."""


@dataclass(frozen=True, kw_only=True)
class Poly(Schedule):
    """(1 - progress) ^ power, from 1 to 0; nnU-Net's with the default.

    power  > 0
    """

    power: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.power < math.inf:
            raise ValueError(f"the schedule poly needs power > 0, not {self.power!r}")

    def after_ramp(self, progress: float) -> float:
        return (1 - progress) ** self.power


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """(1 + cos(pi · progress)) / 2, from 1 to 0 (Loshchilov and Hutter, ICLR 2017, without restarts)."""

    def after_ramp(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """1 throughout."""

    def after_ramp(self, progress: float) -> float:
        return 1.0


SCHEDULES: dict[str, type[Schedule]] = {"constant": Constant, "cosine": Cosine, "poly": Poly}
