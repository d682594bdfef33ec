"""Whether the intensities of a scan are what a model knows, and what can be repaired of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import Offence
from l2s_auto.core.plan import Normalisation, Plan
from l2s_auto.core.types import Volume
from l2s_auto.io.hounsfield import EXPECTED, Units
from l2s_auto.io.label_like import look_of
from l2s_auto.preprocessing.repair import joined, repaired_channels

_FLAT = 1e-3  # standard deviation of a class, normalised: less has no scan, only a drawing


@dataclass(frozen=True)
class Known:
    """What a model knows of intensities.

    schemes  how each channel is normalised
    flat     of each channel, whether the training images are of one intensity in each class, as label maps are
    """

    schemes: tuple[Normalisation, ...]
    flat: tuple[bool, ...]

    def of(self, channels: Sequence[int]) -> Known:
        """The same of some channels."""
        return Known(tuple(self.schemes[n] for n in channels), tuple(self.flat[n] for n in channels))


def known_by(plan: Plan) -> Known:
    """What a model with that plan knows; it has all of its channels."""
    schemes = plan.normalisation or (Normalisation(scheme="percentile", lower=0.5, upper=99.5),)
    return Known(schemes, tuple(_is_flat(plan, number) for number in range(len(schemes))))


def _is_flat(plan: Plan, channel: int) -> bool:
    priors = plan.generation.priors
    return bool(priors) and all((prior.noise or prior.std)[channel] < _FLAT for prior in priors)


def checked(where: Path | str, volume: Volume, known: Known) -> tuple[Volume, list[Offence]]:
    """(the volume as it is to be normalised, with notes of what was changed; what is wrong with its intensities).

    where  the file, for messages
    known  of these channels
    """
    channels = repaired_channels(volume, known.schemes)
    offences = []
    for channel, flat in zip(channels, known.flat, strict=True):
        if (found := _broken(channel.data)) is not None:
            offences.append(Offence(str(where), *found))
        elif not flat and (look := look_of(channel.data)).is_label_map:
            seen = f"a label map: {look.values} integer values, each in connected regions"
            offences.append(Offence(str(where), seen, "a scan", "Give the image that these labels were drawn on."))
        elif channel.units is not None and channel.units.kind == "other":
            offences.append(_not_hounsfield(where, channel.units))
    return joined(volume, channels), offences


def _broken(channel: np.ndarray) -> tuple[str, str, str] | None:
    """(found, expected, what to do) of numbers that no one can use."""
    if not np.isfinite(channel).all():
        count = int(np.count_nonzero(~np.isfinite(channel)))
        return f"{count} NaN or infinite voxels", "numbers", "Repair the scan."
    if channel.min() == channel.max():
        return f"the value {channel.flat[0]:g} everywhere", "an image", "Check how the scan was exported."
    return None


def _not_hounsfield(where: Path | str, units: Units) -> Offence:
    mend = "Export the scan again from DICOM, with its rescale slope and intercept and without a display window."
    return Offence(str(where), units.found, f"{EXPECTED}, as the model was trained with", mend)
