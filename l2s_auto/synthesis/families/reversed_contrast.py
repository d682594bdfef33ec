"""Synthetic images with the contrast of the real scans reversed, as between T1- and T2-weighted MRI."""

from __future__ import annotations

from dataclasses import replace

import torch

from l2s_auto.synthesis.families.base import Known
from l2s_auto.synthesis.families.real_like import RealLike
from l2s_auto.synthesis.intensity import Mixture


class ReversedContrast(RealLike):
    """As `RealLike` with 1 - mean in place of the mean; classes without signal stay dark."""

    def mixture(self, images: int, known: Known, generator: torch.Generator) -> Mixture:
        drawn = super().mixture(images, known, generator)
        return replace(drawn, mean=torch.where(known.air, drawn.mean, 1 - drawn.mean))
