"""What kind of scan a channel is, as far as its numbers tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case, Dataset, Volume

Modality = Literal["CT", "MRI", "other"]
AIR, BONE = -800.0, 200.0  # Hounsfield units that a CT goes below and beyond
LOOKED_AT = 3  # cases that are read before the fingerprint is taken
CT = "CT"
_ENOUGH = 100_000  # voxels that are asked whether they are whole
_UNNAMED = re.compile(r"image|channel \d+")  # what a channel is called that nobody named


def guess(channel: np.ndarray) -> Modality:
    """CT: whole numbers from air to bone in Hounsfield units. MRI: nothing below 0. Everything else: other.

    channel  (*S) intensities in original units
    """
    lowest, highest = float(channel.min()), float(channel.max())
    flat = channel.ravel()
    some = flat[:: max(1, flat.size // _ENOUGH)]
    if lowest <= AIR and highest >= BONE and np.mean(some == np.rint(some)) > 0.9:
        return "CT"
    return "MRI" if lowest >= 0 else "other"


def usual(guesses: Sequence[Modality]) -> Modality:
    """What most cases look like; "other" where fewer than two thirds agree."""
    name, count = Counter(guesses).most_common(1)[0]
    return name if 3 * count >= 2 * len(guesses) else "other"


def with_named_channels(dataset: Dataset, *, read: Callable[[Case], Volume]) -> Dataset:
    """The dataset whose channels without a name of their own are called CT where a few cases look like it.

    read  the channels of a case in original units; where it raises UserError, nothing is renamed
    """
    unnamed = [number for number, name in enumerate(dataset.channels) if _UNNAMED.fullmatch(name)]
    if not unnamed:
        return dataset
    with_images = [case for case in dataset.cases if case.images]
    if not with_images:
        return dataset
    some = [with_images[i] for i in np.unique(np.linspace(0, len(with_images) - 1, LOOKED_AT).round().astype(int))]
    try:
        looks = [[guess(channel) for channel in read(case).data] for case in some]
    except UserError:  # verification names every such case
        return dataset
    if any(len(look) != len(dataset.channels) for look in looks):
        return dataset
    names = [
        CT if number in unnamed and all(look[number] == CT for look in looks) else name
        for number, name in enumerate(dataset.channels)
    ]
    return replace(dataset, channels=tuple(names))
