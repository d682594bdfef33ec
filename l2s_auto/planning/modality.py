"""What kind of scan a channel is, as far as its numbers tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

Modality = Literal["CT", "MRI", "other"]
AIR, BONE = -800.0, 200.0  # Hounsfield units that a CT goes below and beyond
_ENOUGH = 100_000  # voxels that are asked whether they are whole


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
