"""Losses: (B, K, *S) logits, (B, *S) class indices -> scalar."""

from l2s_auto.losses.cl_dice import DiceClDice
from l2s_auto.losses.compound import DiceCrossEntropy
from l2s_auto.losses.cross_entropy import CrossEntropy
from l2s_auto.losses.dice import SoftDice
from l2s_auto.losses.ignoring import Ignoring
from l2s_auto.losses.regions import WithRegions

LOSSES = {
    "dice": SoftDice,
    "cross-entropy": CrossEntropy,
    "dice+cross-entropy": DiceCrossEntropy,
    "dice+cldice": DiceClDice,
}

__all__ = ["LOSSES", "CrossEntropy", "DiceClDice", "DiceCrossEntropy", "Ignoring", "SoftDice", "WithRegions"]
