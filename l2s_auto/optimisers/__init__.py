"""Update rules as functions of (parameters, gradients, state), each with its exact derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from l2s_auto.core.protocols import UpdateRule
from l2s_auto.optimisers.adam import Adam
from l2s_auto.optimisers.adamw import AdamW
from l2s_auto.optimisers.sgd import SGD

OPTIMISERS: dict[str, Callable[..., UpdateRule]] = {
    "adam": Adam,
    "adamw": AdamW,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "sgd": SGD,
}
