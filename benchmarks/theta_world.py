"""A small world to learn theta in: slices of label maps, and scans that are not quite what the plan expects."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2s_auto.augmenters import build_augmenter
from l2s_auto.core.component import Component
from l2s_auto.core.composition import Composition, of_shares
from l2s_auto.core.plan import ClassPrior, Plan
from l2s_auto.core.protocols import Params
from l2s_auto.core.recipe import Recipe
from l2s_auto.evaluation.overlap import dice
from l2s_auto.experiments.recovery.anatomies import Anatomies, load_anatomies
from l2s_auto.experiments.recovery.problem import PLAIN, make_plan
from l2s_auto.networks import call
from l2s_auto.networks.device import choose_device
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.generator import Generator, Ranges
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.synthesis.view import ViewRanges
from l2s_auto.training.build import Parts, build_parts, make_sampler

SPACING = 4.0  # mm
HELD_OUT = 5  # the last of so many parts of the label maps
#: What the made-up scanner does, and how far its classes' brightness is from what the plan knows.
SCANNER = Component(
    name="parametric-range", options={"exponents": (0.3, 0.3, 0.3), "sigma_min": 0.02, "sigma_max": 0.1}
)
SHIFT = 0.08
#: What the network has to find; few and large, so that a training of a minute tells one theta from another.
FOUND = {
    "white matter": ("white matter",),
    "cortex": ("cortex",),
    "fluid": ("ventricle", "fluid"),
    "deep grey matter": ("thalamus", "caudate", "putamen", "pallidum"),
}
WORLD = Ranges(view=ViewRanges(cropped=0.0, black=0.0, flat=0.0, stripped=0.0))


@dataclass(frozen=True)
class Point:
    """noise: largest level; bias: exponent of each frequency; prior: share of the images."""

    noise: float
    bias: float
    prior: float

    @property
    def name(self) -> str:
        return f"noise {self.noise:g}, bias {self.bias:g}, prior {self.prior:g}"

    def at(self, axis: str, value: float) -> Point:
        return replace(self, **{axis: value})


def with_few_targets(anatomies: Anatomies) -> Anatomies:
    tissues, number = anatomies.tissues, {}
    for target, (_, members) in enumerate(FOUND.items(), start=1):
        number |= dict.fromkeys(members, target)
    return replace(anatomies, tissues=replace(tissues, targets=tuple(number.get(name, 0) for name in tissues.names)))


def composition_of(prior: float) -> Composition:
    """A third of what does not follow the prior has its contrast reversed, the rest random contrasts."""
    return of_shares(prior, (1 - prior) / 3)


def other_world(plan: Plan, rng: np.random.Generator) -> Plan:
    """The plan whose classes are as bright as they are, not as the fingerprint has it."""
    priors = []
    for prior in plan.generation.priors:
        mean = tuple(float(np.clip(m + SHIFT * rng.standard_normal(), 0.02, 1)) if m > 0.05 else m for m in prior.mean)
        priors.append(ClassPrior(mean=mean, mean_spread=(0.05,), std=(0.03,), std_spread=(0.01,)))
    return plan.model_copy(update={"generation": plan.generation.model_copy(update={"priors": tuple(priors)})})


def generator_of(plan: Plan, composition: Composition, ranges: Ranges, device: torch.device) -> Generator:
    return Generator(
        plan.generation,
        channels=1,
        spacing=plan.spacing,
        shape=plan.patch,
        composition=composition,
        device=device,
        ranges=ranges,
    )


@torch.no_grad()
def scans_of(maps: np.ndarray, world: Plan, *, count: int, seed: int, device: torch.device) -> list[StoredCase]:
    """Scans of the made-up scanner, of label maps that are deformed."""
    random, rng = torch.Generator(device).manual_seed(seed), np.random.default_rng(seed)
    generator = generator_of(world, of_shares(1.0, 0.0), WORLD, device)
    scanner = build_augmenter(SCANNER, channels=1).to(device)
    cases: list[StoredCase] = []
    while len(cases) < count:
        draw = generator.draw(40, random)
        layout = generator.layout(torch.from_numpy(maps[rng.integers(len(maps), size=40)]).to(device).long(), draw)
        clean = generator.render(layout, draw)
        images = rescale(scanner(clean, scanner.draw(clean, random))).cpu().numpy()
        classes = layout.classes.to(torch.int16).cpu().numpy()
        cases += [StoredCase(f"scan {len(cases) + i}", images[i], classes[i]) for i in range(40)]
    return cases[:count]


class Problem:
    """What all trainings of a seed share."""

    def __init__(self, anatomies: Anatomies, given, seed: int) -> None:
        self.device, self.given, self.seed = choose_device(given.device), given, seed
        anatomies = with_few_targets(anatomies)
        cut = len(anatomies.maps) * (HELD_OUT - 1) // HELD_OUT
        self.plan = make_plan(anatomies, dimensions=2)
        world = other_world(self.plan, np.random.default_rng(7))
        self.maps = [StoredCase(f"map {i}", None, labels) for i, labels in enumerate(anatomies.maps[:cut])]
        self.scans = scans_of(anatomies.maps[:cut], world, count=given.scans, seed=1000 + seed, device=self.device)
        self.tests = scans_of(anatomies.maps[cut:], world, count=given.tests, seed=2000, device=self.device)

    def parts(self, point: Point) -> Parts:
        options = {"exponents": (point.bias,) * 3, "sigma_min": 0.0, "sigma_max": point.noise}
        central = Component(name="finite-difference-central")
        augmenter = Component(name="parametric-range", options=options)
        recipe = Recipe(augmenter=augmenter, hypergradient=central, seed=self.seed)
        parts = build_parts(self.plan, recipe, self.maps, device=self.device)
        scans = make_sampler(self.scans, self.plan, seed=self.seed, device=self.device)
        generator = generator_of(self.plan, composition_of(point.prior), PLAIN, self.device)
        return replace(parts, generator=generator, scans=scans, randomised=None)  # theta changes all images alike

    @torch.no_grad()
    def score(self, parts: Parts, phi: Params) -> dict[str, float]:
        """Mean Dice of all labels and held-out scans, as they are and inverted."""
        found = {}
        targets = parts.generator.target_of.cpu().numpy()
        for name in ("as they are", "inverted"):
            values = []
            for case in self.tests:
                image = torch.from_numpy(np.array(case.image)).to(self.device)[None]
                image = image if name == "as they are" else rescale(1 - image)
                labels = call(parts.network, phi, image).argmax(1)[0].cpu().numpy()
                truth = targets[np.asarray(case.enriched)]
                each = (dice(labels == k, truth == k) for k in range(1, len(self.plan.labels)))
                values.append(np.mean([value for value in each if value is not None]))
            found[name] = float(np.mean(values))
        return found


def add_options(options: ArgumentParser, *, seeds: Sequence[int]) -> None:
    """What every benchmark in this world takes."""
    options.add_argument("data", type=Path, help="folder of label maps")
    options.add_argument("--iterations", type=int, default=600)
    options.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    options.add_argument("--scans", type=int, default=2000, help="real scans that theta is moved by")
    options.add_argument("--tests", type=int, default=160, help="scans of held-out heads")
    options.add_argument("--part", type=int, nargs=2, default=(1, 1), help="I of N")


def maker(given: Namespace) -> Callable[[Namespace, int], Any]:
    """(options, seed) -> problem: of real scans in 3D, or of slices of label maps."""
    if getattr(given, "scans_3d", False):
        from theta_scans import ScanProblem, planned

        return partial(ScanProblem, planned(given))
    return partial(Problem, load_anatomies(given.data, dimensions=2, spacing=SPACING, seed=0))


def run_all(work: Sequence[tuple[int, Any]], run: Callable[[Any, Any], dict], given: Namespace) -> list[dict]:
    """A row for each (seed, what is trained) of this process's part; seeds come one after the other."""
    given.output.mkdir(parents=True, exist_ok=True)
    make = maker(given)
    rows: list[dict] = []
    problem = None
    for seed, what in work[given.part[0] - 1 :: given.part[1]]:
        if problem is None or problem.seed != seed:
            problem = make(given, seed)
        rows.append(run(problem, what))
        print(f"{what}, seed {seed}: {rows[-1]['dice']}", flush=True)
    return rows
