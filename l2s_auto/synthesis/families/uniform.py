"""Random contrasts, as in SynthSeg (Billot et al., Medical Image Analysis 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from l2s_auto.synthesis.families.base import LEAST_STD, Known, Rendered, alike
from l2s_auto.synthesis.intensity import Mixture


class UniformLabels(Rendered):
    """Mean ~ U(0, 1), standard deviation ~ U(0.01, largest): one of each for a structure, so that labels stand out."""

    def mixture(self, images: int, known: Known, generator: torch.Generator) -> Mixture:
        return uniform_mixture(images, known, known.structures, generator)


class UniformTissues(Rendered):
    """The same, one of each for a tissue, which goes on across the border of a label."""

    def mixture(self, images: int, known: Known, generator: torch.Generator) -> Mixture:
        return uniform_mixture(images, known, known.tissues or known.structures, generator)


def uniform_mixture(images: int, known: Known, kinds: Sequence[int], generator: torch.Generator) -> Mixture:
    mean, std = alike(images, known, kinds, generator)
    return Mixture(mean, LEAST_STD + (known.largest_std - LEAST_STD) * std)
