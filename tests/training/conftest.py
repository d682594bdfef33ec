"""A tiny training: two dark tissues and two labels, plan and stored cases made in memory."""

import numpy as np
import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.plan import (
    ClassPrior,
    EnrichedLabel,
    GenerationPlan,
    LabelPlan,
    Normalisation,
    Plan,
    Topology,
)
from l2s_auto.core.recipe import Recipe
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.methods import METHODS


@pytest.fixture
def plan():
    names = ("dark tissue", "bright tissue", "inner", "outer")
    return Plan(
        dataset="tiny",
        channels=("MRI",),
        labels=tuple(LabelPlan(value=v, name=n) for v, n in ((0, "background"), (5, "inner"), (9, "outer"))),
        spacing=(1.0, 1.0, 1.0),
        patch=(8, 8, 8),
        batch=2,
        topology=Topology(
            features=(4, 6),
            kernels=((3, 3, 3),) * 2,
            strides=((1, 1, 1), (2, 2, 2)),
            convolutions_encoder=(1, 1),
            convolutions_decoder=(1,),
        ),
        normalisation=(Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
        generation=GenerationPlan(
            enriched=tuple(
                EnrichedLabel(name=name, target=max(0, i - 1), generation_class=i, centre=c)
                for i, (name, c) in enumerate(zip(names, (0.2, 0.6, None, None), strict=True))
            ),
            priors=tuple(
                ClassPrior(mean=(m,), mean_spread=(0.02,), std=(0.03,), std_spread=(0.005,))
                for m in (0.2, 0.6, 0.8, 0.4)
            ),
        ),
        iterations=6,
    )


@pytest.fixture
def cases():
    rng = np.random.default_rng(0)
    made = []
    for number in range(4):
        enriched = np.zeros((10, 9, 8), dtype=np.uint8)
        enriched[:, 4:] = 1
        enriched[2:8, 2:7, 2:6] = 3
        enriched[3:6, 3:6, 3:5] = 2
        image = np.array([0.2, 0.6, 0.8, 0.4], dtype=np.float32)[enriched]
        image = image + 0.03 * rng.standard_normal(image.shape).astype(np.float32)
        made.append(StoredCase(f"case_{number}", image[None], enriched))
    return made


@pytest.fixture
def make_parts(plan, cases):
    def make(method="learn2synth", **changes):
        recipe = Recipe(method=Component(name=method), **{"hyper_every": 2, "warm_up": 0.0, **changes})
        chosen = METHODS[method]()
        parts = build_parts(plan, recipe, cases, method=chosen, device=torch.device("cpu"))
        return parts, chosen, initial_state(parts)

    return make
