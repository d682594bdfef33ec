"""Values that were drawn for a batch: frozen records of tensors with the batch as their first axis."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch

Self = TypeVar("Self", bound="Drawn")


@dataclass(frozen=True)
class Drawn:
    """Base of what is drawn: every field is a tensor (B, …) or again a `Drawn`."""

    def of(self: Self, samples: slice) -> Self:
        """Some samples of the batch."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{k: v.of(samples) if isinstance(v, Drawn) else v[samples] for k, v in parts.items()})


def uniform(*size: int, generator: torch.Generator) -> torch.Tensor:
    """U(0, 1) on the generator's device."""
    return torch.rand(size, generator=generator, device=generator.device)


def normal(*size: int, generator: torch.Generator) -> torch.Tensor:
    """N(0, 1) on the generator's device."""
    return torch.randn(size, generator=generator, device=generator.device)
