"""nnU-Net's U-Nets, from `dynamic-network-architectures`, with a smooth activation."""

from __future__ import annotations

from typing import Any

from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from dynamic_network_architectures.initialization.weight_init import InitWeights_He, init_last_bn_before_add_to_0
from torch import nn

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Topology
from l2s_auto.networks.channels_last import compute_channels_last
from l2s_auto.networks.checkpointing import checkpoint_stages
from l2s_auto.networks.flat import compute_slices_in_2d
from l2s_auto.networks.single import compute_single_by_onednn

ACTIVATIONS = {"elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU, "leaky-relu": nn.LeakyReLU, "relu": nn.ReLU}
#: Network -> the class that it is of, and what that calls the convolutions of its encoder.
PARTS = {
    "unet": ("PlainConvUNet", "n_conv_per_stage"),
    "residual-unet": ("ResidualEncoderUNet", "n_blocks_per_stage"),
}


def unet(
    *,
    channels: int,
    classes: int,
    topology: Topology,
    activation: str = "elu",
    bias: bool = False,
    checkpointing: bool = False,
) -> PlainConvUNet:
    """U-Net with instance normalisation: (B, channels, *S) -> (B, classes, *S).

    activation  smooth by default: with a kinked one the second derivative, which the hypergradient is made of,
                lacks the kinks' share
    bias  of convolutions, as nnU-Net's own models have it
    checkpointing  compute a stage's activations again in the backward pass: less memory, more time
    """
    require_topology(topology, residual=False, name="unet")
    network = PlainConvUNet(
        n_conv_per_stage=list(topology.convolutions_encoder),
        **_common(channels=channels, classes=classes, topology=topology, activation=activation, bias=bias),
    )
    return _finished(network, checkpointing=checkpointing)


def residual_unet(
    *,
    channels: int,
    classes: int,
    topology: Topology,
    activation: str = "elu",
    bias: bool = False,
    checkpointing: bool = False,
) -> ResidualEncoderUNet:
    """`unet` with a deep encoder of residual blocks, nnU-Net's "ResEnc"; the same arguments."""
    require_topology(topology, residual=True, name="residual-unet")
    network = ResidualEncoderUNet(
        n_blocks_per_stage=list(topology.convolutions_encoder),
        **_common(channels=channels, classes=classes, topology=topology, activation=activation, bias=bias),
    )
    network.apply(init_last_bn_before_add_to_0)
    return _finished(network, checkpointing=checkpointing)


def require_topology(topology: Topology, *, residual: bool, name: str) -> None:
    """UserError if the plan was made for the other kind of network."""
    if topology.residual == residual:
        return
    raise UserError.single(
        "The plan is of another network.",
        where="plan.json, topology",
        found=f"a {'residual' if topology.residual else 'plain'} encoder",
        expected=f"a {'residual' if residual else 'plain'} one, for the network {name}",
        mend="Plan anew in another folder (-o), or choose the other network.",
    )


def _common(*, channels: int, classes: int, topology: Topology, activation: str, bias: bool) -> dict[str, Any]:
    """What both kinds are made of. UserError for an unknown activation."""
    if activation not in ACTIVATIONS:
        raise UserError.single(
            "The network has no such activation.",
            where="network option activation",
            found=repr(activation),
            expected=f"one of {', '.join(ACTIVATIONS)}",
            mend="Correct the option.",
        )
    return {
        "input_channels": channels,
        "n_stages": len(topology.features),
        "features_per_stage": list(topology.features),
        "conv_op": nn.Conv3d,
        "kernel_sizes": [list(kernel) for kernel in topology.kernels],
        "strides": [list(stride) for stride in topology.strides],
        "num_classes": classes,
        "n_conv_per_stage_decoder": list(topology.convolutions_decoder),
        # Normalisation takes a bias out again, and Adam would turn the rounding of its gradient into steps.
        "conv_bias": bias,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": ACTIVATIONS[activation],
        "nonlin_kwargs": {},
    }


def _finished(network: Any, *, checkpointing: bool) -> Any:
    # Heads at lower resolutions are for deep supervision; unused weights would have no gradient.
    network.decoder.seg_layers = nn.ModuleList([network.decoder.seg_layers[-1]])
    network.apply(InitWeights_He(1e-2))
    compute_slices_in_2d(network)
    compute_channels_last(network)
    compute_single_by_onednn(network)
    if checkpointing:
        checkpoint_stages(network)
    return network
