"""The images of a plain iteration are made without waiting for the device, and by a graph where there can be one."""

import logging
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from l2s_auto.core.component import Component
from l2s_auto.core.types import Batch
from l2s_auto.synthesis.thin import without_waiting
from l2s_auto.training.batches import augment, boxes_of, draw_batch, draw_families, draw_plain, make_rendered
from l2s_auto.training.replay import LARGEST, Replay, can_be_replayed, reason, same_images
from l2s_auto.training.resident import Resident
from l2s_auto.training.shrink import smaller


class Waiting(TorchDispatchMode):
    """Notes what an accelerator would have to be waited for: values that Python reads, sizes that depend on values, and
    numbers that come from Python."""

    KINDS = ("_local_scalar_dense", "nonzero", "lift_fresh", "unique", "masked_select")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(kind in str(function) for kind in self.KINDS):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


#: Two families of rendered images, and one of scans.
FAMILIES = {"real-like": 0.4, "uniform-tissues": 0.4, "random-curve": 0.2}


def maps_of(parts, theta=None):
    """Label maps of the rendered images of a batch, and the families of all."""
    families = draw_families(parts, theta, parts.plan.batch)
    return boxes_of(parts, families)[0], families


AUGMENTERS = ("parametric", "contrast+parametric-random", "nonparametric", "gamma+rician+blur")


@pytest.mark.parametrize("augmenter", AUGMENTERS)
def test_nothing_is_waited_for(make_parts, augmenter):
    parts, _, state = make_parts(augmenter=Component(name=augmenter), families=FAMILIES)
    parts = replace(parts, plan=parts.plan.model_copy(update={"batch": 5}))
    theta, (maps, families) = state.theta, maps_of(parts)
    assert len(set(families[: len(maps)])) == 2 < len(set(families))
    with torch.no_grad(), without_waiting():
        make_rendered(parts, theta, maps, families)  # constants are made
        with Waiting() as waiting:
            make_rendered(parts, theta, maps, families)
    assert not waiting.found


@pytest.mark.parametrize("families", [FAMILIES, {"reversed": 1.0}, {"recontrasted": 0.5, "original": 0.5}])
def test_a_plain_batch_is_what_its_steps_make(make_parts, families):
    parts, _, state = make_parts(families=families)
    again, theta = make_parts(families=families)[0], state.theta
    plain, drawn = draw_plain(parts, theta), draw_batch(again, theta)
    with torch.no_grad():
        assert torch.equal(plain.image, augment(again, theta, drawn))
    assert torch.equal(plain.target, drawn.target)


class Elsewhere(torch.nn.Module):
    """A part of the augmenter that somebody else wrote."""


def test_a_graph_is_for_own_augmenters_and_small_batches_on_cuda(make_parts):
    parts = make_parts()[0]
    maps, _ = maps_of(parts)
    assert not can_be_replayed(parts, maps), "there is none on a CPU"
    cuda = replace(parts, device=torch.device("cuda"))
    assert can_be_replayed(cuda, maps)
    assert not can_be_replayed(cuda, torch.zeros(1).expand(LARGEST + 1))
    cuda.augmenter.add_module("other", Elsewhere())
    assert not can_be_replayed(cuda, maps)


def test_where_the_graph_cannot_be_made_it_is_said_once_and_images_are_made_without(make_parts, monkeypatch, caplog):
    (parts, _, state), calls = make_parts(), []
    monkeypatch.setattr("l2s_auto.training.replay.can_be_replayed", lambda *_: True)

    def fails(*_):
        calls.append(1)
        raise RuntimeError("not permitted when stream is capturing\nand more")

    monkeypatch.setattr(Replay, "_capture", fails)
    with caplog.at_level(logging.WARNING, "l2s_auto"):
        for _ in range(3):
            assert draw_plain(parts, state.theta).image.isfinite().all()
    assert len(calls) == 1 and caplog.text.count("more slowly: not permitted") == 1


class Sampler:
    """One that has kept cases once."""

    kept = True

    def drop_resident(self):
        had, self.kept = self.kept, False
        return had


def test_where_memory_is_short_what_saves_time_goes_first(make_parts, caplog):
    parts = make_parts()[0]
    first = replace(parts, sampler=Sampler())
    with caplog.at_level(logging.WARNING, "l2s_auto"):
        second = smaller(first)
        assert second.recipe.micro_batch is None and "no cases are kept" in caplog.text
        assert smaller(second).recipe.micro_batch == 1
    assert not smaller(make_parts()[0]).replay.drop(), "where there is none, samples are halved at once"


def test_no_case_is_kept_any_more(make_parts):
    sampler = make_parts()[0].sampler
    sampler._resident = Resident(torch.device("cpu"), room=10**9)
    sampler.sample(2, (8, 8, 8))
    assert sampler.drop_resident() and not sampler.drop_resident()
    sampler.sample(2, (8, 8, 8))
    assert not sampler.drop_resident()


def test_a_message_has_one_line():
    assert reason(RuntimeError("a\nb")) == "a" and reason(KeyError()) == "KeyError"


def test_a_graph_is_taken_if_its_images_are_those_of_the_steps():
    one = Batch(torch.rand(1, 1, 4, 4, 4), torch.zeros(1, 4, 4, 4, dtype=torch.int64))
    assert same_images(one, Batch(one.image + 1e-6, one.target))
    assert not same_images(one, Batch(one.image + 1e-2, one.target))
    assert not same_images(one, Batch(one.image, one.target + 1))
