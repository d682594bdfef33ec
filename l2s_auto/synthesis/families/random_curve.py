"""Real scans in other contrasts: intensities go through a random curve."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.synthesis.drawn import uniform
from l2s_auto.synthesis.families.base import FromScan, Known, mixed
from l2s_auto.synthesis.intensity import rescale

#: Values of a curve: so many, at evenly spaced intensities. Two give a line, which rises or falls.
FEWEST, MOST = 2, 6
#: Fraction of the curves that fall throughout, as between T1- and T2-weighted MRI.
FALLING = 0.25
#: Fraction of the images in which what has no signal is dark, as air is in every MR sequence.
DARK_AIR = 0.5


class RandomCurve(FromScan):
    """Piecewise linear between 2 to 6 knots of which each is U(0, 1): most are not monotone, a quarter falls.
    One for each image and channel.

    The texture of the scan stays, with another strength and sign at each intensity.
    """

    def draw(self, images: int, known: Known, generator: torch.Generator) -> dict[str, torch.Tensor]:
        def each(count: int) -> torch.Tensor:
            return uniform(images, known.channels, count, generator=generator)

        values = each(MOST)
        return {
            "values": torch.where(each(1) < FALLING, values.sort(dim=2, descending=True).values, values),
            "knots": (FEWEST + each(1) * (MOST - FEWEST + 1)).long().clamp_max(MOST),
            "dark": each(1) < DARK_AIR,
        }

    def __call__(
        self, scans: torch.Tensor, classes: torch.Tensor, drawn: Mapping[str, torch.Tensor], known: Known
    ) -> torch.Tensor:
        found = through_curve(rescale(scans), drawn["values"], knots=drawn["knots"])
        air = mixed(known.air[classes][:, None].to(found.dtype))
        dark = drawn["dark"].view(*drawn["dark"].shape[:2], *[1] * (found.ndim - 2))
        return torch.where(dark, found * (1 - air), found)


def through_curve(image: torch.Tensor, values: torch.Tensor, *, knots: torch.Tensor | None = None) -> torch.Tensor:
    """(B, C, *S) intensities, those below 0 and above 1 taken for 0 and 1, through piecewise linear curves.

    values  (B, C, K) of each curve at its knots
    knots   (B, C, 1) int64, from 2 to K: how many a curve has, at even places of [0, 1]; None: K
    """
    knots = values.new_full((1, 1, 1), values.shape[2], dtype=torch.int64) if knots is None else knots
    place = image.flatten(2).clamp(0, 1) * (knots - 1)
    first = torch.minimum(place.long(), knots - 2)
    low, high = values.gather(2, first), values.gather(2, first + 1)
    return torch.lerp(low, high, place - first).view_as(image)
