"""A warning for a network with kinks whose hypergradient is taken by differences."""

from __future__ import annotations

import logging

from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.networks.smoothness import kinked_modules
from l2s_auto.training.build import make_hypergradient, make_network
from l2s_auto.training.methods import Method

LOGGER = logging.getLogger("l2s_auto")


def warn_of_kinks(plan: Plan, recipe: Recipe, method: Method) -> None:
    """Say once what kinks do to theta's gradient, if theta is learned by an estimator that sees them.

    Makes a network to look at, which draws from PyTorch's global generator; `build_parts` seeds it anew.
    """
    learns_theta = method.augmenter() is None
    if not learns_theta or not getattr(make_hypergradient(recipe), "sees_kinks", False):
        return
    if kinked := kinked_modules(make_network(plan, recipe)):
        LOGGER.warning(
            "Warning: the network has kinks (%s), at which differences along the update (--hypergradient %s) jump: "
            "theta's gradient becomes mostly noise. Take a smooth activation (the network's option activation: elu, "
            "silu or gelu), or --hypergradient unrolled.",
            ", ".join(kinked), recipe.hypergradient.name,
        )  # fmt: skip
