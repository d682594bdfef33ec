"""Volumes as they are to be normalised: `io.repair`, by the normalisation of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from l2s_auto.core.plan import Normalisation
from l2s_auto.core.types import Volume
from l2s_auto.io.repair import Repaired, repair

_NARROWEST = 100.0  # Hounsfield units that a CT is clipped to, at least


def in_hounsfield(scheme: Normalisation) -> bool:
    """Whether a channel that is normalised so is a CT: by fixed numbers, some of them below water."""
    return scheme.scheme in ("fixed", "clipped z-score") and scheme.lower < 0 < scheme.upper - _NARROWEST


def repaired_channels(volume: Volume, schemes: Sequence[Normalisation]) -> list[Repaired]:
    """Each channel as it is to be normalised; one scheme a channel, or none at all."""
    known = [number < len(schemes) and in_hounsfield(schemes[number]) for number in range(len(volume.data))]
    return [repair(channel, ct=ct) for channel, ct in zip(volume.data, known, strict=True)]


def repaired(volume: Volume, schemes: Sequence[Normalisation]) -> Volume:
    """The volume as it is to be normalised, with notes of what was changed; itself where nothing is."""
    return joined(volume, repaired_channels(volume, schemes))


def joined(volume: Volume, channels: Sequence[Repaired]) -> Volume:
    """The volume with these channels in place of its own; itself where they are the same."""
    notes = tuple(dict.fromkeys((*volume.notes, *(note for channel in channels for note in channel.notes))))
    if all(np.may_share_memory(channel.data, volume.data) for channel in channels):
        return volume if notes == volume.notes else replace(volume, notes=notes)
    data = np.stack([channel.data for channel in channels])
    return replace(volume, data=data, notes=notes)
