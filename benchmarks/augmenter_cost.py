"""Time of each augmenter on a batch of images, in seconds and as a share of the network's plain update.

Draw and forward are what every iteration pays; the backward pass is what a hyper-step pays besides. A field of
B-splines is compared with linear interpolation between nodes, and `contrast` has the images rendered anew in its
forward pass.

    python benchmarks/augmenter_cost.py --json benchmarks/results/augmenter_cost_cpu.json
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from made_up import make_cases, make_plan, plain_topology
from torch.nn import functional

from common import finish, machine, parser
from l2s_auto.augmenters import AUGMENTERS
from l2s_auto.augmenters.fields import draw_fields, log_fields
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Batch
from l2s_auto.hypergradients.differentiate import leaves
from l2s_auto.networks.device import fast_dtype
from l2s_auto.training.batches import augment, draw_batch
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.step import first_order_update


def seconds(function: Callable[[], object], *, rounds: int, device: torch.device) -> float:
    """Median of the rounds, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return sorted(taken[1:])[rounds // 2]


def parts_of(name: str, patch: tuple[int, ...], features: tuple[int, ...], device: torch.device) -> Parts:
    recipe = Recipe(augmenter=Component(name=name), families={"real-like": 1.0})
    plan, cases = make_plan(plain_topology(features), patch, 2), make_cases(patch)
    return build_parts(plan, recipe, cases, device=device, autocast=fast_dtype(device))


def update_seconds(parts: Parts, rounds: int) -> float:
    """One first-order update of the network on a batch that is there already."""
    state, clean = initial_state(parts), draw_batch(parts).rendered.clean
    batch = Batch(clean.image, clean.target)
    return seconds(lambda: first_order_update(parts, state, batch, rate_scale=1.0), rounds=rounds, device=parts.device)


def augmenter_seconds(parts: Parts, rounds: int) -> dict[str, float]:
    """Draw, forward with the scale that networks read, and both passes."""
    drawn, theta = draw_batch(parts), initial_state(parts).theta
    image = drawn.rendered.clean.image

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return augment(parts, theta, drawn)

    def both() -> object:
        probe = leaves(theta)
        made = augment(parts, probe, drawn)
        return torch.autograd.grad(made, list(probe.values()), torch.ones_like(made))

    work = {"draw": lambda: parts.augmenter.draw(image, parts.random), "forward": forward, "forward_backward": both}
    return {name: seconds(function, rounds=rounds, device=parts.device) for name, function in work.items()}


def field_seconds(patch: tuple[int, ...], rounds: int, device: torch.device) -> dict[str, float]:
    """The three fields' logarithms from B-splines, and from linear interpolation of 2, 4 and 8 nodes an axis."""
    image, random = torch.zeros(2, 1, *patch, device=device), torch.Generator(device).manual_seed(0)
    points = draw_fields(image, random)
    nodes = [torch.rand(2, 1, n, n, n, device=device) + 0.5 for n in (2, 4, 8)]

    def linear() -> object:
        return [functional.interpolate(n, size=patch, mode="trilinear", align_corners=True).log() for n in nodes]

    work = {"b_splines": lambda: log_fields(points, patch), "linear": linear}
    return {name: seconds(function, rounds=rounds, device=device) for name, function in work.items()}


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--features", default="8,16,32,64")
    options.add_argument("--patch", default="64,64,64")
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    features, patch = (tuple(map(int, text.split(","))) for text in (given.features, given.patch))
    device = torch.device(given.device)
    update = update_seconds(parts_of("parametric", patch, features, device), given.rounds)
    figures: dict = {"machine": machine(given.device), "features": features, "patch": patch, "batch": 2}
    figures |= {"update": update, "fields": field_seconds(patch, given.rounds, device), "augmenters": {}}
    print(f"update of the network {update:.3f} s; fields {figures['fields']}", flush=True)
    for name in [*AUGMENTERS, "contrast+gamma+blur+parametric"]:
        row = augmenter_seconds(parts_of(name, patch, features, device), given.rounds)
        row["share_of_update"] = (row["draw"] + row["forward"]) / update
        figures["augmenters"][name] = row
        print(f"{name:32s} " + " ".join(f"{k} {v:.4f}" for k, v in row.items()), flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
