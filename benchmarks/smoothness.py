"""How far differences along u are from double backward, for kinked and for smooth activations.

For each activation a small 3D U-Net learns for some iterations from synthetic images of made-up cases; then theta's
gradient is taken on several batches by `unrolled` in float64, which is exact for the computed function, and by both
differences at many steps, in float64 and float32. The figures are medians, over networks and batches, of
|difference - exact| / |exact|.

With kinks the computed function is not the whole truth: on the segment from phi - h u to phi + h u, the central
difference is the mean derivative of the gradient by the image with each jump that a kink makes; double backward at a
random point of the segment has none of them. Their difference, averaged over segments at randomly perturbed phi with
batch and u fixed, is the kinks' share.

    python benchmarks/smoothness.py --json benchmarks/results/smoothness.json --figure docs/images/smoothness.png
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from made_up import make_cases, make_plan, plain_topology
from PIL import Image

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.hypergradients.finite_difference import CentralDifference, OneSidedDifference
from l2s_auto.hypergradients.finite_steps import moved, step_size
from l2s_auto.hypergradients.two_pass import SyntheticPass, TwoPass
from l2s_auto.hypergradients.unrolled import Unrolled
from l2s_auto.report.style import FONTS, LIGHT, caption, new_figure, png_bytes
from l2s_auto.training.batches import DrawnBatch, draw_batch, draw_real
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.step import TwoPasses, synthetic_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACTIVATIONS = ("leaky-relu", "relu", "elu", "silu", "gelu")
DIFFERENCES: dict[str, type[CentralDifference]] = {
    "finite-difference": OneSidedDifference,
    "finite-difference-central": CentralDifference,
}
STEPS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
DEFAULT_STEP = 1e-4
#: Networks, and batches of each.
NETWORKS, BATCHES = 5, 2
#: The kinks' share: steps of the segments and of the perturbations, whose number; ELU, without kinks, checks it.
SEGMENT, PERTURBATION, PERTURBATIONS, SHARE_OF = 1e-3, 1e-2, 12, ("leaky-relu", "elu")
SHAPE = (16, 16, 16)
#: Blue, green and pink for smooth activations, and warm colours for kinked ones, of the report's palette.
COLOUR_OF = dict(zip(ACTIVATIONS, ("#D55E00", "#E69F00", "#CC79A7", "#0072B2", "#009E73"), strict=True))
NAMES = {"leaky-relu": "LeakyReLU", "relu": "ReLU", "elu": "ELU", "silu": "SiLU", "gelu": "GELU"}


@dataclass(frozen=True)
class HyperStep:
    """All that the estimators of one hyper-step have in common: they differ in the mixed derivative alone."""

    problem: TwoPasses
    phi: dict[str, torch.Tensor]
    theta: dict[str, torch.Tensor]
    u: dict[str, torch.Tensor]
    synthetic: SyntheticPass

    def gradient(self, estimator: TwoPass, *, along: float = 0.0) -> torch.Tensor:
        """Theta's gradient, (number of values in theta,), by an estimator at phi + along · u."""
        phi = moved(self.phi, self.u, torch.tensor(along, device=self.problem.parts.device)) if along else self.phi
        grads = estimator.theta_gradient(self.problem, phi, self.theta, self.u, self.synthetic)
        return torch.cat([g.flatten() for g in grads.values()]).double().cpu()


def trained(activation: str, seed: int, iterations: int, device: torch.device) -> tuple[Parts, TrainState]:
    """A network after some plain iterations, theta at its start."""
    network = Component(name="unet", options={"activation": activation})
    recipe = Recipe(network=network, families={"real-like": 1.0}, seed=seed)
    plan = make_plan(plain_topology((8, 16, 32)), SHAPE, 2)
    parts = build_parts(plan, recipe, make_cases(SHAPE), device=device)
    state = initial_state(parts)
    for _ in range(iterations):
        state = synthetic_step(parts, state, rate_scale=1.0).state
    return parts, state


def hyper_step(parts: Parts, state: TrainState, synthetic: DrawnBatch, scans: Batch, dtype: torch.dtype) -> HyperStep:
    """u and the synthetic pass of one hyper-step in a precision."""
    rendered = synthetic.rendered
    assert rendered is not None
    clean = replace(rendered.clean, image=rendered.clean.image.to(dtype))
    noise = {name: value.to(dtype) for name, value in rendered.noise.items()}
    drawn = replace(synthetic, rendered=replace(rendered, clean=clean, noise=noise))
    problem = TwoPasses(parts, drawn, replace(scans, image=scans.image.to(dtype)))
    phi = {name: p.to(dtype) for name, p in state.phi.items()}
    theta = {name: p.to(dtype).requires_grad_() for name, p in state.theta.items()}
    moments = {
        name: {key: value.to(dtype) for key, value in kept.items()} if isinstance(kept, Mapping) else kept
        for name, kept in state.inner_state.items()
    }
    first = OneSidedDifference(fast=False)
    done = first.synthetic_pass(problem, phi, theta)
    new_phi, _ = parts.rule.update(phi, done.grads, moments)
    _, v = first.real_pass(problem, new_phi)
    return HyperStep(problem, phi, theta, parts.rule.vjp(v, done.grads, moments), done)


def exact(step: HyperStep, *, along: float = 0.0) -> torch.Tensor:
    """By double backward, the graph made anew at phi + along · u."""
    without_graph = replace(step, synthetic=replace(step.synthetic, kept=None))
    return without_graph.gradient(Unrolled(fast=False), along=along)


def errors_of(step: HyperStep, truth: torch.Tensor) -> dict[str, list[float]]:
    """Relative errors of both differences at each step."""
    return {
        name: [float((step.gradient(kind(step=size, fast=False)) - truth).norm() / truth.norm()) for size in STEPS]
        for name, kind in DIFFERENCES.items()
    }


def kinks_share_squared(step: HyperStep, random: torch.Generator) -> float:
    """|kinks' part of theta's gradient|² / |double backward|², both expected over perturbed phi.

    The squared length of an expectation is estimated without bias by the mean inner product of different draws; it can
    therefore come out below 0 where the share is 0.
    """
    kinks, smooth = [], []
    for _ in range(PERTURBATIONS):
        noise = {name: torch.randn(p.shape, generator=random).to(p) for name, p in step.phi.items()}
        there = replace(step, phi=moved(step.phi, noise, step_size(PERTURBATION, step.phi, noise)))
        h = float(step_size(SEGMENT, there.phi, step.u))
        smooth.append(exact(there, along=(2 * float(torch.rand((), generator=random)) - 1) * h))
        kinks.append(there.gradient(CentralDifference(step=SEGMENT, fast=False)) - smooth[-1])
    return squared_mean(torch.stack(kinks)) / squared_mean(torch.stack(smooth))


def squared_mean(draws: torch.Tensor) -> float:
    """|expectation|² of independent draws (N, values)."""
    count = len(draws)
    return float(draws.sum(0).square().sum() - draws.square().sum()) / (count * (count - 1))


def measure_errors(activation: str, iterations: int, device: torch.device) -> dict[str, dict[str, list[float]]]:
    """Precision -> estimator -> median error at each step; `unrolled` in float32 has one error."""
    errors: dict[str, dict[str, list[list[float]]]] = {
        precision: {name: [] for name in (*DIFFERENCES, "unrolled")} for precision in ("float64", "float32")
    }
    for seed in range(NETWORKS):
        parts, state = trained(activation, seed, iterations, device)
        for _ in range(BATCHES):
            synthetic, scans = draw_batch(parts), draw_real(parts)
            truth = exact(hyper_step(parts, state, synthetic, scans, torch.float64))
            for precision, rows in errors.items():
                step = hyper_step(parts, state, synthetic, scans, getattr(torch, precision))
                for name, values in errors_of(step, truth).items():
                    rows[name].append(values)
                rows["unrolled"].append([float((exact(step) - truth).norm() / truth.norm())])
    return {
        precision: {name: torch.tensor(values).quantile(0.5, 0).tolist() for name, values in rows.items()}
        for precision, rows in errors.items()
    }


def measure_share(activation: str, iterations: int, device: torch.device) -> dict[str, object]:
    """The kinks' share: root of the mean square over networks, and its standard error."""
    random = torch.Generator().manual_seed(0)
    squares = []
    for seed in range(NETWORKS):
        parts, state = trained(activation, seed, iterations, device)
        steps = (hyper_step(parts, state, draw_batch(parts), draw_real(parts), torch.float64) for _ in range(BATCHES))
        squares.append(sum(kinks_share_squared(step, random) for step in steps) / BATCHES)
    mean, error = torch.tensor(squares).mean().item(), torch.tensor(squares).std().item() / NETWORKS**0.5
    share = max(mean, 0.0) ** 0.5
    return {
        "squares": squares,
        "share": share,
        # To first order, where the share is not 0.
        "standard_error": error / (2 * share) if share > 0 else None,
        "segment": SEGMENT,
        "perturbation": PERTURBATION,
        "perturbations": PERTURBATIONS,
    }


def draw(errors: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> Figure:
    """Errors over steps: float64 on the left, float32 on the right; a colour an activation, a line an estimator."""
    titles = {
        "float64": "float64: how the differences converge",
        "float32": "float32: rounding takes over at small steps",
    }
    figure = new_figure(11.0, 5.2, LIGHT)
    for number, (precision, title) in enumerate(titles.items()):
        axes = figure.add_subplot(1, 2, number + 1)
        ends = {}
        for activation, rows in errors.items():
            colour, both = COLOUR_OF[activation], rows[precision]
            axes.loglog(STEPS, both["finite-difference-central"], "o-", color=colour, markersize=3.5, linewidth=1.8)
            axes.loglog(STEPS, both["finite-difference"], "--", color=colour, linewidth=1.3)
            ends[activation] = both["finite-difference-central"][-1]
        lowest, highest = (1e-10, 1e3) if precision == "float64" else (1e-5, 1e3)
        axes.set_xlim(1.4e-2, 7e-7)  # the steps shrink to the right
        axes.set_ylim(lowest, highest)
        name_lines(axes, ends, gap=(highest / lowest) ** 0.045)
        axes.axvline(DEFAULT_STEP, color=LIGHT.ink, linewidth=1.0, linestyle=":")
        write(axes, DEFAULT_STEP * 0.92, highest * 0.35, "default step")
        axes.set_xlabel("step |h u| / |φ|, smaller to the right", color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
        axes.tick_params(colors=LIGHT.ink, labelsize=8)
        axes.grid(color=LIGHT.faint, linewidth=0.5, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LIGHT.faint)
        caption(axes, title, LIGHT, size=11, bold=True)
    left = figure.axes[0]
    left.set_ylabel("relative error of theta's gradient", color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
    write(left, 8e-5, 1.2e-5, "smooth, one-sided: ∝ h")
    write(left, 6e-3, 1e-7, "smooth, central: ∝ h²")
    left.plot([], [], "o-", color=LIGHT.ink, markersize=3.5, linewidth=1.8, label="central difference")
    left.plot([], [], "--", color=LIGHT.ink, linewidth=1.3, label="one-sided difference")
    left.legend(loc="lower left", frameon=False, fontsize=8.5, labelcolor=LIGHT.ink)
    figure.tight_layout(w_pad=4)
    return figure


def name_lines(axes: Axes, ends: Mapping[str, float], *, gap: float) -> None:
    """Names to the right of the lines' ends, at least a factor of `gap` apart."""
    height = 0.0  # of the name below
    for activation, end in sorted(ends.items(), key=lambda item: item[1]):
        height = max(end, height * gap)
        write(axes, 8e-7, height, NAMES[activation], colour=COLOUR_OF[activation])


def write(axes: Axes, x: float, y: float, text: str, *, colour: str = LIGHT.ink) -> None:
    """Small text that begins at a point."""
    axes.text(x, y, text, color=colour, fontsize=8.5, fontfamily=FONTS, va="center")


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of 64 colours, a third of the size of one in full colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(png_bytes(figure, dpi=110))) as image:
        image.convert("RGB").quantize(64).save(path, optimize=True)


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--iterations", type=int, default=60, help="of training before the errors are taken")
    options.add_argument("--figure", type=Path, help="also draw the errors into this PNG file")
    given = options.parse_args()
    device = torch.device(given.device)
    errors, shares = {}, {}
    for activation in ACTIVATIONS:
        errors[activation] = measure_errors(activation, given.iterations, device)
        at = STEPS.index(DEFAULT_STEP)
        row = {p: {n: f"{e[at if len(e) > 1 else 0]:.1e}" for n, e in v.items()} for p, v in errors[activation].items()}
        print(f"{activation:12s} at {DEFAULT_STEP:g}: {row}", flush=True)
    for activation in SHARE_OF:
        shares[activation] = measure_share(activation, given.iterations, device)
        print(f"{activation:12s} kinks' share: {shares[activation]}", flush=True)
    figures = {
        "machine": machine(given.device),
        "networks": NETWORKS,
        "batches": BATCHES,
        "iterations": given.iterations,
        "steps": STEPS,
        "errors": errors,
        "kinks_share": shares,
    }
    if given.figure is not None:
        save(draw(errors), given.figure)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
