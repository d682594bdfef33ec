"""The same world with real scans in 3D: a labelled dataset, a small network, and the tool's own images."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from theta_world import Point, composition_of

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Plan
from l2s_auto.core.protocols import Params
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, read_model
from l2s_auto.networks.device import choose_device
from l2s_auto.planning.choices import Choices
from l2s_auto.preprocessing.store import StoredCase, open_case
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.training.build import Parts, build_parts, make_generator
from l2s_auto.training.run import plan_and_train
from l2s_auto.training.validate import evenly, mean_dice

FEATURES, PATCH = 8, (24, 32, 24)
#: Held-out scans that are looked at.
TESTS = 20


class ScanProblem:
    """What all trainings of a seed share: the first fold of a dataset."""

    def __init__(self, run: Path, given: Namespace, seed: int) -> None:
        self.device, self.given, self.seed = choose_device(given.device), given, seed
        self.plan = read_model(run / "plan.json", Plan)
        split = read_json(run / "splits.json")[0]
        self.learn = [open_case(name, run / "preprocessed") for name in split["train"]]
        self.tests = evenly([open_case(name, run / "preprocessed") for name in split["val"]], TESTS)

    def parts(self, point: Point) -> Parts:
        options = {"exponents": (point.bias,) * 3, "sigma_min": 0.0, "sigma_max": point.noise}
        augmenter = Component(name="parametric-range", options=options)
        recipe = Recipe(augmenter=augmenter, hypergradient=Component(name="finite-difference-central"), seed=self.seed)
        parts = build_parts(self.plan, recipe, self.learn, device=self.device)
        generator = make_generator(self.plan, composition_of(point.prior), device=self.device)
        return replace(parts, generator=generator, randomised=None)  # theta changes all images alike

    def score(self, parts: Parts, phi: Params) -> dict[str, float]:
        """Mean Dice of the held-out scans, as they are and inverted."""
        found = {}
        for name, change in (("as they are", lambda image: image), ("inverted", lambda image: rescale(1 - image))):
            values = [mean_dice(parts, phi, [changed(case, change)]) for case in self.tests]
            found[name] = float(np.mean([value for value in values if value is not None]))
        return found


def changed(case: StoredCase, change) -> StoredCase:
    image = torch.from_numpy(np.array(case.image))[None]
    return replace(case, image=change(image)[0].numpy())


def planned(given: Namespace) -> Path:
    """The dataset planned for a small network, and preprocessed."""
    run = given.output / f"plan of {find_dataset(given.data).name}"
    if not (run / "plan.json").exists():
        choices = Choices(patch=PATCH, features=FEATURES)
        plan_and_train(
            dataset=given.data, output=run, recipe=Recipe(), device=given.device, choices=choices, dry_run=True
        )
    return run
