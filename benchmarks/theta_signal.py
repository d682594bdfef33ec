"""How much of theta's gradient is signal: a training in which it is taken on every iteration after some plain ones.

For each number of theta the mean of its gradient over the hyper-steps by its standard deviation; the agreement between
the gradients of different batches (their mean inner product by their mean squared length, over all pairs); and how far
the root mean square length is from the median one, which outliers pull apart.

    python benchmarks/theta_signal.py DATASET --features 8 --patch 24 32 24 --json results.json
"""

from __future__ import annotations

from pathlib import Path

import torch
from trainings import prepare

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_model
from l2s_auto.networks.device import choose_device, fast_dtype
from l2s_auto.preprocessing.store import open_case
from l2s_auto.training.batches import draw_batch, draw_real
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.step import TwoPasses, replace_state, synthetic_step, theta_step


def make_parts(shared: Path, given) -> Parts:
    device = choose_device(given.device)
    cases = [open_case(path.name, shared / "preprocessed") for path in sorted((shared / "preprocessed").iterdir())]
    recipe = Recipe(hypergradient=Component(name=given.hypergradient), seed=given.seed)
    plan = read_model(shared / "plan.json", Plan)
    return build_parts(plan, recipe, cases, device=device, autocast=fast_dtype(device))


def collect(parts: Parts, given) -> list[dict[str, torch.Tensor]]:
    """Theta's gradients as they are, before any of them is shortened; phi learns all along."""
    state = initial_state(parts)
    for step in range(given.plain):
        state = replace_state(synthetic_step(parts, state, rate_scale=1.0).state, step=step + 1)
    found = []
    for step in range(given.steps):
        problem = TwoPasses(parts, draw_batch(parts), draw_real(parts))
        made = parts.hypergradient(problem, state.phi, state.theta, parts.rule, state.inner_state)
        found.append(made.theta_grad)
        state = replace_state(state, phi=made.phi, inner_state=made.inner_state, step=given.plain + step + 1)
        if given.theta == "moving":
            state = theta_step(parts, state, made.theta_grad, rate_scale=1.0)
    return found


def figures_of(grads: list[dict[str, torch.Tensor]]) -> dict:
    """Mean by deviation of each number, agreement, and lengths; all gradients weigh the same."""
    rows = torch.stack([torch.cat([g.flatten() for g in grad.values()]) for grad in grads]).double().cpu()
    names = [f"{name}[{i}]" if g.numel() > 1 else name for name, g in grads[0].items() for i in range(g.numel())]
    count, lengths = len(rows), rows.norm(dim=1)
    square = (lengths**2).mean()
    of_pairs = ((rows.sum(0) ** 2).sum() - (rows**2).sum()) / (count * (count - 1))
    return {
        "hyper_steps": count,
        "mean_by_std": dict(zip(names, (rows.mean(0) / rows.std(0)).tolist(), strict=True)),
        "agreement": (of_pairs / square).item(),
        "length_rms": square.sqrt().item(),
        "length_median": lengths.median().item(),
        "rms_by_median": (square.sqrt() / lengths.median()).item(),
        "longer_than_twice_the_median": (lengths > 2 * lengths.median()).double().mean().item(),
        "lengths": [float(f"{length:.6g}") for length in lengths.tolist()],
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path)
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/theta_signal"))
    options.add_argument("--plain", type=int, default=150, help="iterations before the first hyper-step")
    options.add_argument("--steps", type=int, default=120, help="hyper-steps, one an iteration")
    options.add_argument("--theta", choices=("fixed", "moving"), default="fixed")
    options.add_argument("--hypergradient", default="finite-difference")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--features", type=int, help="of the first stage; the plan's if it is left out")
    options.add_argument("--patch", type=int, nargs=3, help="voxels; the plan's if it is left out")
    given = options.parse_args()
    parts = make_parts(prepare(given), given)
    figures = {
        "machine": machine(given.device),
        "dataset": find_dataset(given.dataset).name,
        "features": list(parts.plan.topology.features),
        "patch": list(parts.plan.patch),
        "batch": parts.plan.batch,
        "first_order_dtype": None if parts.autocast is None else str(parts.autocast).removeprefix("torch."),
        "plain": given.plain,
        "theta": given.theta,
        "hypergradient": given.hypergradient,
        "seed": given.seed,
        **figures_of(collect(parts, given)),
    }
    finish(figures, given.json)


if __name__ == "__main__":
    main()
