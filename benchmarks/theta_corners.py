"""From the corners of the grid of `response_surface.py`: does learning theta end where the best models are?

The same small world. Theta is the range of the noise, the bias field and the share of images like the real ones. It
starts at a corner and is learned by each direction of the hypergradient, or rests; then the network is tested.

    OMP_NUM_THREADS=1 python benchmarks/theta_corners.py LABEL_MAPS -o FOLDER --seeds 0 1 --json results.json

`--part I N` trains the Ith of N shares, for several processes; a later call without it gathers them.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
from theta_world import Point, Problem, add_options, composition_of, generator_of, run_all

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.experiments.recovery.problem import PLAIN
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.training.build import Parts, build_parts, initial_state, make_sampler
from l2s_auto.training.methods import METHODS
from l2s_auto.training.step import replace_state
from l2s_auto.training.writer import theta_as_read

LEAST, MOST = 0.02, 0.98  # bounds of the share
CORNERS = [Point(noise, 0.25, prior) for noise, prior in itertools.product((0.0, 0.3), (LEAST, 0.9))]
#: name -> the hypergradient's options; None: theta rests
VARIANTS: dict[str, dict | None] = {
    "at rest": None,
    "one-step": {"direction": "update"},
    "scale-free": {"direction": "scale-free"},
    "implicit": {"direction": "implicit"},
}


def parts_from(problem: Problem, corner: Point, options: dict | None) -> Parts:
    """A training whose theta starts at the corner."""
    given = problem.given
    own = {
        "share": {"start": corner.prior, "least": LEAST, "most": MOST},
        "parametric-range": {"exponents": (corner.bias,) * 3, "sigma_min": 0.0, "sigma_max": corner.noise},
    }
    recipe = Recipe(
        augmenter=Component(name="share+parametric-range", options=own),
        hypergradient=Component(name="finite-difference-central", options=options or {}),
        outer_optimiser=Component(name="adam", options={"rate": given.rate}),
        warm_up=given.warm_up if options else 0.9999,
        hyper_every=given.every,
        seed=problem.seed,
    )
    parts = build_parts(problem.plan, recipe, problem.maps, device=problem.device)
    scans = make_sampler(problem.scans, problem.plan, seed=problem.seed, device=problem.device)
    generator = generator_of(problem.plan, composition_of(corner.prior), PLAIN, problem.device)
    return replace(parts, generator=generator, scans=scans, randomised=None)


def run_one(problem: Problem, start: tuple[Point, str]) -> dict:
    """Train from a corner; what a former call did is read."""
    given, (corner, variant) = problem.given, start
    kind = f"{given.iterations} iterations, every {given.every}, rate {given.rate:g}, warm-up {given.warm_up:g}"
    place = given.output / f"{variant} from {corner.name}, seed {problem.seed}, {kind}.json"
    if place.exists():
        return read_json(place)
    parts, method = parts_from(problem, corner, VARIANTS[variant]), METHODS["learn2synth"]()
    state = initial_state(parts)
    for step in range(given.iterations):
        state = method.step(parts, replace_state(state, step=step), progress=step / given.iterations).state
    row = {
        "corner": corner.__dict__,
        "variant": variant,
        "seed": problem.seed,
        "dice": problem.score(parts, state.phi),
        "theta": theta_as_read(parts, state),
    }
    write_json(place, row)
    return row


def summary(rows: list[dict]) -> list[dict]:
    """Of each corner and variant: mean and standard deviation over seeds of the Dice, and where theta ended."""
    found = []
    for corner, variant in itertools.product(CORNERS, VARIANTS):
        own = [row for row in rows if Point(**row["corner"]) == corner and row["variant"] == variant]
        if not own:
            continue
        values = [row["dice"]["as they are"] for row in own]
        found.append(
            {
                "corner": corner.name,
                "variant": variant,
                "dice": float(np.mean(values)),
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "dice_of_seeds": {row["seed"]: row["dice"]["as they are"] for row in own},
                "inverted": float(np.mean([row["dice"]["inverted"] for row in own])),
                "theta": {name: float(np.mean([row["theta"][name] for row in own])) for name in own[0]["theta"]},
            }
        )
    return found


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    add_options(options, seeds=(0, 1))
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/theta_corners"))
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options.add_argument("--every", type=int, default=5, help="iterations from one hyper-step to the next")
    options.add_argument("--rate", type=float, default=0.03, help="of theta's Adam")
    options.add_argument("--warm-up", type=float, default=0.1)
    given = options.parse_args()
    each = list(itertools.product(CORNERS, given.variants))
    rows = run_all(list(itertools.product(given.seeds, each)), run_one, given)
    finish(
        {
            "machine": machine(given.device),
            "data": given.data.name,
            "iterations": given.iterations,
            "every": given.every,
            "rate": given.rate,
            "warm_up": given.warm_up,
            "seeds": given.seeds,
            "corners": summary(rows),
        },
        given.json,
    )


if __name__ == "__main__":
    main()
