"""Learning rates over a training."""

from __future__ import annotations


def decay(progress: float) -> float:
    """Polynomial decay from 1 to 0 over progress in [0, 1], as nnU-Net's: (1 - progress) ^ 0.9."""
    return (1 - min(progress, 1.0)) ** 0.9
