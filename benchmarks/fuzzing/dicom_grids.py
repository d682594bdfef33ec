"""The grid of DICOM files by pydicom, written for the fuzzer alone: a folder of slices, or one file of many frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Grid = tuple[tuple[int, ...], np.ndarray]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Of slices that are no volume: no result has it.
NO_GRID: Grid = ((0, 0, 0), np.eye(4))


def dicom_grid(path: Path) -> Grid:
    """(shape, affine to RAS mm). ValueError where a file does not say where all its slices lie.

    NO_GRID where they say it, and lie on no grid: at one place, or 0.3 mm and more beside equal steps.
    """
    import pydicom

    files = sorted(path.iterdir()) if path.is_dir() else [path]
    try:
        slices = [slice_ for file in files for slice_ in _slices(pydicom.dcmread(file, force=True))]
    except Exception as error:  # pydicom raises nearly anything on damaged files
        raise ValueError("where the slices lie") from error
    places = np.array([place for place, *_ in slices])
    directions = np.array([directions for _, directions, *_ in slices])
    spacings = np.array([spacing for _, _, spacing, _ in slices])
    if len({size for *_, size in slices}) > 1 or np.ptp(directions, axis=0).max() > 0.01:
        return NO_GRID
    if np.ptp(spacings, axis=0).max() > 0.01 * spacings.min():
        return NO_GRID
    across, down = np.reshape(directions[0], (2, 3))
    order = np.argsort(places @ np.cross(across, down), kind="stable")
    places = places[order]
    if len(places) == 1:
        raise ValueError("the third axis of one slice")
    step = (places[-1] - places[0]) / (len(places) - 1)
    beside = np.abs(places - places[0] - np.arange(len(places))[:, np.newaxis] * step).max()
    if beside > 0.3 or np.linalg.norm(step) < 1e-3:
        return NO_GRID
    affine = np.eye(4)
    affine[:3, :3] = np.stack([across * spacings[0][1], down * spacings[0][0], step], axis=1)
    affine[:3, 3] = places[0]
    return (*slices[0][3], len(places)), LPS @ affine


def _slices(data: Any) -> list[tuple[list[float], list[float], list[float], tuple[int, int]]]:
    """(position, directions, pixel spacing, columns and rows) of each frame."""
    size = (int(data.Columns), int(data.Rows))
    count = int(data.get("NumberOfFrames") or 1)
    own = data.get("PerFrameFunctionalGroupsSequence", [])
    shared = list(data.get("SharedFunctionalGroupsSequence", []))[:1]
    found = []
    for number in range(count):
        groups = [*own[number : number + 1], *shared]

        def value(sequence: str, keyword: str, groups: list[Any] = groups, top: bool = True) -> list[float]:
            items = [group[sequence][0] for group in groups if group.get(sequence)]
            places = items + [data] * top
            return next([float(x) for x in place[keyword].value] for place in places if place.get(keyword) is not None)

        found.append(
            (
                value("PlanePositionSequence", "ImagePositionPatient", top=count == 1),
                value("PlaneOrientationSequence", "ImageOrientationPatient"),
                value("PixelMeasuresSequence", "PixelSpacing"),
                size,
            )
        )
    return found
