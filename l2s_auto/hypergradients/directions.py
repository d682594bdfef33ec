"""What a change of the synthetic gradient g is worth: u, of which theta's gradient is d<u, g(theta)>/d(theta).

A direction is one small class here; the estimators differentiate along it, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from l2s_auto.core.protocols import Params, State, UpdateRule
from l2s_auto.hypergradients.differentiate import inner, norm
from l2s_auto.hypergradients.finite_steps import moved, step_size

#: phi -> gradient by phi of the synthetic loss of the joint batch
Gradient = Callable[[Params], Params]


@dataclass(frozen=True)
class Seen:
    """What a direction is made of.

    v           the real loss's gradient at the updated phi, of the joint batch
    grads       the synthetic loss's at phi, likewise
    rule, state  update rule, and its state before the update
    again       the synthetic gradient at other weights
    rate_scale  factor of the rule's rate
    """

    v: Params
    grads: Params
    rule: UpdateRule
    state: State
    phi: Params
    again: Gradient
    rate_scale: float = 1.0


class Direction(Protocol):
    def __call__(self, seen: Seen) -> dict[str, torch.Tensor]:
        """u, by name as phi."""
        ...


class ThroughUpdate:
    """v · dU/dg: which theta makes the next update best for the real loss (Learn2Synth, section 3)."""

    def __call__(self, seen: Seen) -> dict[str, torch.Tensor]:
        return seen.rule.vjp(seen.v, seen.grads, seen.state, rate_scale=seen.rate_scale)


class ScaleFree:
    """Through a step of fixed length in the update rule's metric P: phi' = phi - P g / sqrt(g'P g).

    Of v it drops the part along g: what only makes the synthetic gradient longer does not count. With s = g'P g,
    u = -P (v - (v'P g / s) g) / sqrt(s), the derivative of v · phi' by g; 0 where g is.
    """

    def __call__(self, seen: Seen) -> dict[str, torch.Tensor]:
        p = scaling(seen.rule, seen.state, seen.v)
        scaled = {name: p[name] * g for name, g in seen.grads.items()}
        square = inner(seen.grads, scaled)
        if not square > 0:
            return {name: torch.zeros_like(g) for name, g in seen.grads.items()}
        along = inner(seen.v, scaled) / square
        return {name: -p[name] * (v - along * seen.grads[name]) / square.sqrt() for name, v in seen.v.items()}


class Implicit:
    """-(H + 1 / (ahead · rate · P))^-1 v: which theta is best once the network has followed it for `ahead` updates.

    H is the synthetic loss's Hessian, P the update rule's scaling of each weight. Near a minimum, gradient descent of
    n updates moves an eigenvector of P H by (1 - (1 - rate · h)^n) / h times its gradient, which 1 / (h + 1 / (n rate))
    follows; for n without end it is the implicit function theorem (Lorraine et al., AISTATS 2020). Solved by conjugate
    gradients, preconditioned by P; products with H are central differences. Where the curvature is negative it ends
    with what it has (Steihaug, SIAM J. Numer. Anal. 1983).

    ahead  updates, > 0
    steps  of the solver, each two passes over the batch, >= 1
    width  of the differences, as a share of the length of phi
    """

    def __init__(self, *, ahead: float = 100.0, steps: int = 5, width: float = 1e-3) -> None:
        if ahead <= 0 or steps < 1 or width <= 0:
            raise ValueError(f"ahead > 0, steps >= 1 and width > 0 are needed, not {ahead}, {steps}, {width}")
        self.ahead, self.steps, self.width = ahead, steps, width

    def __call__(self, seen: Seen) -> dict[str, torch.Tensor]:
        damping = 1 / (self.ahead * max(seen.rate_scale, 1e-6) * float(getattr(seen.rule, "rate", 1.0)))
        p = scaling(seen.rule, seen.state, seen.v)
        found = solved(seen.v, p, seen.again, phi=seen.phi, damping=damping, steps=self.steps, width=self.width)
        return {name: -value for name, value in found.items()}


def solved(
    v: Params, p: Params, again: Gradient, *, phi: Params, damping: float, steps: int, width: float
) -> dict[str, torch.Tensor]:
    """(H + damping / p)^-1 v by at most so many steps of conjugate gradients; p alone where all curvature is negative.

    again  gradient by phi of what H is the Hessian of
    """
    rest = dict(v)
    way = {name: p[name] * r for name, r in rest.items()}
    found = {name: torch.zeros_like(r) for name, r in rest.items()}
    size = inner(rest, way)
    for number in range(steps):
        if not size > 0:
            break
        bent = by_hessian(phi, way, again, width=width)
        bent = {name: value + damping * way[name] / p[name] for name, value in bent.items()}
        curvature = inner(way, bent)
        if not curvature > 0:
            if number == 0:
                found = {name: value / damping for name, value in way.items()}
            break
        far = size / curvature
        found = {name: value + far * way[name] for name, value in found.items()}
        rest = {name: value - far * bent[name] for name, value in rest.items()}
        new = inner(rest, {name: p[name] * r for name, r in rest.items()})
        way = {name: p[name] * rest[name] + new / size * value for name, value in way.items()}
        size = new
    return found


def by_hessian(phi: Params, way: Params, again: Gradient, *, width: float) -> dict[str, torch.Tensor]:
    """H · way, by a central difference of gradients; width: of the step, as a share of the length of phi."""
    h = step_size(width, phi, way)
    ahead, back = (again(moved(phi, way, side)) for side in (h, -h))
    return {name: (ahead[name] - back[name]) / (2 * h) for name in way}


def scaling(rule: UpdateRule, state: State, like: Params) -> dict[str, torch.Tensor]:
    """P: what the rule multiplies each weight's gradient with, but for its rate; 1 where it does not tell.

    Adam's, a little damped: a weight that has hardly had a gradient does not weigh without end.
    """
    if "square" not in state or not norm(state["square"]) > 0:
        return {name: torch.ones_like(value) for name, value in like.items()}
    correction = 1 - getattr(rule, "beta2", 0.0) ** state["count"]
    roots = {name: (square / correction).sqrt() for name, square in state["square"].items()}
    mean = torch.cat([root.flatten() for root in roots.values()]).mean()
    return {name: 1 / (root + 0.01 * mean) for name, root in roots.items()}


DIRECTIONS: dict[str, Callable[..., Direction]] = {
    "update": ThroughUpdate,
    "scale-free": ScaleFree,
    "implicit": Implicit,
}
