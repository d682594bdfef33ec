"""What the network's loss tells about theta, and how well so many scans can: why some numbers are found and others not.

A network is trained on synthetic images of a preset's own theta, then stopped. With r and s the real and the synthetic
gradient by its weights, J the derivative of s by theta and P the weights' scaling, J'P(r - s) is 0 on average, theta
being right already; its scatter, through (J'PJ)^-1, is the standard error of the theta that matching gradients finds.
J'PJ is the curvature of the matching objective; that of the mean real loss after one step of the network is taken as
well, by differences of hypergradients. Eigenvectors say which mixture of numbers an eigenvalue belongs to.

    python benchmarks/theta_information.py --data label_maps --preset "exponents 1 0 0" --json results.json
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.protocols import Params
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import TrainState
from l2s_auto.experiments.recovery.anatomies import load_anatomies
from l2s_auto.experiments.recovery.presets import PRESETS
from l2s_auto.experiments.recovery.problem import make_parts
from l2s_auto.experiments.recovery.run import SPACING
from l2s_auto.hypergradients.matching import flat, unflat
from l2s_auto.networks.device import choose_device
from l2s_auto.training.batches import DrawnBatch, draw_batch, draw_pair
from l2s_auto.training.build import Parts, initial_state
from l2s_auto.training.methods.matched import FIGURES, Matched, effects
from l2s_auto.training.step import loss_gradients, synthetic_step

#: In theta's own parameters, and a step of the network as a share of its weights' length.
OFFSETS = [-0.2, -0.1, 0.0, 0.1, 0.2]
STEP = 0.002


def trained(parts: Parts, iterations: int) -> TrainState:
    """Weights after plain iterations at the augmenter's first theta, the preset's."""
    state = initial_state(parts)
    for _ in range(iterations):
        state = synthetic_step(parts, state, rate_scale=1.0).state
        state.step += 1
    return state


def gradient(method: Matched, parts: Parts, state: TrainState, images: DrawnBatch, theta: Params) -> torch.Tensor:
    """(N,) of the synthetic loss by the weights, without the further figures that are matched beside it."""
    return method.seen(parts, state, images, theta, torch.zeros((), device=parts.device))[:-FIGURES]


def collect(parts: Parts, state: TrainState, batches: int, every: int) -> dict[str, torch.Tensor]:
    """Gradients of batches of real scans, of their synthetic twins and of other synthetic images; two means of J.

    (n, N) each, and (2, K, N).
    """
    method = Matched()
    rows: dict[str, list[torch.Tensor]] = {"real": [], "twins": [], "others": []}
    jacobians: list[list[torch.Tensor]] = [[], []]
    for number in range(batches):
        scans, twins = draw_pair(parts)
        others = draw_batch(parts)
        rows["real"].append(flat(loss_gradients(parts, state.phi, scans)[0]))
        for name, images in (("twins", twins), ("others", others)):
            rows[name].append(gradient(method, parts, state, images, state.theta))
        if number % every == 0:
            made = method.jacobian(parts, state, twins, torch.zeros((), device=parts.device))[:, :-FIGURES]
            jacobians[number // every % 2].append(made)
    found = {name: torch.stack(values).double() for name, values in rows.items()}
    return {**found, "jacobian": torch.stack([torch.stack(half).double().mean(0) for half in jacobians])}


def errors_of(found: dict[str, torch.Tensor], names: list[str], slope: torch.Tensor, scans: int, batch: int) -> dict:
    """Standard errors of theta from so many scans, with twins and with other synthetic images, and the curvature.

    slope  (K,) derivative of theta's coordinates, which J is by, by theta's own parameters, which the errors are in
    """
    size = (found["others"] ** 2).mean(0).sqrt()
    scale = 1 / (size + 0.01 * size.mean())
    one, two = found["jacobian"]
    both = (one + two) / 2
    curvature = (one * scale) @ two.T
    curvature = (curvature + curvature.T) / 2
    inverse = torch.linalg.pinv(curvature)
    errors = {}
    for name in ("twins", "others"):
        noise = torch.cov(((found["real"] - found[name]) @ (both * scale).T @ inverse).T)
        errors[name] = dict(zip(names, ((noise.diagonal() * batch / scans).sqrt() / slope).tolist(), strict=True))
    return {"standard_errors": errors, "curvature": eigen(curvature, names)}


def eigen(matrix: torch.Tensor, names: list[str]) -> dict:
    """Eigenvalues, rising, of the matrix scaled to a diagonal of 1, and what each belongs to."""
    length = matrix.diagonal().abs().sqrt()
    values, vectors = torch.linalg.eigh(matrix / length / length[:, None])
    return {
        "names": names,
        "scaled": (matrix / length / length[:, None]).tolist(),
        "eigenvalues": values.tolist(),
        "eigenvectors": vectors.T.tolist(),
    }


def loss_curve(parts: Parts, state: TrainState, offsets: list[float], batches: int, rate: float) -> dict:
    """Mean real loss of a network after one normalised step on synthetic images of another theta.

    One step of length `rate` (of the weights' own) along the mean of `batches` synthetic gradients, then the mean over
    as many batches of real scans; offsets are in theta's own parameters, a number at a time. The random numbers are the
    same for all.
    """
    method = Matched()
    drawn = [draw_pair(parts) for _ in range(batches)]
    theta, phi = flat(state.theta), flat(state.phi)

    def mean_gradient(values: torch.Tensor) -> torch.Tensor:
        made = [gradient(method, parts, state, twins, unflat(values, state.theta)) for _, twins in drawn]
        return torch.stack(made).mean(0)

    length = mean_gradient(theta).norm()
    curves = {}
    for k, name in enumerate(names_of(parts)):
        rows = []
        for offset in offsets:
            moved = theta.clone()
            moved[k] += offset
            step = mean_gradient(moved) * (rate * phi.norm() / length)
            weights = unflat(phi - step, state.phi)
            losses = [loss_gradients(parts, weights, scans)[1] for scans, _ in drawn]
            rows.append(float(np.mean(losses)))
        curves[name] = rows
    return {"offsets": offsets, "loss": curves, "step_by_weights": rate}


def slope_of(parts: Parts, theta: Params) -> torch.Tensor:
    """(K,) derivative of theta's coordinates by its parameters, each coordinate being of one parameter."""
    small = 1e-3
    moved = {name: value + small for name, value in theta.items()}
    return ((flat(effects(parts, moved)) - flat(effects(parts, theta))) / small).double()


def names_of(parts: Parts) -> list[str]:
    return list(parts.augmenter.bounded())


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, help="folder of label maps; phantoms without it")
    options.add_argument("--preset", choices=tuple(PRESETS), default="exponents 0.2 0.2 0.2")
    options.add_argument("--plain", type=int, default=500, help="iterations before the network is stopped")
    options.add_argument("--batches", type=int, default=400)
    options.add_argument("--jacobian-every", type=int, default=4)
    options.add_argument("--curve-batches", type=int, default=40)
    options.add_argument("--scans", type=int, default=16000, help="number of scans that standard errors are told for")
    given = options.parse_args()
    device, preset = choose_device(given.device), PRESETS[given.preset]
    anatomies = load_anatomies(given.data, dimensions=2, spacing=SPACING[2], seed=0)
    recipe = Recipe(
        augmenter=preset.scanner,
        warm_up=0.0,
        families={"real-like": 1.0},
        method=Component(name="learn2synth-matched"),
    )
    parts = make_parts(anatomies, preset, recipe, dimensions=2, real=8 * given.batches, device=device)
    state = trained(parts, given.plain)
    found = collect(parts, state, given.batches, given.jacobian_every)
    figures = {
        "machine": machine(given.device),
        "data": given.data.name if given.data else "phantoms",
        "preset": preset.theta,
        "plain": given.plain,
        "batches": given.batches,
        "scans": given.scans,
        **errors_of(found, names_of(parts), slope_of(parts, state.theta), given.scans, parts.plan.batch),
        "real_loss": loss_curve(parts, state, OFFSETS, given.curve_batches, STEP),
    }
    finish(figures, given.json)


if __name__ == "__main__":
    main()
