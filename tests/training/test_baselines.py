"""Methods that the paper compares with: what they see, and when."""

from dataclasses import replace

import pytest
import torch

from l2s_auto.training.batches import draw_batch
from l2s_auto.training.build import make_sampler
from l2s_auto.training.methods.finetuned import Finetuned
from l2s_auto.training.methods.mixed import chosen, draw_mixed


def test_a_mixed_batch_is_real_in_every_other_sample(make_parts, plan, cases):
    """Real scans are made known by a value that no synthetic image has."""
    parts, _, state = make_parts("mixed")
    parts = replace(parts, plan=plan.model_copy(update={"batch": 6}))
    marked = [replace(case, image=torch.full(case.image.shape, float("nan")).numpy()) for case in cases]
    parts = replace(parts, sampler=make_sampler(marked, parts.plan, seed=0, device=parts.device))
    seen = set()
    for _ in range(8):
        real = draw_mixed(parts, state).image.isnan().flatten(1).any(1)
        assert real.tolist() in ([True, False] * 3, [False, True] * 3)
        seen.add(real[0].item())
    assert seen == {True, False}, "either kind may come first"


def test_samples_are_chosen_by_the_mask():
    one, other = torch.ones(3, 2, 2), torch.zeros(3, 2, 2)
    found = chosen(torch.tensor([True, False, True]), one, other)
    assert found.flatten(1).mean(1).tolist() == [1, 0, 1]


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


def test_baselines_draw_wide_images_as_synthseg_does(make_parts):
    for name in ("mixed", "finetuned"):
        parts, _, state = make_parts(name)
        assert parts.generator.shares.prior == 0 and parts.wide is None and not state.theta
        assert draw_batch(parts).draw.mixture.own is None
