"""The exact hypergradient of one update, by double backward (Learn2Synth, arXiv 2411.16719, section 3)."""

from __future__ import annotations

import torch

from l2s_auto.core.protocols import BilevelProblem, BilevelStep, Params, State, UpdateRule


def leaves(params: Params) -> dict[str, torch.Tensor]:
    """The same values as new leaves that gradients can be asked for."""
    return {name: p.detach().requires_grad_() for name, p in params.items()}


def gradients(loss: torch.Tensor, params: Params, *, create_graph: bool = False) -> dict[str, torch.Tensor]:
    """d(loss)/d(params) by name. A parameter that the loss does not depend on is an error, never a silent None."""
    values = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
    return dict(zip(params, values, strict=True))


def inner(u: Params, v: Params) -> torch.Tensor:
    """Inner product over all parameters."""
    return torch.stack([(u[name] * v[name]).sum() for name in u]).sum()


class Unrolled:
    """With g the synthetic gradient, phi' = U(phi, g) and v = d(real loss)/d(phi'), theta's gradient is

        d(real loss)/d(theta) = v · dU/dg · dg/d(theta) = d<u, g>/d(theta),   u = v · dU/dg held fixed.

    The update rule gives u in closed form, so only g is differentiated twice: exact for every rule, and no graph of
    the update is kept. Everything runs in the precision of phi.
    """

    def __call__(
        self,
        problem: BilevelProblem,
        phi: Params,
        theta: Params,
        rule: UpdateRule,
        state: State,
        *,
        rate_scale: float = 1.0,
    ) -> BilevelStep:
        phi, theta = leaves(phi), leaves(theta)
        synth_loss = problem.synth_loss(phi, theta)
        graph = gradients(synth_loss, phi, create_graph=True)
        grads = {name: g.detach() for name, g in graph.items()}

        with torch.no_grad():
            new_phi, new_state = rule.update(phi, grads, state, rate_scale=rate_scale)
        probe = leaves(new_phi)
        real_loss = problem.real_loss(probe)
        v = gradients(real_loss, probe)
        with torch.no_grad():
            u = rule.vjp(v, grads, state, rate_scale=rate_scale)

        theta_grad = gradients(inner(u, graph), theta)
        return BilevelStep(new_phi, new_state, theta_grad, synth_loss.item(), real_loss.item())
