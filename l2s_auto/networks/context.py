"""What a coarser network found, as an input of this one: one number a voxel outside, a channel a class inside."""

from __future__ import annotations

from typing import Any

import torch


class OneHotContext:
    """A forward pre-hook: the last channel holds class indices, and becomes a channel for each class but background.

    Weights keep their names, and a volume carries one channel of context however many classes there are.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def __call__(self, module: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        image = given[0]
        found = [(image[:, -1] == k).to(image.dtype) for k in range(1, self.classes)]
        return (torch.cat([image[:, :-1], torch.stack(found, 1)], 1), *given[1:])


def exchanged(context: torch.Tensor, pairs: Any, classes: int) -> torch.Tensor:
    """Class indices in which left and right have changed places."""
    table = torch.arange(classes, device=context.device, dtype=context.dtype)
    for left, right in pairs:
        table[left], table[right] = right, left
    return table[context.long()]
