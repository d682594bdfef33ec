"""Cases from disk, and what the fingerprint measures of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.plan import Normalisation, Triple
from l2s_auto.core.types import Case, Volume
from l2s_auto.io.case_reader import CaseReader
from l2s_auto.preprocessing.geometry import geometry_of
from l2s_auto.preprocessing.pipeline import prepare_native


@dataclass(frozen=True)
class PreparedForFingerprint:
    """One case, canonical axes, cropped as for training, on its own grid.

    image    (C, *S) float32, normalised; C = 0 for a label map without an image
    raw      (C, *S) float32, original units
    labels   (*S) original label values
    spacing  mm
    orientation  codes of the file's axes, such as RAS
    """

    image: np.ndarray
    raw: np.ndarray
    labels: np.ndarray
    spacing: Triple
    orientation: str = ""


def read_image(case: Case, files: CaseReader | None = None) -> Volume:
    """All channels of a case as one volume, on the grid of the first, in the files' own type where nothing is scaled.

    files  the reader that may have read them before
    Raises UserError if the channels' grids have different shapes.
    """
    files = files or CaseReader()
    volumes = [files.image(path) for path in case.images]
    first = volumes[0]
    offences = [
        Offence(
            where=str(path),
            found=f"shape {volume.data.shape[1:]}",
            expected=f"{first.data.shape[1:]}, as {case.images[0].name}",
            mend="Resample the channel to the grid of the first.",
        )
        for path, volume in zip(case.images, volumes, strict=True)
        if volume.data.shape[1:] != first.data.shape[1:]
    ]
    if offences:
        raise UserError(f"The channels of case {case.id} are on different grids.", offences)
    if len(volumes) == 1:
        return first
    return Volume(data=np.concatenate([volume.data for volume in volumes]), affine=first.affine)


def read_for_fingerprint(
    case: Case, *, normalisation: tuple[Normalisation, ...], files: CaseReader | None = None
) -> PreparedForFingerprint:
    """A case as `planning.fingerprint.measure_case` wants it; one normalisation a channel.

    files  the reader that may have read it before
    """
    files = files or CaseReader()
    assert case.label is not None, f"case {case.id} has no label map"
    labels, affine = files.label_map(case.label)
    if not case.images:
        x, y, z = labels.shape
        geometry = geometry_of((x, y, z), affine, None)
        nothing = np.zeros((0, *geometry.cropped), dtype=np.float32)
        return PreparedForFingerprint(
            nothing, nothing, geometry.enter(labels), geometry.spacing, geometry.orientation.codes
        )
    image, raw, geometry = prepare_native(read_image(case, files), normalisation, spacing=None)
    return PreparedForFingerprint(image, raw, geometry.enter(labels), geometry.spacing, geometry.orientation.codes)
