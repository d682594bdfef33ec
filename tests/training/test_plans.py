"""A new plan is tried on the device; choices are the plan's or an error."""

from pathlib import Path

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError
from l2s_auto.core.grid import Early, LowResolution
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.planning.choices import Choices
from l2s_auto.training.methods import METHODS
from l2s_auto.training.plan_table import plan_table
from l2s_auto.training.plans import differences, largest_that_fits, with_measurement
from l2s_auto.training.trial import Measured, TrialFailed, made_up_cases, out_of_memory, try_plan

CPU = torch.device("cpu")


class Planner:
    """Plans whose batch is the memory in GB, limited to 40; what they really take is `factor` times as much."""

    def __init__(self, plan, factor, *, fails_above=None):
        self.plan, self.factor, self.fails_above, self.tried = plan, factor, fails_above, []

    def plan_for(self, memory_gb):
        batch = 40 if memory_gb is None else min(40, int(memory_gb))
        if batch < 2:
            raise UserError.single("Too little.", where="", found="", expected="", mend="")
        return self.plan.model_copy(update={"batch": batch})

    def take(self, plan):
        self.tried.append(plan.batch)
        takes = self.factor * plan.batch
        return None if self.fails_above and takes > self.fails_above else Measured(takes, 1.0, 2.0)

    def found(self, allowed):
        return largest_that_fits(self.plan_for, self.take, allowed, estimate=lambda plan: float(plan.batch))


def test_a_good_estimate_is_tried_once(plan):
    planner = Planner(plan, 1.0)
    assert planner.found(20.0)[0].batch == 20 and planner.tried == [20]


def test_a_plan_that_takes_more_than_allowed_shrinks(plan):
    planner = Planner(plan, 1.6)
    found, measured = planner.found(20.0)
    assert measured.memory_gb <= 20 and found.batch == 12


def test_a_plan_that_takes_less_grows(plan):
    found, measured = Planner(plan, 0.5).found(16.0)
    assert found.batch > 25 and measured.memory_gb <= 16


def test_one_that_nothing_limits_is_not_tried_again(plan):
    planner = Planner(plan, 0.1)
    assert planner.found(1000.0)[0].batch == 40 and planner.tried == [40]


def test_a_trial_that_dies_shrinks_too(plan):
    found, _ = Planner(plan, 3.0, fails_above=20.0).found(20.0)
    assert 3 * found.batch <= 20


def test_nothing_that_fits_is_an_error(plan):
    with pytest.raises(UserError, match="Too little"):
        Planner(plan, 50.0).found(20.0)


@pytest.mark.parametrize("method", ["learn2synth", "supervised"])
def test_a_trial_measures_memory_and_time(plan, method):
    recipe = Recipe(method=Component(name=method))
    small, large = (
        try_plan(plan.model_copy(update={"patch": patch}), recipe, METHODS[method](), CPU)
        for patch in ((8,) * 3, (48,) * 3)
    )
    assert small is not None and large is not None
    assert small.plain > 0 and 0 <= small.memory_gb < large.memory_gb < 5 and small.plain < large.plain


def test_a_trial_of_parts_that_fail_raises_what_they_raise(plan):
    class Fails(METHODS["synthseg"]):
        pass

    recipe = Recipe(augmenter=Component(name="parametric", options={"no such": 1}))
    with pytest.raises(Exception, match="no such"):
        try_plan(plan, recipe, METHODS["learn2synth"](), CPU)


def test_a_trial_in_another_process_trusts_what_the_call_trusts(plan):
    own = "tests.training.test_checks:Plain"
    recipe = Recipe(augmenter=Component(name=own))
    with trusting([own]):
        assert try_plan(plan, recipe, METHODS["learn2synth"](), CPU) is not None
    with pytest.raises(UserError, match="code outside of l2s_auto"):
        try_plan(plan, recipe, METHODS["learn2synth"](), CPU)


def test_made_up_cases_hold_every_enriched_label(plan):
    cases = made_up_cases(plan.model_copy(update={"patch": (32, 32, 32)}))
    assert {int(v) for case in cases for v in case.enriched.ravel()} == set(range(len(plan.generation.enriched)))
    assert all(case.image.shape == (1, 42, 42, 42) for case in cases)


def test_what_devices_raise_without_memory_is_known():
    for error in (
        torch.OutOfMemoryError("x"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("shapes differ"))


def test_the_time_of_a_training():
    measured = Measured(1.0, 0.5, 2.5)
    recipe = Recipe(warm_up=0.3, hyper_every=7)
    assert measured.seconds(recipe, 1000) == pytest.approx(500 + 2.0 * 100)
    assert measured.seconds(recipe, 1000, home=0.25) == pytest.approx(500 + 2.0 * 75), "at home theta is not looked at"
    assert Measured(1.0, 0.5, 0.5).seconds(recipe, 1000) == pytest.approx(500)


def test_choices_that_are_not_the_plans(plan):
    path = Path("plan.json")
    assert differences(plan, Choices(), path) == []
    assert differences(plan, Choices(spacing=(1.0, 1.0, 1.0), patch=(7, 8, 8), batch=2, features=4), path) == []
    found = differences(plan, Choices(spacing=(2.0, 1.0, 1.0), patch=(9, 8, 8), batch=3, features=8), path)
    assert [offence.found.split()[0] for offence in found] == ["spacing", "patch", "batch", "features"]


@pytest.mark.parametrize("own", [{"patch": (8, 8, 8)}, {"batch": 2}])
def test_who_chooses_what_the_plan_has_does_not_choose_early_patches(plan, own):
    early = plan.model_copy(update={"early": Early(patch=(4, 4, 4), batch=8, share=0.5)})
    [offence] = differences(early, Choices(**own), Path("plan.json"))
    assert offence.found == "early the first 50%: 8 patches of 4 x 4 x 4 voxels, and none is asked for"
    assert differences(early, Choices(features=4), Path("plan.json")) == []
    assert differences(plan, Choices(**own), Path("plan.json")) == []


def test_a_much_smaller_patch_than_the_plans_is_another_choice(plan):
    large = plan.model_copy(update={"patch": (64, 64, 64)})
    assert differences(large, Choices(patch=(8, 8, 8)), Path("plan.json"))
    assert differences(large, Choices(patch=(63, 64, 64)), Path("plan.json")) == []


def test_a_trial_that_tells_nothing_is_no_lack_of_memory(plan, monkeypatch):
    monkeypatch.setattr("l2s_auto.training.trial.PATIENCE", 0.0)
    with pytest.raises(TrialFailed, match="it took more than 0 s"):
        try_plan(plan, Recipe(), METHODS["learn2synth"](), CPU)


def test_the_table_has_a_line_a_choice_and_its_reason(plan):
    plan = plan.model_copy(update={"why": {"patch": "because " * 40, "batch": "the device's usual"}})
    text = plan_table(with_measurement(plan, Measured(1.5, 0.5, 2.5), Recipe()))
    early = plan.model_copy(update={"early": Early(patch=(4, 4, 4), batch=8, share=0.5)})
    words = " ".join(text.split())
    assert "early  " not in text and "early the first 50%: 8 patches" in " ".join(plan_table(early).split())
    assert "8 x 8 x 8 voxels  " in text and "the device's usual" in text and "1.50 GB; a step takes 0.5 s" in words
    assert max(map(len, text.splitlines())) <= 80


def test_the_length_that_is_told_is_not_above_the_time_budget(plan):
    def why(**options):
        return with_measurement(plan, Measured(1.5, 60.0, 60.0), Recipe(**options)).why["memory"]

    assert "training about 10 min" in why(iterations=10)
    assert "training at most 7 min" in why(iterations=10, time_budget=420.0)
    assert "training at most 7 min" in why(time_budget=420.0)
    assert "training about 10 min" in why(iterations=10, time_budget=4200.0)


def test_the_table_tells_of_the_first_network_of_a_cascade(plan):
    early = Early(patch=(4, 4, 4), batch=8, share=0.5)
    low = LowResolution(spacing=(4.0, 4.0, 4.0), patch=plan.patch, batch=2, topology=plan.topology, early=early)
    text = " ".join(plan_table(plan.model_copy(update={"low_resolution": low})).split())
    assert "low_resolution 4 x 4 x 4 mm, 8 x 8 x 8 voxels; the first 50%: 8 patches of 4 x 4 x 4 voxels" in text


def test_the_table_tells_the_length_that_was_asked_for(plan):
    assert "2,000" in plan_table(plan.model_copy(update={"iterations": 2000}), Recipe())
    assert "asked for (--iterations)" in plan_table(plan, Recipe(iterations=5))
    assert "as many as 2 min allow" in plan_table(plan, Recipe(time_budget=120.0))
    both = " ".join(plan_table(plan, Recipe(iterations=5, time_budget=120.0)).split())
    assert "fewer where 2 min are over before" in both
