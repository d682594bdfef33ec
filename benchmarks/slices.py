"""Gradients of a network of slices, its convolutions computed in 2D and as those of volumes of one voxel's depth.

OMP_NUM_THREADS=1 python benchmarks/slices.py --json results.json
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.losses import LOSSES
from l2s_auto.networks import build_network
from l2s_auto.networks.device import fast_dtype

SHAPE, FEATURES, CLASSES = (64, 80, 1), (16, 32, 64, 128, 256), 11


def network_of(*, as_volumes: bool) -> nn.Module:
    """A U-Net of flat kernels."""
    stages = len(FEATURES)
    topology = Topology(
        features=FEATURES,
        kernels=((3, 3, 1),) * stages,
        strides=((1, 1, 1), *((2, 2, 1),) * (stages - 1)),
        convolutions_encoder=(2,) * stages,
        convolutions_decoder=(2,) * (stages - 1),
    )
    torch.manual_seed(0)
    network = build_network(Component(name="unet"), channels=1, classes=CLASSES, topology=topology)
    for module in network.modules():
        for kind in (nn.Conv3d, nn.ConvTranspose3d):
            if as_volumes and isinstance(module, kind):
                module.__class__ = kind
    return network


def milliseconds(network: nn.Module, batch: int, device: torch.device, dtype: torch.dtype | None, rounds: int) -> float:
    """The quickest of some rounds."""
    loss, weights = LOSSES["dice+cross-entropy"](), list(network.to(device).parameters())
    image = torch.rand(batch, 1, *SHAPE, device=device)
    target = torch.randint(CLASSES, (batch, *SHAPE), device=device)
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits = network(image)
        torch.autograd.grad(loss(logits.float(), target), weights)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return round(1000 * min(taken), 1)


def measured(given_device: str, rounds: int) -> dict[str, dict[str, float]]:
    device, rows = torch.device(given_device), {}
    for batch in (2, 8):
        for dtype in dict.fromkeys((fast_dtype(device), None)):
            kind = str(dtype or torch.float32).removeprefix("torch.")
            row = {
                name: milliseconds(network_of(as_volumes=as_volumes), batch, device, dtype, rounds)
                for name, as_volumes in (("volumes", True), ("2D", False))
            }
            rows[f"batch {batch}, {kind}"] = row
            print(f"batch {batch}, {kind:9s} {row}", flush=True)
    return rows


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=8)
    given = options.parse_args()
    path: Path | None = given.json
    finish({"machine": machine(given.device), "milliseconds": measured(given.device, given.rounds)}, path)


if __name__ == "__main__":
    main()
