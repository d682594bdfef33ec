"""The truth about theta, and what hypergradients say of it: trainings with theta fixed on a grid.

Slices of label maps; "real" scans are drawn from them by a generator that differs from the training's: other class
brightness, texture, blur, gamma, and a scanner with noise and a bias field. At each point of the grid (largest level
of the noise, exponent of the bias field, share of the images that follow the contrast prior) networks are trained with
theta fixed, and their Dice on scans of held-out heads is the surface. Early and late in each training every variant of
the hypergradient is taken many times at weights that rest: does its sign agree with the surface's slope?

    OMP_NUM_THREADS=1 python benchmarks/response_surface.py LABEL_MAPS -o FOLDER --seeds 0 1 2 --json results.json

With `--3d` the data are a labelled dataset, whose scans are real and in 3D, of a small network (`theta_scans.py`).

`--part I N` trains the Ith of N shares of the points, for several processes; a later call without it gathers them.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from theta_variants import VARIANTS, branches, gradients_at
from theta_world import SCANNER, Point, add_options, run_all

from common import finish, machine, parser
from l2s_auto.experiments.recovery.problem import FEATURES
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.training.build import initial_state
from l2s_auto.training.step import synthetic_step

NOISE, BIAS, PRIOR = (0.0, 0.05, 0.15, 0.30), (0.0, 0.25, 0.5, 1.0), (0.0, 0.3, 0.6, 0.9)
AXES = ("noise", "bias", "prior")
STAGES = {"early": 0.3, "late": 0.9}
#: A plane of noise and prior, and lines along the bias field from two places of it.
GRID = [Point(noise, 0.25, prior) for noise in NOISE for prior in PRIOR]
GRID += [Point(0.05, bias, prior) for prior in (0.3, 0.6) for bias in BIAS if bias != 0.25]


def run_one(problem: Any, point: Point) -> dict:
    """Train at a point; what a former call did is read."""
    given = problem.given
    kind = (
        f"{given.iterations} iterations, {given.groups} x {given.batches}, branch {given.branch}, {given.scans} scans"
    )
    place = given.output / f"{point.name}, seed {problem.seed}, {kind}.json"
    if place.exists():
        return read_json(place)
    parts = problem.parts(point)
    state = initial_state(parts)
    found: dict[str, dict] = {}
    for step in range(given.iterations):
        for stage, share in STAGES.items():
            if step == round(share * given.iterations) and given.groups:
                scale = parts.schedule(share)
                found[stage] = gradients_at(problem, parts, state, scale)
                if given.branch:
                    found[stage] |= branches(problem, parts, state, point, scale)
        state = synthetic_step(parts, state, rate_scale=parts.schedule(step / given.iterations)).state
    row = {"point": point.__dict__, "seed": problem.seed, "dice": problem.score(parts, state.phi), "gradients": found}
    write_json(place, row)
    return row


def surface(rows: list[dict]) -> dict[Point, dict[int, float]]:
    """Point -> seed -> Dice on scans as they are."""
    found: dict[Point, dict[int, float]] = {}
    for row in rows:
        found.setdefault(Point(**row["point"]), {})[row["seed"]] = row["dice"]["as they are"]
    return found


def slopes(truth: dict[Point, dict[int, float]]) -> dict[tuple[Point, str], tuple[float, bool]]:
    """(point, axis) -> the surface's slope from the neighbour below to the one above, and whether it is clear.

    Differences are taken within a seed. A slope is clear where its mean is more than twice its standard error, of a
    deviation that is pooled over all differences of the axis.
    """
    rises: dict[tuple[Point, str], tuple[float, np.ndarray]] = {}
    for point, axis in itertools.product(truth, AXES):
        line = sorted((p for p in truth if p.at(axis, 0.0) == point.at(axis, 0.0)), key=lambda p: getattr(p, axis))
        if len(line) < 2:
            continue
        place = line.index(point)
        low, high = line[max(0, place - 1)], line[min(len(line) - 1, place + 1)]
        seeds = sorted(set(truth[low]) & set(truth[high]))
        rise = np.array([truth[high][seed] - truth[low][seed] for seed in seeds])
        rises[point, axis] = getattr(high, axis) - getattr(low, axis), rise
    found = {}
    for (point, axis), (way, rise) in rises.items():
        spreads = [other.var(ddof=1) for (_, own), (_, other) in rises.items() if own == axis and len(other) > 1]
        error = np.sqrt(np.mean(spreads) / max(1, len(rise))) if spreads else np.inf
        if len(rise):
            found[point, axis] = float(rise.mean() / way), bool(abs(rise.mean()) > 2 * error)
    return found


def agreement(rows: list[dict]) -> dict:
    """Of each variant and stage: at which share of the clear slopes its mean points uphill, and how surely."""
    truth = slopes(surface(rows))
    found: dict[str, dict] = {}
    names = {(stage, name) for row in rows for stage, values in row["gradients"].items() for name in values}
    for stage, name in sorted(names):
        hits: dict[str, list[bool]] = {axis: [] for axis in AXES}
        sure = []
        for (point, axis), (slope, clear) in truth.items():
            own = [row for row in rows if Point(**row["point"]) == point]
            values = np.concatenate([row["gradients"][stage][name][AXES.index(axis)] for row in own])
            if clear:
                hits[axis].append(bool(-values.mean() * slope > 0))
                error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
                sure.append(abs(values.mean()) > 2 * error)
        every = list(itertools.chain.from_iterable(hits.values()))
        found[f"{name}, {stage}"] = {
            "agrees": float(np.mean(every)) if every else None,
            "of": len(every),
            "clear_of_its_own_noise": float(np.mean(sure)) if sure else None,
            **{axis: [sum(values), len(values)] for axis, values in hits.items()},
        }
    return found


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    add_options(options, seeds=(0, 1, 2))
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/response_surface"))
    options.add_argument("--groups", type=int, default=4, help="independent gradients of each variant; 0: none")
    options.add_argument("--batches", type=int, default=4, help="batches that each is a mean over")
    options.add_argument("--branch", type=int, default=60, help="iterations of lookahead; 0: none")
    options.add_argument("--3d", dest="scans_3d", action="store_true", help="the data are a dataset of real scans")
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="besides implicit")
    options.add_argument("--plane", action="store_true", help="noise and share alone")
    options.add_argument("--branch-scans", type=int, default=12, help="batches of real scans at its end")
    given = options.parse_args()
    grid = [point for point in GRID if point.bias == 0.25] if given.plane else GRID
    rows = run_all(list(itertools.product(given.seeds, grid)), run_one, given)
    truth = surface(rows)
    finish(
        {
            "machine": machine(given.device),
            "data": given.data.name,
            "iterations": given.iterations,
            **({} if given.scans_3d else {"features": list(FEATURES), "scanner": SCANNER.options}),
            "seeds": given.seeds,
            "surface": [
                {**point.__dict__, "dice": [values[seed] for seed in sorted(values)]} for point, values in truth.items()
            ],
            "inverted": [{**row["point"], "seed": row["seed"], "dice": row["dice"]["inverted"]} for row in rows],
            "agreement": agreement(rows) if given.groups and len(given.seeds) > 1 else {},
        },
        given.json,
    )


if __name__ == "__main__":
    main()
