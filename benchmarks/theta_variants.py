"""Hypergradients of several kinds, by the largest noise, the bias field and the share of the contrast prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from theta_world import Point, Problem

from l2s_auto.augmenters.bounds import INTENSITY
from l2s_auto.core.composition import of_shares
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.hypergradients.differentiate import inner, norm
from l2s_auto.hypergradients.directions import solved
from l2s_auto.hypergradients.finite_steps import moved, step_size
from l2s_auto.hypergradients.two_pass import SyntheticPass
from l2s_auto.synthesis.drawn import joined
from l2s_auto.synthesis.families import RENDERED
from l2s_auto.training.batches import DrawnBatch, augment, draw_batch, draw_pair, draw_real
from l2s_auto.training.build import Parts, initial_state
from l2s_auto.training.step import TwoPasses, loss_gradients, network_loss, replace_state, synthetic_step

LEAP = 0.1  # difference of the share between two branches
AHEAD, SOLVER_STEPS = 100, 10  # updates that the implicit variant looks ahead; steps of its solver


@dataclass(frozen=True)
class Seen:
    """real, synthetic, twins  means over batches of the real gradient, the synthetic one, and that of images of the
    scans' own label maps; own  of the batch whose derivative by theta is taken"""

    parts: Parts
    state: TrainState
    real: Params
    synthetic: Params
    twins: Params
    own: Params
    scale: float


# Variants: which u the synthetic gradient's derivative by theta is multiplied with.

Direction = Callable[[Seen], Params]


def one_step(seen: Seen) -> Params:
    """The paper's: through the update as it is."""
    return seen.parts.rule.vjp(seen.real, seen.own, seen.state.inner_state, rate_scale=seen.scale)


def scaling(state: TrainState) -> Params:
    """Adam's, of each weight."""
    roots = {name: square.sqrt() for name, square in state.inner_state["square"].items()}
    mean = torch.cat([root.flatten() for root in roots.values()]).mean()
    return {name: 1 / (root + 0.01 * mean) for name, root in roots.items()}


def persistent(seen: Seen) -> Params:
    """Through Adam's mean step m / sqrt(q) as if theta had always been that: q, the mean of the squares, follows.

    Of a weight: dm - m E[g dg] / q, so that what makes a weight's gradient longer, noise included, does not count.
    """
    p, mean, square = scaling(seen.state), seen.state.inner_state["mean"], seen.state.inner_state["square"]
    return {
        name: -p[name] * r * (1 - mean[name] * seen.own[name] / (square[name] + 1e-20)).clamp(-20, 20)
        for name, r in seen.real.items()
    }


def scale_free(seen: Seen) -> Params:
    """Through phi - rate · s / |s|: what only makes s longer does not count."""
    r, s = seen.real, seen.synthetic
    along = inner(r, s) / norm(s) ** 2
    return {name: -(r[name] - along * s[name]) / norm(s) for name in r}


def scaled_scale_free(seen: Seen, s: Params | None = None) -> Params:
    """The same in Adam's metric P: phi - rate · P s / sqrt(s'P s)."""
    p, r, s = scaling(seen.state), seen.real, s or seen.synthetic
    ps = {name: p[name] * s[name] for name in s}
    square = inner(s, ps)
    along = inner(r, ps) / square
    return {name: -p[name] * (r[name] - along * s[name]) / square.sqrt() for name in r}


def of_the_batch(seen: Seen) -> Params:
    """The same with the batch's own s, whose noise makes it longer, too."""
    return scaled_scale_free(seen, seen.own)


def of_the_mean(seen: Seen) -> Params:
    """The same with Adam's running mean of the gradients, which costs nothing."""
    return scaled_scale_free(seen, seen.state.inner_state["mean"])


def plain(seen: Seen) -> Params:
    """Through phi - rate · P s, P Adam's scaling as it stands."""
    p = scaling(seen.state)
    return {name: -p[name] * r for name, r in seen.real.items()}


def matching(seen: Seen) -> Params:
    """Of 1/2 (r - s)'P(r - s) by theta: synthetic images shall move the network as real ones do."""
    p = scaling(seen.state)
    return {name: -p[name] * (r - seen.twins[name]) for name, r in seen.real.items()}


def implicit(parts: Parts, state: TrainState, real: Params, made: list[Batch], scale: float) -> dict[str, torch.Tensor]:
    """`l2s_auto.hypergradients.directions.Implicit` on several batches, with the scaling of the other variants."""

    def again(phi: Params) -> Params:
        return mean_of([loss_gradients(parts, phi, batch, fast=False)[0] for batch in made])

    damping = 1 / (AHEAD * scale * parts.recipe.optimiser.options["rate"])
    given = {"phi": state.phi, "damping": damping, "steps": SOLVER_STEPS, "width": 1e-3}
    return {name: -value for name, value in solved(real, scaling(state), again, **given).items()}


VARIANTS: dict[str, Direction] = {
    "one-step": one_step,
    "one-step, scaling held": plain,
    "one-step, persistent": persistent,
    "scale-free": scale_free,
    "scale-free, Adam's metric": scaled_scale_free,
    "scale-free, Adam's metric, of the batch": of_the_batch,
    "scale-free, Adam's metric, of Adam's mean": of_the_mean,
    "matching": matching,
}


def mean_of(values: list[Params]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([value[name] for value in values]).mean(0) for name in values[0]}


def gradients_at(problem: Problem, parts: Parts, state: TrainState, scale: float) -> dict:
    """Of each variant the derivatives by the three axes: (n,) values, one a group of batches."""
    given, all_real = problem.given, []
    variants = {name: VARIANTS[name] for name in getattr(given, "variants", VARIANTS)}
    rows: dict = {name: [] for name in variants}
    fixed: list[tuple[DrawnBatch, Batch]] = []
    for _ in range(given.groups):
        reals, synthetics, twins = [], [], []
        for _ in range(given.batches):
            scans, paired = draw_pair(parts)
            reals.append(loss_gradients(parts, state.phi, scans)[0])
            twins.append(loss_gradients(parts, state.phi, as_seen(parts, state.theta, paired))[0])
            made = draw_batch(parts)
            synthetics.append(loss_gradients(parts, state.phi, as_seen(parts, state.theta, made))[0])
        r, s, t = mean_of(reals), mean_of(synthetics), mean_of(twins)
        all_real.append(r)
        found: dict[str, list] = {name: [] for name in variants}
        for _ in range(given.batches):
            made = draw_batch(parts)
            fixed.append((made, as_seen(parts, state.theta, made)))
            own = loss_gradients(parts, state.phi, fixed[-1][1])[0]
            seen = Seen(parts, state, r, s, t, own, scale)
            for name, direction in variants.items():
                found[name].append(along(parts, state, direction(seen), made))
        for name, values in found.items():
            rows[name].append(np.mean(values, axis=0).tolist())
    u = implicit(parts, state, mean_of(all_real), [batch for _, batch in fixed[: given.batches]], scale)
    others = fixed[given.batches :] or fixed  # that H has not seen
    rest = [along(parts, state, u, made) for made, _ in others]
    rows["implicit"] = np.array_split(np.array(rest), max(1, given.groups - 1))
    rows["implicit"] = [group.mean(0).tolist() for group in rows["implicit"]]
    return {name: np.array(values).T.tolist() for name, values in rows.items()}


@torch.no_grad()
def as_seen(parts: Parts, theta: Params, made: DrawnBatch) -> Batch:
    return Batch(augment(parts, theta, made), made.target)


def along(parts: Parts, state: TrainState, u: Params, made: DrawnBatch) -> list[float]:
    """d<u, s>/d(noise, bias, prior) on a synthetic batch."""
    scans = made.rendered.clean  # not looked at
    hyper = TwoPasses(parts, made, scans)
    theta = {name: value.detach().requires_grad_() for name, value in state.theta.items()}
    by_theta = parts.hypergradient.theta_gradient(hyper, state.phi, theta, u, SyntheticPass(torch.zeros(()), {}))
    by_noise = INTENSITY * by_theta["raw_width"].item()
    by_bias = by_theta["raw_exponents"].sum().item()
    near, far = families(parts, made)
    by_prior = slope_along(parts, state, u, near) - slope_along(parts, state, u, far)
    return [by_noise, by_bias, by_prior]


def families(parts: Parts, made: DrawnBatch) -> tuple[DrawnBatch, DrawnBatch]:
    """The same batch with all images real-like, and with none, all else being equal."""
    generator, pair, rendered = parts.generator, [], made.rendered
    for composition in (of_shares(1.0, 0.0), of_shares(0.0, 1 / 3)):
        start = torch.rand((), generator=parts.random).item()
        names = composition.of_batch(len(rendered.clean.target), start)
        runs = [(name, len(list(run))) for name, run in groupby(names)]
        mixture = joined([RENDERED[name].mixture(count, generator.known, parts.random) for name, count in runs])
        with torch.no_grad():
            image = generator.render(rendered.layout, rendered.draw, mixture)
        pair.append(replace(made, rendered=replace(rendered, clean=Batch(image, rendered.clean.target))))
    return pair[0], pair[1]


@torch.no_grad()
def slope_along(parts: Parts, state: TrainState, u: Params, made: DrawnBatch) -> float:
    """<u, d(synthetic loss)/d(phi)>, by a central difference of the loss."""
    seen = as_seen(parts, state.theta, made)
    h = step_size(1e-3, state.phi, u)
    ahead, back = (network_loss(parts, moved(state.phi, u, x), seen.image, seen.target, fast=False) for x in (h, -h))
    return ((ahead - back) / (2 * h)).item()


def branches(problem: Problem, parts: Parts, state: TrainState, point: Point, scale: float) -> dict:
    """Lookahead: from these weights, trainings with theta on either side whose rate falls to 0, and the real loss.

    The random numbers are the same on both sides.
    """
    given = problem.given
    sides = {
        "noise": [point.at("noise", max(0.0, point.noise - 0.03)), point.at("noise", point.noise + 0.03)],
        "bias": [point.at("bias", max(0.0, point.bias - 0.1)), point.at("bias", min(1.0, point.bias + 0.1))],
        "prior": [point.at("prior", max(0.0, point.prior - LEAP)), point.at("prior", min(1.0, point.prior + LEAP))],
    }
    scans = [draw_real(parts) for _ in range(given.branch_scans)]
    slopes = []
    for axis, (low, high) in sides.items():
        losses = []
        for side in (low, high):
            own = problem.parts(side)
            own.random.manual_seed(problem.seed + 17)
            start = replace_state(state, theta=initial_state(own).theta)
            for step in range(given.branch):
                start = synthetic_step(own, start, rate_scale=scale * (1 - step / given.branch)).state
            with torch.no_grad():
                losses.append(
                    np.mean([network_loss(own, start.phi, batch.image, batch.target).item() for batch in scans])
                )
        slopes.append(float(losses[1] - losses[0]) / (getattr(high, axis) - getattr(low, axis)))
    return {f"branches of {given.branch}": [[slope] for slope in slopes]}
