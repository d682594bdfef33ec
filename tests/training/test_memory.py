"""What a recipe keeps in memory, and plans that do not fit."""

import pytest

from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError
from l2s_auto.core.grid import Early, LowResolution
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.planning.memory import StepMemory, plan_memory_gb
from l2s_auto.training.memory import check_memory, step_memory


class Silent:
    """An estimator of a user's own, which does not tell what it needs."""

    def __init__(self, *, part=1.0, micro_batch=None):
        pass


def test_the_recipe_says_what_is_kept():
    recipe = Recipe(hyper_part=0.5, micro_batch=1)
    assert step_memory(recipe, hyper_steps=True) == StepMemory(hyper=1.65, part=0.5, micro_batch=1)
    assert step_memory(recipe, hyper_steps=False) == StepMemory(micro_batch=1)
    assert (
        step_memory(recipe, hyper_steps=False, home=True).home and step_memory(recipe, hyper_steps=True, home=True).home
    )
    network = Component(name="unet", options={"checkpointing": True})
    assert step_memory(Recipe(network=network), hyper_steps=False).checkpointing


def test_an_estimator_that_is_silent_counts_as_the_most_demanding():
    recipe = Recipe(hypergradient=Component(name=f"{__name__}:Silent"))
    with trusting([recipe.hypergradient.name]):
        assert step_memory(recipe, hyper_steps=True).hyper == max(e.memory for e in HYPERGRADIENTS.values())


def test_early_patches_that_were_edited_are_looked_at_too(plan, tmp_path):
    step, path = StepMemory(), tmp_path / "plan.json"
    allowed = 2 * plan_memory_gb(plan, step)
    check_memory(plan, step, memory_gb=allowed, free_gb=None, path=path)
    many = plan.model_copy(update={"early": Early(patch=(8, 8, 8), batch=100_000, share=0.5)})
    own = {name: getattr(many, name) for name in ("patch", "batch", "topology", "early")}
    low = LowResolution(spacing=(4.0, 4.0, 4.0), **own)
    for edited in (many, plan.model_copy(update={"low_resolution": low})):
        with pytest.raises(UserError, match="the first 50%: 100000 patches of 8 x 8 x 8 voxels"):
            check_memory(edited, step, memory_gb=2 * allowed, free_gb=None, path=path)


def test_a_plan_beyond_what_the_user_allows_is_an_error_and_beyond_what_is_free_a_warning(plan, tmp_path, caplog):
    path, step = tmp_path / "plan.json", StepMemory(hyper=4.4)
    needed = plan_memory_gb(plan, step)
    given = {"free_gb": 0.9 * needed, "path": path}
    check_memory(plan, step, memory_gb=1.1 * needed, **given)
    assert not caplog.records
    with pytest.raises(UserError, match=r"more memory than is allowed(.|\n)*--micro-batch"):
        check_memory(plan, step, memory_gb=0.9 * needed, **given)
    with caplog.at_level("WARNING", logger="l2s_auto"):
        check_memory(plan, step, memory_gb=None, **given)
    assert str(path) in caplog.text and "GB are free" in caplog.text
    with pytest.raises(UserError, match="GB, which are free"):
        check_memory(plan, step, memory_gb=None, free_gb=needed / 4, path=path)
    caplog.clear()
    check_memory(plan, step, memory_gb=None, free_gb=None, path=path)
    assert not caplog.records
