"""The accelerator that these tests are run on: CUDA, or the device that L2S_TEST_DEVICE names."""

import os

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.networks.device import choose_device
from l2s_auto.training.build import build_parts
from tests.end_to_end.conftest import dataset, own_state
from tests.training.conftest import cases, plan

#: Fixtures of others.
__all__ = ["cases", "dataset", "own_state", "plan"]


@pytest.fixture
def device() -> torch.device:
    name = os.environ.get("L2S_TEST_DEVICE", "cuda")
    try:
        return choose_device(name)
    except UserError as error:
        pytest.skip(f"no accelerator: {error}")


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    if device.type != "cuda":
        pytest.skip("graphs, and waits that are told of, are CUDA's alone")
    return device


@pytest.fixture
def small_parts(request, device):
    """augmenter, families -> the parts of a tiny training on the accelerator; without families, of rendered images."""
    plan_of_all, cases_of_all = map(request.getfixturevalue, ("plan", "cases"))

    def make(augmenter: str = "parametric", families: dict[str, float] | None = None):
        families = families or {"real-like": 1.0}
        recipe = Recipe(augmenter=Component(name=augmenter), hyper_every=2, warm_up=0.0, families=families)
        return build_parts(plan_of_all, recipe, cases_of_all, device=device)

    return make
