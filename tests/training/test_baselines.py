"""Methods that the paper compares with: what they see, and when."""

from dataclasses import replace

import pytest
import torch

from l2s_auto.core.composition import ORIGINAL, Composition, uniform
from l2s_auto.training.batches import draw_batch, draw_plain
from l2s_auto.training.build import make_sampler
from l2s_auto.training.methods.finetuned import Finetuned


@pytest.mark.parametrize("batch", [2, 6])
def test_half_of_a_mixed_batch_is_real(make_parts, plan, cases, batch):
    """Real scans are made known by a value that no synthetic image has."""
    parts, _, state = make_parts("mixed")
    parts = replace(parts, plan=plan.model_copy(update={"batch": batch}))
    marked = [replace(case, image=torch.full(case.image.shape, float("nan")).numpy()) for case in cases]
    parts = replace(parts, sampler=make_sampler(marked, parts.plan, seed=0, device=parts.device))
    for _ in range(8):
        real = draw_plain(parts, state.theta).image.isnan().flatten(1).any(1)
        assert real.tolist() == [False] * (batch // 2) + [True] * (batch // 2)


def test_a_supervised_batch_is_real(make_parts):
    parts, _, state = make_parts("supervised")
    drawn = draw_batch(parts, state.theta)
    assert drawn.rendered is None and len(drawn.scans.target) == parts.plan.batch
    assert parts.generator.composition == Composition({ORIGINAL: 1.0})


def test_finetuning_sees_synthetic_images_first_and_real_ones_then(make_parts):
    parts, method, state = make_parts("finetuned")
    first, then = (method.step(parts, state, progress=p) for p in (0.69, 0.7))
    assert first.loss_synth is not None and first.loss_real is None
    assert then.loss_synth is None and then.loss_real is not None


def test_finetuning_begins_again_at_a_lower_rate(make_parts):
    rule = {"name": "sgd", "options": {"rate": 0.1}}
    parts, _, state = make_parts("finetuned", optimiser=rule)
    random, sampler = parts.random.get_state(), parts.sampler.state()
    lengths = []
    for rate in (1.0, 0.1):
        parts.random.set_state(random)
        parts.sampler.restore(sampler)
        after = Finetuned(rate=rate).step(parts, state, progress=0.7).state
        lengths.append(sum((after.phi[k] - p).square().sum() for k, p in state.phi.items()).sqrt().item())
    assert lengths[1] == pytest.approx(0.1 * lengths[0], rel=1e-4)


@pytest.mark.parametrize("options", [{"synthetic": 0}, {"synthetic": 1}, {"rate": 0}, {"rate": 2}])
def test_shares_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="are needed"):
        Finetuned(**options)


@pytest.mark.parametrize(("name", "fraction"), [("synthseg", 1.0), ("mixed", 0.5), ("finetuned", 1.0)])
def test_synthetic_images_of_baselines_are_those_of_synthseg(make_parts, name, fraction):
    parts, _, state = make_parts(name)
    composition = parts.generator.composition
    assert {key: composition[key] for key in uniform()} == pytest.approx(uniform(fraction))
    assert composition.rendered == pytest.approx(fraction) and parts.randomised is None and not state.theta
    assert draw_batch(parts).rendered.changed_by_theta == round(parts.plan.batch * fraction)


@pytest.mark.parametrize("name", ["synthseg", "mixed", "supervised", "finetuned", "advchain"])
def test_a_recipe_may_give_a_baseline_other_images(make_parts, name):
    parts, method, state = make_parts(name, families={"random-curve": 1.0})
    assert draw_batch(parts).rendered is None
    assert all(value.isfinite().all() for value in method.step(parts, state, progress=0.0).state.phi.values())
