"""The exact hypergradient of one update, by forward mode over reverse mode."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import grad, jvp

from l2s_auto.core.protocols import Params
from l2s_auto.hypergradients.two_pass import ImageLoss, TwoPass


class Forward(TwoPass):
    """w = the tangent, along u in phi, of the gradient by the image (Pearlmutter, Neural Computation 1994).

    Exact, and gradients by the weights are not needed in it; activations and their tangents are kept.
    """

    memory = 6.3

    def mixed(
        self, loss: ImageLoss, phi: Params, u: Params, image: torch.Tensor, piece: slice, kept: Any
    ) -> torch.Tensor:
        def by_image(weights: dict[str, torch.Tensor]) -> torch.Tensor:
            return grad(lambda x: loss(weights, x))(image)

        tangent = jvp(by_image, (dict(phi),), (dict(u),))[1]
        return tangent.detach()
