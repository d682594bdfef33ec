"""Which device a command computes on."""

from __future__ import annotations

import re

from l2s_auto.core.errors import UserError

_FORM = "auto, cpu, cuda, cuda:N or mps"


def resolve_device(name: str) -> str:
    """`cpu`, `cuda:N` or `mps` for what the user asked for; loads PyTorch unless the answer is `cpu` anyway.

    `auto` takes the first CUDA device, else Apple's GPU, else the CPU. Raises UserError if the name is no device or
    the device is not there.
    """
    if name == "cpu":
        return name
    if re.fullmatch(r"auto|mps|cuda(:\d+)?", name) is None:
        raise UserError.single(
            "There is no such device.",
            where="--device",
            found=repr(name),
            expected=_FORM,
            mend="Correct the name, or leave --device out.",
        )
    import torch

    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return "cuda:0" if devices else "mps" if has_mps else "cpu"
    if name == "mps":
        if not has_mps:
            raise _absent(name, "an Apple GPU that this PyTorch can use")
        return name
    index = int(name.partition(":")[2] or 0)
    if index >= devices:
        built = "" if torch.version.cuda or torch.version.hip else " (this PyTorch is built without CUDA)"
        seen = f"{devices} CUDA device{'' if devices == 1 else 's'}{built}"
        raise _absent(name, f"a number below {devices}; PyTorch sees {seen}" if devices else f"CUDA; there are {seen}")
    return f"cuda:{index}"


def _absent(name: str, expected: str) -> UserError:
    return UserError.single(
        "The device is not available.",
        where="--device",
        found=repr(name),
        expected=expected,
        mend="Use --device cpu or --device auto, or install a PyTorch build for the device.",
    )
