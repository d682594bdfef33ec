"""The loop: seeds, resumption, limits, interruption, files."""

import json
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from l2s_auto.core.errors import UserError
from l2s_auto.hypergradients.differentiate import norm
from l2s_auto.training.checkpoint import FILE, load_checkpoint, save_checkpoint
from l2s_auto.training.history import History
from l2s_auto.training.home import Phases
from l2s_auto.training.loop import PATIENCE, Limits, restore_random, train
from l2s_auto.training.step import StepResult
from l2s_auto.training.writer import Writer

CPU = torch.device("cpu")


def run(made, folder, *, iterations=6, validate=lambda phi: 0.5, **limits):
    """A training of (parts, method or phases, state)."""
    parts, method, state = made
    return train(
        parts,
        method if isinstance(method, Phases) else Phases(method),
        state,
        folder=folder,
        limits=Limits(iterations=iterations, time_budget=None, log_every=2, **limits),
        validate=validate,
        title="test",
    )


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def copied(nested):
    """The same with tensors of their own: a checkpoint holds no tensor twice."""
    if isinstance(nested, dict):
        return {name: copied(value) for name, value in nested.items()}
    return nested.clone() if isinstance(nested, torch.Tensor) else nested


def same(one, two):
    return all(torch.equal(one.phi[k], two.phi[k]) for k in one.phi) and all(
        torch.equal(one.theta[k], two.theta[k]) for k in one.theta
    )


@pytest.mark.parametrize("method", ["learn2synth", "synthseg", "supervised"])
def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(make_parts, tmp_path, method):
    first, second = (run(make_parts(method), tmp_path / str(i)) for i in range(2))
    assert same(first, second)
    assert not same(first, run(make_parts(method, seed=1), tmp_path / "other"))


@pytest.mark.parametrize("method", ["learn2synth", "learn2synth-matched"])
def test_a_training_is_its_iterations_and_ends_with_theta_as_learned(make_parts, tmp_path, method):
    """Whatever validation finds, which is done ten times in all."""
    parts, chosen, state = make_parts(method, hyper_every=1)
    for step in range(20):
        state = chosen.step(parts, replace(state, step=step), progress=step / 20).state
    falling = iter([0.9 - 0.05 * n for n in range(10)])
    given = make_parts(method, hyper_every=1)
    end = run(given, tmp_path, iterations=20, validate=lambda phi: next(falling))
    assert same(end, state) and not same(end, replace(end, theta=given[2].theta)), "theta has moved"
    assert history(tmp_path)[-1]["val_dice"] == pytest.approx(0.45) and next(falling, None) is None


def test_a_resumed_training_is_the_one_that_was_never_stopped(make_parts, tmp_path):
    whole = run(make_parts(), tmp_path / "whole")
    parts, method, state = make_parts()

    class Stops:
        """The method, with a signal in the middle, as Ctrl-C gives."""

        hyper_steps = True

        def step(self, parts, state, *, progress):
            if state.step == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return method.step(parts, state, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run((parts, Stops(), state), tmp_path / "stopped")
    assert (tmp_path / "stopped" / "weights.safetensors").exists()
    fresh, method, _ = make_parts()
    state = load_checkpoint(tmp_path / "stopped" / "checkpoint", CPU)
    assert state.step == 3
    assert same(run((fresh, method, state), tmp_path / "stopped"), whole)
    iterations = [line["iteration"] for line in history(tmp_path / "stopped")]
    assert iterations == sorted(iterations) and iterations[-1] == 6


def test_a_checkpoint_keeps_the_order_of_its_tensors(make_parts, tmp_path):
    """Sums over all weights round by their order: the norm that a difference's step is taken from, among them."""
    parts, method, state = make_parts()
    state = method.step(parts, state, progress=0.0).state
    assert list(state.phi) != sorted(state.phi)
    save_checkpoint(state, tmp_path)
    loaded = load_checkpoint(tmp_path, CPU)
    assert list(loaded.phi) == list(state.phi) and list(loaded.theta) == list(state.theta)
    assert list(loaded.inner_state["mean"]) == list(state.inner_state["mean"])
    assert norm(loaded.phi) == norm(state.phi)


def test_a_checkpoint_of_an_earlier_version_is_read(make_parts, tmp_path):
    parts, method, state = make_parts()
    state = method.step(parts, state, progress=0.0).state
    del state.signal["usual"]
    save_checkpoint(state, tmp_path)
    with safe_open(tmp_path / FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = {"state": file.metadata()["state"]}
    save_file(tensors, tmp_path / FILE, metadata=metadata)
    loaded = load_checkpoint(tmp_path, CPU)
    assert same(loaded, state)
    assert "usual" in method.step(parts, loaded, progress=0.0).state.signal


@pytest.mark.parametrize("control", [True, False])
def test_a_checkpoint_with_a_control_training_goes_on_without_it(make_parts, tmp_path, control):
    """Earlier versions kept theta as it was at the start and, near the end, the weights of a training with it."""
    parts, method, state = make_parts()
    state = method.step(parts, state, progress=0.0).state
    state.step, state.rng = 1, {"torch": parts.random.get_state(), "sampler": parts.sampler.state()}
    weights = {"phi": copied(state.phi), "inner_state": copied(state.inner_state)}
    earlier = {**state.__dict__, "start": copied(state.theta), "rival": weights if control else {}}
    save_checkpoint(SimpleNamespace(**earlier), tmp_path / "checkpoint")
    loaded = load_checkpoint(tmp_path / "checkpoint", CPU)
    assert loaded.__dict__.keys() == state.__dict__.keys() and same(loaded, state)
    fresh, method, _ = make_parts()
    assert same(run((fresh, method, loaded), tmp_path), run((parts, method, state), tmp_path / "never stopped"))
    with safe_open(tmp_path / "checkpoint" / FILE, framework="pt") as file:
        names = list(file.keys())
    assert names and not [name for name in names if name.startswith(("start", "rival"))]


def test_training_goes_on_bit_by_bit_from_every_step(make_parts, tmp_path):
    """With the default estimator on every iteration, whose step depends on sums over all weights."""
    parts, method, state = make_parts(hyper_every=1)
    for step in range(5):
        state.step = step
        state.rng = {"torch": parts.random.get_state(), "sampler": parts.sampler.state()}
        save_checkpoint(state, tmp_path)
        resumed, _, _ = make_parts(hyper_every=1)
        again = load_checkpoint(tmp_path, CPU)
        restore_random(resumed, again)
        again = method.step(resumed, again, progress=0.0).state
        state = method.step(parts, state, progress=0.0).state
        assert same(again, state)


def test_history_shows_theta_moving(make_parts, tmp_path):
    run(make_parts(), tmp_path)
    lines = history(tmp_path)
    assert [line["iteration"] for line in lines][-1] == 6
    assert set(lines[0]) == {"iteration", "seconds", "loss_synth", "loss_real", "theta", "theta_gradient", "val_dice"}
    assert lines[0]["theta_gradient"] is None or lines[0]["theta_gradient"]["length"] > 0
    assert lines[-1]["theta_gradient"]["length"] > 0 and -1 <= lines[-1]["theta_gradient"]["agreement"] <= 1
    assert lines[0]["theta"]["sigma"] != lines[-1]["theta"]["sigma"]
    assert lines[-1]["val_dice"] == 0.5


def test_lines_after_the_checkpoint_and_torn_lines_are_dropped(make_parts, tmp_path):
    (tmp_path / "history.jsonl").write_text('{"iteration": 3}\n{"iteration": 99}\n{"iterat')
    parts, method, state = make_parts()
    state.step = 4
    run((parts, method, state), tmp_path, validations=1)
    assert [line["iteration"] for line in history(tmp_path)] == [3, 6]


def test_a_time_budget_ends_the_training(make_parts, tmp_path):
    parts, method, state = make_parts("synthseg")
    limits = Limits(iterations=None, time_budget=0.3)
    phases = Phases(method)
    state = train(parts, phases, state, folder=tmp_path, limits=limits, validate=lambda phi: None, title="t")
    assert state.step >= 1 and 0.3 <= state.seconds < 5


def test_checkpoint_is_the_state(make_parts, tmp_path):
    parts, method, state = make_parts()
    state = method.step(parts, state, progress=0.0).state
    state.rng = {"torch": parts.random.get_state(), "sampler": parts.sampler.state()}
    save_checkpoint(state, tmp_path)
    loaded = load_checkpoint(tmp_path, CPU)
    assert same(state, loaded)
    assert loaded.rng["sampler"] == state.rng["sampler"]
    assert torch.equal(loaded.rng["torch"], state.rng["torch"])
    assert loaded.inner_state["count"] == 1
    assert torch.equal(
        loaded.inner_state["mean"][next(iter(state.phi))], state.inner_state["mean"][next(iter(state.phi))]
    )


def test_a_kill_during_a_checkpoint_write_leaves_the_last_one(make_parts, tmp_path, monkeypatch):
    """The new file is written beside the old one; dying at any moment before the exchange keeps the old one."""
    _, _, state = make_parts()
    save_checkpoint(state, tmp_path)

    def dies(tensors, path, metadata):
        with open(path, "wb") as file:
            file.write(b"half a checkp")
        raise SystemExit(137)

    monkeypatch.setattr("l2s_auto.training.checkpoint.save_file", dies)
    with pytest.raises(SystemExit):
        save_checkpoint(state, tmp_path)
    assert same(load_checkpoint(tmp_path, CPU), state)


def test_a_broken_checkpoint_is_an_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="checkpoint cannot be read"):
        load_checkpoint(tmp_path, CPU)


class Breaks:
    """The method, whose weights become NaN on some iterations."""

    hyper_steps = True

    def __init__(self, method, *, on):
        self.method, self.on = method, on

    def step(self, parts, state, *, progress):
        result = self.method.step(parts, state, progress=progress)
        if state.step in self.on:
            broken = {name: value * float("nan") for name, value in result.state.phi.items()}
            result = replace(result, state=replace(result.state, phi=broken))
        return result


def test_an_iteration_that_ends_in_nan_is_undone(make_parts, tmp_path, caplog):
    parts, method, state = make_parts()
    end = run((parts, Breaks(method, on={2}), state), tmp_path)
    assert all(value.isfinite().all() for value in end.phi.values())
    assert end.step == 6 and "Iteration 3 ended in NaN" in caplog.text


def test_a_training_that_makes_no_numbers_any_more_ends_and_keeps_what_it_had(make_parts, tmp_path):
    parts, method, state = make_parts()
    with pytest.raises(UserError, match="has diverged: 20 iterations in a row"):
        run((parts, Breaks(method, on=range(1, 100)), state), tmp_path, iterations=100)
    kept = load_checkpoint(tmp_path / "checkpoint", CPU)
    assert kept.step == 1 + PATIENCE and all(value.isfinite().all() for value in kept.phi.values())


def test_the_history_is_json_where_a_loss_is_not_a_number(tmp_path):
    kept = History(tmp_path / "history.jsonl", first_step=0)
    for loss in (1.0, float("nan"), 2.0):
        kept.add(StepResult(None, loss, float("nan")))
    kept.write(iteration=3, seconds=1.0, theta={}, signal=None, val_dice=None)
    assert history(tmp_path)[0]["loss_synth"] == 1.5 and history(tmp_path)[0]["loss_real"] is None


class Hungry:
    """The method, on a device that holds so many voxels at a time."""

    hyper_steps = True

    def __init__(self, method, *, voxels):
        self.method, self.voxels, self.seen = method, voxels, []

    def step(self, parts, state, *, progress):
        at_a_time = min(parts.recipe.micro_batch or parts.plan.batch, parts.plan.batch)
        self.seen.append((at_a_time, parts.plan.patch))
        if at_a_time * np.prod(parts.plan.patch) > self.voxels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.method.step(parts, state, progress=progress)


@pytest.mark.parametrize("method", ["learn2synth", "learn2synth-matched", "supervised"])
def test_a_training_without_memory_goes_on_with_fewer_samples_then_smaller_patches(
    make_parts, tmp_path, caplog, method
):
    parts, chosen, state = make_parts(method)
    hungry = Hungry(chosen, voxels=8 * 8 * 6)
    end = run((parts, hungry, state), tmp_path, iterations=3)
    assert end.step == 3 and hungry.seen[:4] == [(2, (8, 8, 8)), (1, (8, 8, 8)), (1, (6, 8, 8)), (1, (6, 8, 8))]
    assert "1 of 2 samples at a time" in caplog.text and "patches of 6 x 8 x 8" in caplog.text


def test_fewer_samples_at_a_time_change_nothing(make_parts, tmp_path):
    whole = run(make_parts(), tmp_path / "whole")
    parts, method, state = make_parts()
    short = run((parts, Hungry(method, voxels=8**3), state), tmp_path / "short")
    for name, value in whole.phi.items():
        torch.testing.assert_close(short.phi[name], value, rtol=1e-2, atol=1e-3)


def test_no_memory_for_the_smallest_patch_is_an_error(make_parts, tmp_path):
    parts, method, state = make_parts()
    with pytest.raises(UserError, match="not enough memory for the smallest training"):
        run((parts, Hungry(method, voxels=1), state), tmp_path)


def test_other_errors_of_a_step_are_raised(make_parts, tmp_path):
    class Fails:
        hyper_steps = False

        def step(self, parts, state, *, progress):
            raise RuntimeError("shapes differ")

    parts, _, state = make_parts()
    with pytest.raises(RuntimeError, match="shapes differ"):
        run((parts, Fails(), state), tmp_path)


def test_a_signal_within_the_last_iteration_is_not_lost(make_parts, tmp_path, monkeypatch):
    """All is saved, and the command does not go on to validate as if nothing had been said."""

    def save(self, state, *, every):
        if state.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Writer, "save_from_time_to_time", save)
    with pytest.raises(KeyboardInterrupt):
        run(make_parts("synthseg"), tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint", CPU).step == 6
    assert (tmp_path / "weights.safetensors").exists()
