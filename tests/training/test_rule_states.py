"""The state of every update rule survives a checkpoint: the training goes on to the same numbers."""

import pytest
import torch

from l2s_auto.core.types import TrainState
from l2s_auto.optimisers import OPTIMISERS
from l2s_auto.training.checkpoint import load_checkpoint, save_checkpoint


def tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "encoder.0.weight": torch.randn(4, 3, 3, 3, 3, generator=generator),
        "scale": torch.randn((), generator=generator),
    }


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("steps", [0, 3])
def test_update_and_derivative_after_loading_are_those_before_saving(name, steps, tmp_path):
    rule, phi = OPTIMISERS[name](clip_norm=1.0), tensors(0)
    inner = rule.init(phi)
    for step in range(steps):
        phi, inner = rule.update(phi, tensors(step + 1), inner)
    state = TrainState(step=steps, seconds=0.0, phi=phi, inner_state=inner, theta={}, outer_state=rule.init({}))
    save_checkpoint(state, tmp_path)
    loaded = load_checkpoint(tmp_path, torch.device("cpu"))

    grads, v = tensors(7), tensors(8)
    torch.testing.assert_close(
        rule.update(loaded.phi, grads, loaded.inner_state), rule.update(phi, grads, inner), rtol=0, atol=0
    )
    torch.testing.assert_close(rule.vjp(v, grads, loaded.inner_state), rule.vjp(v, grads, inner), rtol=0, atol=0)
    assert rule.update({}, {}, loaded.outer_state)[0] == {}
