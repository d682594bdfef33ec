"""Values that were drawn for a batch: frozen records of tensors with the batch as their first axis."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch

Self = TypeVar("Self", bound="Drawn")


@dataclass(frozen=True)
class Drawn:
    """Base of what is drawn: every field is a tensor (B, …), again a `Drawn`, or None."""

    def of(self: Self, samples: slice) -> Self:
        """Some samples of the batch."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{k: _some(v, samples) for k, v in parts.items()})


def _some(value: Any, samples: slice) -> Any:
    if value is None:
        return None
    return value.of(samples) if isinstance(value, Drawn) else value[samples]


def uniform(*size: int, generator: torch.Generator) -> torch.Tensor:
    """U(0, 1) on the generator's device."""
    return torch.rand(size, generator=generator, device=generator.device)


def normal(*size: int, generator: torch.Generator) -> torch.Tensor:
    """N(0, 1) on the generator's device."""
    return torch.randn(size, generator=generator, device=generator.device)
