"""What belongs to the machine or to one call, and so never travels with the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from l2s_auto.training.team import ALONE, Team


@dataclass(frozen=True)
class Options:
    """Of a call of `plan_and_train`.

    appearances  whether folds are validated under changes of their scans' appearance too
    """

    device: torch.device
    workers: int
    resume: bool = False
    init: Path | None = None
    team: Team = ALONE
    appearances: bool = False
