"""Which device computes, and in which precision it is fast."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from l2s_auto.core.errors import UserError

AUTO = "auto"
_FORM = "auto, cpu, cuda, cuda:N or mps"


def choose_device(name: str | torch.device = AUTO) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps` -> a device that works here.

    `auto` takes the first CUDA device, else Apple's GPU, else the CPU. Raises UserError if the name is no device or
    the device is not there; only `auto` chooses.
    """
    name = str(name)
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name) is None:
        raise UserError.single(
            "There is no such device.",
            where="--device",
            found=repr(name),
            expected=_FORM,
            mend="Correct the name, or leave --device out.",
        )
    if name == "cpu":
        return torch.device(name)
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if name == AUTO:
        return torch.device("cuda:0" if devices else "mps" if has_mps else "cpu")
    if name == "mps":
        if not has_mps:
            raise _absent(name, "an Apple GPU that this PyTorch can use")
        return torch.device(name)
    index = int(name.partition(":")[2] or 0)
    if index >= devices:
        built = "" if torch.version.cuda or torch.version.hip else " (this PyTorch is built without CUDA)"
        seen = f"{devices} CUDA device{'' if devices == 1 else 's'}{built}"
        raise _absent(name, f"a number below {devices}; PyTorch sees {seen}" if devices else f"CUDA; there are {seen}")
    return torch.device(f"cuda:{index}")


def _absent(name: str, expected: str) -> UserError:
    return UserError.single(
        "The device is not available.",
        where="--device",
        found=repr(name),
        expected=expected,
        mend="Use --device cpu or --device auto, or install a PyTorch build for the device.",
    )


def fast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the device computes with it natively, which first-order passes gain from; else None."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device.type == "cpu" and any(_cpu_has(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")):
        return torch.bfloat16
    return None


def _cpu_has(check: str) -> bool:
    """Ask one of PyTorch's checks of the processor; they have no public names, and older versions lack some."""
    function = getattr(torch.cpu, check, None)
    return bool(function and function())


def free_memory_gb(device: torch.device) -> float | None:
    """GB (1e9 bytes) that are free on the device now; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e9
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024 / 1e9
    except (OSError, StopIteration, ValueError):
        return None
