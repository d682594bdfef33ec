"""Numbers that stay in their range while an optimiser moves what they are computed from, without any bound.

A sigmoid or a softplus comes near its bounds but never there, with a gradient that vanishes on the way: a preset of 0
could not be learned. Here a number is reflected at its bounds. So it reaches them, its derivative is 1 or -1
everywhere (1 at the bounds), and what is computed from is, within the range, the number itself times a scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

#: A level in units of the intensity range is a tenth of what it is computed from, so that one step of the outer
#: optimiser means about as much for it as for an exponent.
INTENSITY = 10.0


def unit(raw: torch.Tensor) -> torch.Tensor:
    """Any number -> [0, 1], reflected at 0 and at 1 (a triangle wave of period 2)."""
    phase = torch.remainder(raw, 2)
    return torch.where(phase <= 1, phase, 2 - phase)


def unit_raw(values: float | Sequence[float], *, name: str) -> torch.Tensor:
    """What `unit` makes `values` of. ValueError if they are not in [0, 1]."""
    raw = torch.tensor(values, dtype=torch.get_default_dtype())
    if not bool(((raw >= 0) & (raw <= 1)).all()):
        raise ValueError(f"{name} in [0, 1] needed, not {values}")
    return raw


def level(raw: torch.Tensor, *, scale: float = INTENSITY) -> torch.Tensor:
    """Any number -> [0, inf), reflected at 0: |raw| / scale."""
    return torch.where(raw < 0, -raw, raw) / scale


def level_raw(values: float | Sequence[float], *, name: str, scale: float = INTENSITY) -> torch.Tensor:
    """What `level` makes `values` of. ValueError if they are negative or not finite."""
    raw = torch.tensor(values, dtype=torch.get_default_dtype())
    if not bool(((raw >= 0) & raw.isfinite()).all()):
        raise ValueError(f"{name} >= 0 needed, not {values}")
    return raw * scale
