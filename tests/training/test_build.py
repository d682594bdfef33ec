"""What a training is made of."""

import pytest
import torch

from l2s_auto.core.recipe import Recipe
from l2s_auto.training.build import build_parts


@pytest.mark.parametrize(
    ("patch", "fast"), [((8, 8, 8), True), ((4, 8, 8), False), ((2, 8, 8), False), ((8, 4, 4), True)]
)
def test_two_voxels_along_the_first_axis_are_not_convolved_in_bfloat16(plan, cases, patch, fast):
    plan = plan.model_copy(update={"patch": patch})
    parts = build_parts(plan, Recipe(), cases, device=torch.device("cpu"), autocast=torch.bfloat16)
    assert (parts.autocast is not None) == fast
