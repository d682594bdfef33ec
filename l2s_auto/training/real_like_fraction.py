"""The fraction of real-like images, where theta holds it (`augmenters.share`).

The mean loss over the families is linear in the fraction p: p · real-like + (1 - p) · others. So the derivative of
d<u, g> by it is <u, g of real-like images> - <u, g of the others>, taken on the same label maps.
"""

from __future__ import annotations

import torch

from l2s_auto.augmenters import learns_share
from l2s_auto.core.composition import REAL_LIKE, Composition
from l2s_auto.core.protocols import Params
from l2s_auto.hypergradients.differentiate import leaves
from l2s_auto.hypergradients.two_pass import pulled_back
from l2s_auto.networks import call_method
from l2s_auto.training.build import Parts


def learns_fraction(parts: Parts) -> bool:
    """Whether theta holds the fraction, and there are real images to be like."""
    return learns_share(parts.augmenter) and parts.generator.known.prior is not None


def composition_of(parts: Parts, theta: Params | None) -> Composition:
    """The training's fractions, with that of real-like images as theta holds it."""
    usual = parts.generator.composition
    if theta is None or not learns_fraction(parts):
        return usual
    with torch.no_grad():
        return usual.with_fraction(REAL_LIKE, float(call_method(parts.augmenter, "own_share", theta)))


def by_fraction(parts: Parts, theta: Params, slope: torch.Tensor) -> dict[str, torch.Tensor]:
    """slope · d(fraction)/d(theta)."""
    theta = leaves(theta)
    fraction = call_method(parts.augmenter, "own_share", theta)
    return pulled_back(slope.to(fraction.dtype), fraction, theta)
