"""Deep supervision: while it is trained, a U-Net's stages of lower resolution say what they see, and are judged for it.

Lee et al., "Deeply-supervised nets", AISTATS 2015; with the weights of nnU-Net (Isensee et al., Nature Methods 2021).
Each of these stages has a convolution of one voxel, its head. Heads are weights of the training, trained as all
others, and no part of the model. Networks of other kinds are trained without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

from l2s_auto.core.protocols import Params

#: Names of the heads' weights begin so; a network's own names never do.
HEADS = "deep_supervision."
#: Weight of the loss at full resolution, and of the stages below; all are divided by their sum.
WEIGHTS = (1.0, 0.5, 0.25)


def stages_of(network: nn.Module) -> list[nn.Module]:
    """The stages of a decoder that have heads, from high resolution to low."""
    stages = getattr(getattr(network, "decoder", None), "stages", None)
    if not isinstance(stages, nn.ModuleList) or not all(hasattr(stage, "output_channels") for stage in stages):
        return []
    return list(stages)[-2 : -1 - len(WEIGHTS) : -1]


def fresh_heads(network: nn.Module, classes: int, *, seed: int) -> dict[str, torch.Tensor]:
    """Weights of the heads: (classes, features, 1, 1, 1), as PyTorch starts a convolution's, and biases of 0."""
    device = next(network.parameters()).device
    random = torch.Generator().manual_seed(seed)
    heads: dict[str, torch.Tensor] = {}
    for number, stage in enumerate(stages_of(network)):
        features: int = getattr(stage, "output_channels", 0)
        weight = torch.empty(classes, features, 1, 1, 1)
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=random)
        heads[f"{HEADS}{number}.weight"] = weight.to(device)
        heads[f"{HEADS}{number}.bias"] = torch.zeros(classes, device=device)
    return heads


def of_network(phi: Params) -> dict[str, torch.Tensor]:
    """The network's own weights: what predicts."""
    return {name: value for name, value in phi.items() if not name.startswith(HEADS)}


def has_heads(phi: Params) -> bool:
    return any(name.startswith(HEADS) for name in phi)


@contextmanager
def watched(network: nn.Module, seen: list[torch.Tensor]) -> Iterator[None]:
    """Let the stages that have heads put what they give into `seen`, from high resolution to low."""
    found: dict[int, torch.Tensor] = {}
    hooks = [
        stage.register_forward_hook(lambda _, __, output, number=number: found.__setitem__(number, output))
        for number, stage in enumerate(stages_of(network))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    seen.extend(found[number] for number in sorted(found))


def logits_of_heads(phi: Mapping[str, torch.Tensor], seen: list[torch.Tensor]) -> list[torch.Tensor]:
    """(B, features, *s) of each stage -> (B, classes, *s) logits."""
    return [
        functional.conv3d(features, phi[f"{HEADS}{number}.weight"], phi[f"{HEADS}{number}.bias"])
        for number, features in enumerate(seen)
    ]


def at_resolution(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """(B, *S) classes at the (B, K, *s) logits' resolution: of each s-th voxel, the one in the middle."""
    steps = [whole // low for whole, low in zip(target.shape[1:], logits.shape[2:], strict=True)]
    return target[(slice(None), *(slice(step // 2, None, step) for step in steps))]
