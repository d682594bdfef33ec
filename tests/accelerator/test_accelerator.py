"""On an accelerator everything is what it is on a CPU: generator, hypergradients, trainings, predictions, memory."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from l2s_auto import Predictor, cli
from l2s_auto.core.composition import of_shares
from l2s_auto.core.types import Volume
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.synthesis.generator import Generator
from l2s_auto.synthesis.thin import without_waiting
from l2s_auto.training.batches import boxes_of, draw_families, draw_plain, make_rendered
from l2s_auto.training.build import initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.replay import can_be_replayed
from tests.end_to_end.test_commands import history, train
from tests.hypergradients.problem import relative_error
from tests.hypergradients.test_estimators import RULES, after_steps
from tests.inference.tiny_models import blocks, write_run
from tests.synthesis.test_generator import GENERATION, SHAPE, SPACING, labels


def moved(value, device):
    """Tensors anywhere in dataclasses and dictionaries, on another device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: moved(inner, device) for key, inner in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: moved(getattr(value, f.name), device) for f in dataclasses.fields(value) if f.init}
        )
    return value


def generator_on(device):
    given = {"composition": of_shares(0.4, 0.3), "channels": 1, "spacing": SPACING, "shape": SHAPE, "flips": True}
    return Generator(GENERATION, device=device, **given)


def maps_of(parts):
    """Label maps of the rendered images of a batch, and the families of all."""
    families = draw_families(parts, None, parts.plan.batch)
    return boxes_of(parts, families)[0], families


def test_a_draw_makes_the_image_that_it_makes_on_a_cpu(device):
    cpu = torch.device("cpu")
    draw = generator_on(cpu).draw(2, torch.Generator().manual_seed(0))
    expected = generator_on(cpu).apply(labels(), draw)
    found = generator_on(device).apply(labels().to(device), moved(draw, device))
    assert found.image.device.type == device.type
    same = found.target.cpu() == expected.target
    assert same.float().mean() > 0.99  # a place halfway between two voxels falls to either
    assert (found.image.cpu() - expected.image).abs().mean() < 0.01


def test_draws_on_the_device_are_repeatable_and_finite(device):
    generator, boxes = generator_on(device), labels().to(device)
    one, two, other = (
        generator.apply(boxes, generator.draw(2, torch.Generator(device).manual_seed(seed))) for seed in (5, 5, 6)
    )
    assert one.image.isfinite().all() and torch.equal(one.image, two.image)
    assert not torch.equal(one.image, other.image)


@pytest.mark.parametrize("family", ["random-curve", "recontrasted"])
def test_a_draw_makes_of_a_scan_what_it_makes_on_a_cpu(device, family):
    cpu = torch.device("cpu")
    draw = generator_on(cpu).draw_scans((family,) * 2, torch.Generator().manual_seed(0))
    scans = torch.rand(2, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    expected = generator_on(cpu).from_scans(scans, labels(), draw)
    found = generator_on(device).from_scans(scans.to(device), labels().to(device), moved(draw, device))
    assert found.image.device.type == device.type
    assert (found.target.cpu() == expected.target).float().mean() > 0.99
    assert (found.image.cpu() - expected.image).abs().mean() < 0.02


#: Rows of families, of a batch of 2, that differ from batch to batch.
ROWS = {"real-like": 0.55, "uniform-tissues": 0.25, "random-curve": 0.2}


@pytest.mark.parametrize("augmenter", ["parametric", "contrast+parametric-random", "nonparametric"])
def test_images_of_a_graph_are_those_that_are_made_one_by_one(augmenter, small_parts, cuda):
    """For the same random numbers, in each row of families, as theta moves, and after the random numbers were put
    back."""
    parts, again = small_parts(augmenter, ROWS), small_parts(augmenter, ROWS)
    assert can_be_replayed(parts, maps_of(small_parts(augmenter, ROWS))[0])
    theta = initial_state(parts).theta
    rows = set()
    again.replay.drop()
    for number in range(12):
        if number == 3:
            theta = {name: value + 0.05 for name, value in theta.items()}
        if number == 5:
            parts.random.set_state(again.random.get_state())
        before = parts.sampler.state()
        rows.add(draw_families(parts, None, parts.plan.batch))
        parts.sampler.restore(before)
        found, expected = draw_plain(parts, theta), draw_plain(again, theta)
        assert torch.equal(found.target, expected.target), number
        torch.testing.assert_close(found.image, expected.image, atol=1e-5, rtol=1e-5)
    assert set(parts.replay._graphs) == rows and len(rows) > 1 and not again.replay._graphs


@pytest.mark.parametrize("augmenter", ["parametric", "nonparametric"])
@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("name", ["unrolled", "forward", "finite-difference"])
def test_hypergradients_are_those_of_a_cpu(name, rule, augmenter, device):
    if device.type == "mps":
        pytest.skip("MPS has no float64")
    problem, phi, theta, _, state = after_steps(RULES[rule], augmenter)
    expected = HYPERGRADIENTS[name]()(problem, phi, theta, RULES[rule], state).theta_grad
    for name_of in ("clean", "scans", "noise"):
        setattr(problem, name_of, moved(getattr(problem, name_of), device))
    problem.network.to(device)
    problem.augmenter.to(device)
    given = (moved(dict(part), device) for part in (phi, theta))
    found = HYPERGRADIENTS[name]()(problem, *given, RULES[rule], moved(state, device)).theta_grad
    assert relative_error({k: g.cpu() for k, g in found.items()}, expected) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_a_training_of_each_method_and_its_predictions(dataset, tmp_path, method, device):
    run, output = tmp_path / "run", tmp_path / "out"
    options = ["--method", method, "--device", str(device), "--hyper-every", "1"]
    assert train(dataset, run, *options, "--iterations", "6") == 0
    assert all(np.isfinite(line["loss_synth"] or 0) for line in history(run))
    assert train(dataset, run, *options, "--iterations", "9", "--resume") == 0
    assert history(run)[-1]["iteration"] == 9
    assert cli.predict(["-i", str(dataset / "images"), "-o", str(output), "-m", str(run), "--device", str(device)]) == 0
    assert len(list(output.glob("*.nii.gz"))) == 6


def test_theta_moves(dataset, tmp_path, device):
    run = tmp_path / "run"
    options = ["--iterations", "8", "--hyper-every", "1", "--augmenter", "contrast+parametric-range"]
    assert train(dataset, run, *options, "--device", str(device)) == 0
    first, last = history(run)[0]["theta"], history(run)[-1]["theta"]
    assert any(first[name] != last[name] for name in first)


def test_predictions_are_those_of_a_cpu(tmp_path, device):
    write_run(tmp_path / "run")
    scan = Volume(blocks((40, 44, 36))[None], np.diag([1.0, 1.0, 1.0, 1.0]))
    for tta in (False, True):
        one, two = (
            Predictor.load(tmp_path / "run", device=name, tta=tta).predict(scan) for name in ("cpu", str(device))
        )
        assert np.mean(one.labels == two.labels) > 0.99


def test_images_that_wait_are_made_without_a_graph(small_parts, cuda, caplog):
    """And the random numbers are what they would have been."""
    parts, again = small_parts(), small_parts()
    theta = initial_state(parts).theta

    def waits(parts, theta, maps, families):
        found = make_rendered(parts, theta, maps, families)
        found.image.sum().item()
        return found

    for _ in range(3):
        found = parts.replay.batch(parts, theta, *maps_of(parts), waits)
        expected = make_rendered(again, theta, *maps_of(again))
        torch.testing.assert_close(found.image, expected.image, atol=1e-5, rtol=1e-5)
    assert not parts.replay._graphs and "more slowly" in caplog.text


def test_nothing_is_waited_for_while_images_are_made(small_parts, cuda):
    parts = small_parts()
    theta, given = initial_state(parts).theta, maps_of(parts)
    with torch.no_grad(), without_waiting():
        make_rendered(parts, theta, *given)
        torch.cuda.set_sync_debug_mode("error")
        try:
            make_rendered(parts, theta, *given)
        finally:
            torch.cuda.set_sync_debug_mode("default")
