"""S_phi: networks that map (B, C, *S) images to (B, K, *S) logits, and how their weights are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2s_auto.core.component import Component, build, require
from l2s_auto.networks.context import OneHotContext
from l2s_auto.networks.unet import residual_unet, unet
from l2s_auto.networks.weights import (
    call,
    call_method,
    load_weights,
    parameters,
    put_weights,
    read_weights,
    save_weights,
    trainable,
)

if TYPE_CHECKING:
    import torch

    from l2s_auto.core.plan import Plan, Topology

NETWORKS = {"unet": unet, "residual-unet": residual_unet}


def build_network(component: Component, *, channels: int, classes: int, topology: Topology) -> torch.nn.Module:
    """A network with fresh weights, drawn from PyTorch's global generator. UserError for a part that is no network."""
    network = build(component, NETWORKS, kind="network", channels=channels, classes=classes, topology=topology)
    require(network, "named_parameters", "register_forward_pre_hook", kind="network", name=component.name)
    return network


def network_for(plan: Plan, component: Component, *, empty: bool = False) -> torch.nn.Module:
    """A network for a plan's scans and labels, with fresh weights.

    empty  without memory for weights, until `put_weights` gives it some; a user's own network has fresh ones
    Of a cascade it is the second: behind the scan's channels it reads one more, the classes that the first found.
    """
    if empty and component.name in NETWORKS:
        import torch

        with torch.device("meta"):
            return network_for(plan, component)
    channels, classes = plan.input_channels + plan.context_channels, len(plan.labels)
    network = build_network(component, channels=channels, classes=classes, topology=plan.topology)
    if plan.low_resolution is not None:
        network.register_forward_pre_hook(OneHotContext(classes), prepend=True)  # of all hooks the first
    return network


__all__ = [
    "NETWORKS",
    "build_network",
    "call",
    "call_method",
    "load_weights",
    "network_for",
    "parameters",
    "put_weights",
    "read_weights",
    "save_weights",
    "trainable",
]
