from __future__ import annotations

import pytest

from l2s_auto.planning.memory import StepMemory, activation_bytes, training_memory_gb, weight_count
from l2s_auto.planning.topology import determine_topology

CASES = [((1.0, 1.0, 1.0), (20, 28, 20), 8, 2), ((0.7, 0.7, 5.0), (48, 48, 8), 16, 1)]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("spacing", "patch", "features", "batch"), CASES)
def test_agrees_with_what_autograd_keeps(spacing, patch, features, batch, residual) -> None:
    torch = pytest.importorskip("torch")
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    topology, patch = determine_topology(spacing, patch, base_features=features, residual=residual)
    network = (unet.ResidualEncoderUNet if residual else unet.PlainConvUNet)(
        1,
        len(topology.features),
        topology.features,
        torch.nn.Conv3d,
        topology.kernels,
        topology.strides,
        topology.convolutions_encoder,
        3,
        topology.convolutions_decoder,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"affine": True},
        nonlin=torch.nn.ELU,
    )
    kept: dict[int, int] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(torch.zeros(batch, 1, *patch))
        torch.nn.functional.cross_entropy(logits, torch.zeros(batch, *patch, dtype=torch.long))
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    measured = sum(size for place, size in kept.items() if place not in weights)
    assert activation_bytes(topology, patch, batch, channels=1, classes=3) == pytest.approx(measured, rel=0.1)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert weight_count(topology, channels=1, classes=3) == pytest.approx(count, rel=0.01)


def test_grows_with_batch_and_patch_and_by_what_a_hyper_step_takes() -> None:
    topology, patch = determine_topology((1.0, 1.0, 1.0), (64, 64, 64), base_features=8)
    kept = [activation_bytes(topology, patch, batch, channels=1, classes=3) for batch in (1, 2)]
    assert kept[1] == 2 * kept[0]

    def gb(batch: int = 2, **step) -> float:
        return training_memory_gb(topology, patch, batch, channels=1, classes=3, step=StepMemory(**step))

    assert gb(4) > gb(2) > gb(1)
    assert gb(hyper=6.0) > gb(hyper=4.0) > 1.5 * gb(hyper=1.65) > gb()
    assert gb(home=True) > gb() and gb(hyper=4.0, home=True) == gb(hyper=4.0), "general weights in place of v and u"
    assert gb(4, hyper=4.0, part=0.5) == pytest.approx(gb(4, hyper=2.0))
    assert gb(4, hyper=4.0, micro_batch=1) < gb(4, hyper=4.0, micro_batch=2) < gb(4, hyper=4.0)
    assert gb(hyper=4.0, part=0.5, micro_batch=1) == gb(hyper=4.0, micro_batch=1)


def test_checkpoints_keep_less_than_half() -> None:
    topology, patch = determine_topology((1.0, 1.0, 1.0), (64, 64, 64), base_features=8)
    kept = [activation_bytes(topology, patch, 2, channels=1, classes=3, checkpointing=c) for c in (False, True)]
    assert 0.2 < kept[1] / kept[0] < 0.6
