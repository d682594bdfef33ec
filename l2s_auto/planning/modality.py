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
from l2s_auto.io.hounsfield import CT, OTHER_CT, is_ct
from l2s_auto.io.repair import repair

Modality = Literal["CT", "MRI", "other"]
AIR, BONE = -800.0, 200.0  # Hounsfield units that a CT goes below and beyond
LOOKED_AT = 3  # cases that are read before the fingerprint is taken
_ENOUGH = 100_000  # voxels that are asked whether they are whole
_UNNAMED = re.compile(r"image|channel \d+")  # what a channel is called that nobody named


def guess(channel: np.ndarray) -> Modality:
    """CT: whole numbers from air to bone in Hounsfield units. MRI: nothing below 0. Everything else: other.

    channel  (*S) intensities in original units; a value that stands for the outside of the field of view does not count
    """
    if channel.ndim == 3:
        channel = repair(channel, ct=False).data
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
    """The dataset with channels named by what a few cases look like, where their names do not say it.

    Channels without a name of their own become CT where they are in Hounsfield units; those that are called CT become
    "CT (other units)" where they are certainly not, such as numbers from 0 to 1. These are normalised by each scan's
    own percentiles, as every other channel.

    read  the channels of a case in original units; where it raises UserError, nothing is renamed
    """
    asked = [n for n, name in enumerate(dataset.channels) if _UNNAMED.fullmatch(name) or is_ct(name)]
    if not asked:
        return dataset
    with_images = [case for case in dataset.cases if case.images]
    if not with_images:
        return dataset
    some = [with_images[i] for i in np.unique(np.linspace(0, len(with_images) - 1, LOOKED_AT).round().astype(int))]
    try:
        looks = [_looks(read(case).data, dataset.channels) for case in some]
    except UserError:  # verification names every such case
        return dataset
    if any(len(look) != len(dataset.channels) for look in looks):
        return dataset
    names = list(dataset.channels)
    for number in asked:
        wanted = OTHER_CT if is_ct(names[number]) else CT
        if all(look[number] == wanted for look in looks):
            names[number] = wanted
    return replace(dataset, channels=tuple(names))


def _looks(data: np.ndarray, names: Sequence[str]) -> list[str]:
    """(C, X, Y, Z) -> what each channel looks like."""
    return [
        _units(channel) if number < len(names) and is_ct(names[number]) else guess(channel)
        for number, channel in enumerate(data)
    ]


def _units(channel: np.ndarray) -> str:
    """Of a channel that is called CT."""
    units = repair(channel, ct=True).units
    return OTHER_CT if units is not None and units.kind == "other" else CT
