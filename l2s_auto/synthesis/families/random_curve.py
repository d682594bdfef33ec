"""Real scans in other contrasts: intensities go through a random curve."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.synthesis.drawn import uniform
from l2s_auto.synthesis.families.base import FromScan, Known
from l2s_auto.synthesis.intensity import rescale

#: Values of the curve, at evenly spaced intensities from 0 to 1.
KNOTS = 6


class RandomCurve(FromScan):
    """Piecewise linear between knots of which each is U(0, 1): not monotone. One curve for each image and channel.

    The texture of the scan stays, with another strength and sign at each intensity.
    """

    def draw(self, images: int, known: Known, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"knots": uniform(images, known.channels, KNOTS, generator=generator)}

    def __call__(
        self, scans: torch.Tensor, classes: torch.Tensor, drawn: Mapping[str, torch.Tensor], known: Known
    ) -> torch.Tensor:
        return through_curve(rescale(scans), drawn["knots"])


def through_curve(image: torch.Tensor, knots: torch.Tensor) -> torch.Tensor:
    """(B, C, *S) intensities, below 0 and above 1 taken for those; (B, C, K) values at K even places of [0, 1]."""
    place = image.flatten(2).clamp(0, 1) * (knots.shape[2] - 1)
    first = place.long().clamp_max(knots.shape[2] - 2)
    low, high = knots.gather(2, first), knots.gather(2, first + 1)
    return torch.lerp(low, high, place - first).view_as(image)
