"""The share of the images that are to look like the real ones, where theta holds it (`augmenters.share`).

The synthetic loss's mean over both families is linear in the share p: p · near + (1 - p) · far. So the derivative of
d<u, g> by it is <u, g of near images> - <u, g of far ones>, taken on the same label maps with the same random numbers.
"""

from __future__ import annotations

import torch

from l2s_auto.core.protocols import Params
from l2s_auto.hypergradients.differentiate import leaves
from l2s_auto.hypergradients.two_pass import pulled_back
from l2s_auto.networks import call_method
from l2s_auto.synthesis.intensity import Shares
from l2s_auto.training.build import Parts


def learns_share(parts: Parts) -> bool:
    """Whether theta holds the share, and there are real images to be like."""
    return bool(getattr(parts.augmenter, "learns_share", False)) and parts.generator.prior is not None


def shares_of(parts: Parts, theta: Params | None) -> Shares:
    """Families of the class intensities: the generator's, or with the share that theta holds."""
    usual = parts.generator.shares
    if theta is None or not learns_share(parts):
        return usual
    with torch.no_grad():
        prior = float(call_method(parts.augmenter, "own_share", theta))
    turned = usual.reversed / (1 - usual.prior) if usual.prior < 1 else 0.0
    return Shares(prior=prior, reversed=turned * (1 - prior))


def by_share(parts: Parts, theta: Params, slope: torch.Tensor) -> dict[str, torch.Tensor]:
    """slope · d(share)/d(theta)."""
    theta = leaves(theta)
    share = call_method(parts.augmenter, "own_share", theta)
    return pulled_back(slope.to(share.dtype), share, theta)
