"""The exact hypergradient of one update, by double backward."""

from __future__ import annotations

from typing import Any

import torch

from l2s_auto.core.protocols import BilevelProblem, Params
from l2s_auto.hypergradients.differentiate import gradient, gradients, inner, leaves
from l2s_auto.hypergradients.two_pass import ImageLoss, SyntheticPass, TwoPass


class Unrolled(TwoPass):
    """w = d<u, g>/dx through the graph of g. Exact; the graph takes about 3 times the memory of a plain step.

    A batch that is taken whole keeps the graph from the synthetic pass; pieces make theirs again, one at a time.
    """

    fast_synthetic = False
    memory = 4.4

    def synthetic_pass(self, problem: BilevelProblem, phi: Params, theta: Params) -> SyntheticPass:
        whole = self.part == 1 and (self.micro_batch or problem.synthetic) >= problem.synthetic
        if not whole:
            return super().synthetic_pass(problem, phi, theta)
        piece = slice(0, problem.synthetic)
        with torch.no_grad():
            image = problem.augmented(theta, piece)
        probe, image = leaves(phi), image.requires_grad_()
        loss = problem.synth_loss(probe, image, piece)
        graph = gradients(loss, probe, create_graph=True)
        grads = {name: g.detach() for name, g in graph.items()}
        return SyntheticPass(loss.detach(), grads, (image, graph))

    def mixed(
        self, loss: ImageLoss, phi: Params, u: Params, image: torch.Tensor, piece: slice, kept: Any
    ) -> torch.Tensor:
        if kept is None:
            probe, image = leaves(phi), image.requires_grad_()
            kept = image, gradients(loss(probe, image), probe, create_graph=True)
        image, graph = kept
        return gradient(inner(u, graph), image)
