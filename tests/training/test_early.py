"""The first part of a training in small patches: which parts are used when, by every method, and after a stop."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from l2s_auto.core.grid import Early
from l2s_auto.training.checkpoint import load_checkpoint
from l2s_auto.training.early import Stages, early_parts
from l2s_auto.training.methods import METHODS
from l2s_auto.training.shrink import smaller
from tests.training.test_loop import Hungry, run, same

EARLY = Early(patch=(4, 4, 4), batch=6, share=0.5)


@pytest.fixture
def plan(plan):
    return plan.model_copy(update={"early": EARLY})


class Watched:
    """The method, which notes the patch and batch of each iteration."""

    hyper_steps = True

    def __init__(self, method):
        self.method, self.seen = method, []

    def step(self, parts, state, *, progress):
        self.seen.append((parts.plan.patch, parts.plan.batch))
        return self.method.step(parts, state, progress=progress)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_learns_from_small_patches_first_and_whole_ones_then(make_parts, tmp_path, name):
    parts, method, state = make_parts(name)
    watched = Watched(method)
    end = run((parts, watched, state), tmp_path)
    assert watched.seen == 3 * [((4, 4, 4), 6)] + 3 * [((8, 8, 8), 2)]
    assert end.step == 6 and all(value.isfinite().all() for value in end.phi.values())
    assert any(not torch.equal(value, state.phi[key]) for key, value in end.phi.items())


def test_images_have_the_shape_of_the_part(make_parts):
    parts, _, state = make_parts()
    shapes = []
    parts.network.register_forward_hook(lambda module, given, found: shapes.append(tuple(given[0].shape)))
    stages = Stages(parts)
    for progress in (0.0, 0.6):
        METHODS["synthseg"]().step(stages.at(progress), state, progress=progress)
    assert shapes == [(6, 1, 4, 4, 4), (2, 1, 8, 8, 8)]


def test_a_plan_without_early_patches_has_one_stage(make_parts):
    parts, _, _ = make_parts()
    whole = Stages(early_parts(parts))
    assert whole.at(0.0) is whole.parts and whole.at(1.0) is whole.parts


def test_parts_are_made_once_and_share_what_is_learned(make_parts):
    parts, _, _ = make_parts()
    stages = Stages(parts)
    early = stages.at(0.1)
    assert stages.at(0.2) is early and early is not parts and stages.at(EARLY.share) is parts
    for name in ("network", "augmenter", "sampler", "random", "replay"):
        assert getattr(early, name) is getattr(parts, name)


@pytest.mark.parametrize("done", [2, 3, 4])
def test_seeds_repeat_a_training_and_a_stop_in_either_part_changes_nothing(make_parts, tmp_path, done):
    whole = run(make_parts(), tmp_path / "whole")
    assert same(whole, run(make_parts(), tmp_path / "again"))
    parts, method, state = make_parts()

    class Stops(Watched):
        def step(self, parts, state, *, progress):
            if state.step == done - 1:
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(parts, state, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run((parts, Stops(method), state), tmp_path / "stopped")
    fresh, method, _ = make_parts()
    state = load_checkpoint(tmp_path / "stopped" / "checkpoint", torch.device("cpu"))
    assert state.step == done and same(run((fresh, method, state), tmp_path / "stopped"), whole)


def test_a_training_without_memory_goes_on_in_either_part(make_parts, tmp_path, caplog):
    parts, method, state = make_parts()
    hungry = Hungry(method, voxels=2 * 4 * 4 * 4)
    end = run((parts, hungry, state), tmp_path)
    assert hungry.seen[:3] == [(6, (4, 4, 4)), (3, (4, 4, 4)), (2, (4, 4, 4))] and end.step == 6
    assert hungry.seen[-1][0] == 1 and np.prod(hungry.seen[-1][1]) <= 2 * 4 * 4 * 4
    assert "3 of 6 samples at a time" in caplog.text


def test_where_whole_patches_are_made_smaller_there_are_no_early_ones(make_parts):
    parts, _, _ = make_parts()
    while parts.plan.patch == (8, 8, 8):
        assert parts.plan.early == EARLY
        parts = smaller(parts)
    assert parts.plan.early is None
