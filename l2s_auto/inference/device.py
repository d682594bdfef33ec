"""Which device computes."""

from __future__ import annotations

import torch

from l2s_auto.core.errors import UserError

AUTO = "auto"


def choose_device(name: str | torch.device = AUTO) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps` -> a device that works here; auto = the fastest there is.

    Raises UserError for a device that there is not; only `auto` chooses.
    """
    if isinstance(name, torch.device):
        name = str(name)
    available = _available()
    if name == AUTO:
        return torch.device(available[0])
    if name in available:
        return torch.device(name)
    raise UserError.single(
        "The device cannot be used.",
        where="--device",
        found=repr(name),
        expected=f"one of {', '.join([AUTO, *available])}",
        mend="Use auto, or install a build of PyTorch that supports the device.",
    )


def supports_bfloat16(device: torch.device) -> bool:
    """Whether mixed precision makes the network faster on the device (only asked of CUDA)."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _available() -> list[str]:
    """Names of the devices of this machine, the fastest first."""
    names = []
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]
