"""Synthetic images like the real scans: class intensities are drawn around those that the real scans have."""

from __future__ import annotations

import torch

from l2s_auto.synthesis.drawn import normal
from l2s_auto.synthesis.families.base import Known, Rendered
from l2s_auto.synthesis.intensity import Mixture

LEAST_STD = 0.005


class RealLike(Rendered):
    """Mean and standard deviation of each class are normal around what the real scans have. A_theta is the scanner."""

    def mixture(self, images: int, known: Known, generator: torch.Generator) -> Mixture:
        prior = known.prior
        assert prior is not None, "images like real scans need statistics of real scans"
        size = (images, *prior.mean.shape)
        mean = prior.mean + prior.mean_spread * normal(*size, generator=generator)
        std = prior.std + prior.std_spread * normal(*size, generator=generator)
        return Mixture(mean, std.clamp_min(LEAST_STD))
