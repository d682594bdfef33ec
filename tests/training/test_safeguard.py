"""The rival at the end of a training: theta as at the start, all else the same."""

import json
import logging

import pytest
import torch

from l2s_auto.training.checkpoint import load_checkpoint, save_checkpoint
from l2s_auto.training.home import Phases
from l2s_auto.training.loop import Limits, restore_random, train
from l2s_auto.training.safeguard import LAST, as_rival, settled
from l2s_auto.training.step import replace_state, synthetic_step

BEFORE, END = 1 - 2 * LAST, 1 - LAST / 2


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def moved(make_parts, **changes):
    """(parts, method, state) with theta away from its start."""
    parts, method, state = make_parts(**changes)
    for number in range(2):
        state = method.step(parts, state, progress=BEFORE).state
        state.step = number + 1
    assert not same(state.theta, state.start) and not state.rival
    return parts, method, state


def test_the_rival_is_the_training_with_theta_as_at_the_start_on_the_same_images(make_parts):
    parts, method, state = moved(make_parts)
    random, sampler = parts.random.get_state(), parts.sampler.state()
    found = method.step(parts, state, progress=END).state
    parts.random.set_state(random)
    parts.sampler.restore(sampler)
    expected = synthetic_step(parts, replace_state(state, theta=state.start), rate_scale=parts.schedule(END)).state
    assert same(found.rival["phi"], expected.phi) and not same(found.rival["phi"], found.phi)
    assert same(as_rival(found).theta, state.start)


@pytest.mark.parametrize("looks", [True, False])
def test_a_rival_changes_nothing_in_the_training(make_parts, looks):
    parts, method, state = moved(make_parts)
    state.step = 4 if looks else 3
    twin, _, _ = make_parts()
    twin.random.set_state(parts.random.get_state())
    twin.sampler.restore(parts.sampler.state())
    alone = replace_state(state, start={})
    for _ in range(2):
        state = method.step(parts, state, progress=END).state
        alone = method.step(twin, alone, progress=END).state
        state.step, alone.step = state.step + 2, alone.step + 2
    assert state.rival and not alone.rival
    assert same(state.phi, alone.phi) and same(state.theta, alone.theta)
    assert torch.equal(parts.random.get_state(), twin.random.get_state())


def test_there_is_no_rival_where_theta_has_not_moved_or_is_not_there(make_parts):
    for changes in ({"warm_up": 0.99}, {"method": "synthseg"}):
        parts, method, state = make_parts(**changes)
        assert not method.step(parts, state, progress=END).state.rival


def test_a_training_of_an_earlier_version_goes_on_without(make_parts):
    parts, method, state = moved(make_parts)
    assert not method.step(parts, replace_state(state, start={}), progress=END).state.rival


def test_a_training_with_a_rival_is_resumed_as_it_was(make_parts, tmp_path):
    parts, method, state = moved(make_parts)
    state = method.step(parts, state, progress=END).state
    state.rng = {"torch": parts.random.get_state(), "sampler": parts.sampler.state()}
    save_checkpoint(state, tmp_path)
    fresh, method, _ = make_parts()
    again = load_checkpoint(tmp_path, torch.device("cpu"))
    restore_random(fresh, again)
    one, two = (method.step(p, s, progress=END).state for p, s in ((parts, state), (fresh, again)))
    assert same(one.rival["phi"], two.rival["phi"]) and same(one.phi, two.phi)


@pytest.mark.parametrize(
    ("own", "without", "kept", "said"),
    [
        (0.8, 0.7, "learned", "Theta as learned is kept"),
        (0.7, 0.8, "start", "Theta as at the start is kept"),
        (0.7, 0.7, "learned", "Theta as learned is kept"),
    ],
)
def test_the_better_one_on_held_out_cases_is_kept(make_parts, caplog, own, without, kept, said):
    parts, method, state = moved(make_parts)
    state = method.step(parts, state, progress=END).state
    with caplog.at_level(logging.INFO, logger="l2s_auto"):
        last = settled(state, lambda phi: own if same(phi, state.phi) else without)
    expected = state if kept == "learned" else as_rival(state)
    assert same(last.state.phi, expected.phi) and same(last.state.theta, expected.theta) and not last.state.rival
    assert last.dice == max(own, without) and last.compared == {"learned": own, "start": without}
    assert said in caplog.text and f"{own:.3f}" in caplog.text


def test_without_held_out_cases_what_was_learned_is_kept(make_parts):
    parts, method, state = moved(make_parts)
    state = method.step(parts, state, progress=END).state
    last = settled(state, lambda phi: None)
    assert same(last.state.phi, state.phi) and last.dice is None and not last.compared


def test_a_whole_training_ends_with_the_better_one(make_parts, tmp_path):
    parts, method, state = make_parts(hyper_every=1)
    seen = []

    def validate(phi):
        seen.append(phi)
        return 0.9 if len(seen) == 2 else 0.5

    limits = Limits(iterations=20, time_budget=None, validations=1)
    last = train(parts, Phases(method), state, folder=tmp_path, limits=limits, validate=validate, title="test")
    line = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
    assert line["val_dice"] == 0.9 and line["val_dice_by_theta"] == {"learned": 0.5, "start": 0.9}
    assert same(last.phi, seen[1]) and same(last.theta, last.start)
    saved = load_checkpoint(tmp_path / "checkpoint", torch.device("cpu"))
    assert same(saved.phi, last.phi) and not saved.rival
