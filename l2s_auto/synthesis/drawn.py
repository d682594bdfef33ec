"""Values that were drawn for a batch: frozen records of tensors with the batch as their first axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch

Self = TypeVar("Self", bound="Drawn")


@dataclass(frozen=True)
class Drawn:
    """Base of what is drawn: a field is a tensor (B, …), a tuple of B values, a mapping of these, a `Drawn` or None."""

    def of(self: Self, samples: slice) -> Self:
        """Some samples of the batch."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{k: _some(v, samples) for k, v in parts.items()})


def _some(value: Any, samples: slice) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: _some(one, samples) for name, one in value.items()}
    return value.of(samples) if isinstance(value, Drawn) else value[samples]


def uniform(*size: int, generator: torch.Generator) -> torch.Tensor:
    """U(0, 1) on the generator's device."""
    return torch.rand(size, generator=generator, device=generator.device)


def normal(*size: int, generator: torch.Generator) -> torch.Tensor:
    """N(0, 1) on the generator's device."""
    return torch.randn(size, generator=generator, device=generator.device)


def joined(drawn: Sequence[Self]) -> Self:
    """Several batches as one."""
    first = drawn[0]
    values = {field.name: [getattr(one, field.name) for one in drawn] for field in fields(first)}
    return type(first)(**{name: _joined(value) for name, value in values.items()})


def _joined(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Drawn):
        return joined(values)
    if isinstance(values[0], Mapping):
        return {name: _joined([value[name] for value in values]) for name in values[0]}
    if isinstance(values[0], tuple):
        return tuple(one for value in values for one in value)
    return torch.cat(list(values))
