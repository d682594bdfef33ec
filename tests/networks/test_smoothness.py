"""Kinked modules are found by type, in our network and in a user's own."""

import pytest
import torch
from torch import nn

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network
from l2s_auto.networks.smoothness import KINKED, is_kinked, kinked_modules

SMOOTH = (nn.CELU(alpha=2.0), nn.ELU(), nn.SiLU(), nn.GELU(), nn.Mish(), nn.Softplus(), nn.Tanh(), nn.Softsign())
ACTIVATIONS = [kind for kind in KINKED if "Pool" not in kind.__name__]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("leaky-relu", ["LeakyReLU"]), ("relu", ["ReLU"]), ("elu", []), ("silu", []), ("gelu", [])],
)
def test_the_u_net_has_kinks_where_its_activation_has(activation, expected):
    topology = Topology(
        features=(2, 4),
        kernels=((3, 3, 3),) * 2,
        strides=((1, 1, 1), (2, 2, 2)),
        convolutions_encoder=(1, 1),
        convolutions_decoder=(1,),
    )
    component = Component(name="unet", options={"activation": activation})
    assert kinked_modules(build_network(component, channels=1, classes=2, topology=topology)) == expected


def test_every_kind_is_named_once_in_order():
    network = nn.Sequential(nn.MaxPool3d(2), nn.Sequential(nn.PReLU(), nn.ELU(alpha=0.5)), nn.MaxPool3d(2), nn.GELU())
    assert kinked_modules(network) == ["MaxPool3d", "PReLU", "ELU"]


def largest_jump(module: nn.Module, step: float) -> float:
    """Of the derivative between neighbours on a grid that steps over 0, ±0.5, ±1, ±3 and 6."""
    x = (torch.arange(-4, 7, step, dtype=torch.float64) + step / 3).requires_grad_()
    (slope,) = torch.autograd.grad(module.double()(x).sum(), x)
    return slope.diff().abs().max().item()


@pytest.mark.parametrize("module", SMOOTH, ids=lambda module: type(module).__name__)
def test_smooth_ones_have_derivatives_without_jumps(module):
    assert not is_kinked(module) and largest_jump(module, 1e-4) < 1e-3


@pytest.mark.parametrize(
    "kind", [kind for kind in KINKED if "Pool" not in kind.__name__], ids=lambda kind: kind.__name__
)
def test_kinked_ones_have_derivatives_that_jump(kind):
    # Hardsigmoid's slope jumps by 1/6, the least; RReLU's is fixed in evaluation.
    module = (kind(0.5, 0.0) if kind is nn.Threshold else kind()).eval()
    assert is_kinked(module) and largest_jump(module, 1e-4) > 0.1
