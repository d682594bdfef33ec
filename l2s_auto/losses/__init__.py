"""Losses: (B, K, *S) logits, (B, *S) class indices -> scalar."""

from l2s_auto.losses.compound import DiceCrossEntropy
from l2s_auto.losses.cross_entropy import CrossEntropy
from l2s_auto.losses.dice import SoftDice

LOSSES = {"dice": SoftDice, "cross-entropy": CrossEntropy, "dice+cross-entropy": DiceCrossEntropy}
