"""How well a segmentation agrees with a reference: Dice, HD95, surface Dice (NSD), volume error."""

from __future__ import annotations

from l2s_auto.evaluation.folders import evaluate_folders
from l2s_auto.evaluation.metrics import evaluate_case, summarise

__all__ = ["evaluate_case", "evaluate_folders", "summarise"]
