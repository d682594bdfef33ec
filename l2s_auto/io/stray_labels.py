"""Label values that nobody declared, and that a few voxels of a single label map hold: slips of a pen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from l2s_auto.core.counting import counts_of, number_of, values_of
from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.volumes import read_label_map

FEW = 10  # voxels: fewer are a slip, if every other label has far more
FAR_FEWER = 0.1  # than the smallest other label
NEXT_TO_NOTHING = 1e-3  # of the smallest other label: a slip, however many voxels it has


def counted(labels: np.ndarray) -> dict[int, int]:
    """(X, Y, Z) integers -> value: voxels."""
    values = values_of(labels)
    counts = counts_of(number_of(labels, values).ravel(order="K"), len(values))
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def require_no_stray(paths: Sequence[Path], counts: Sequence[Mapping[int, int]], declared: Collection[int]) -> None:
    """UserError that names every value that is in one label map only, in very few voxels, and is not declared.

    counts    value -> voxels, of each file
    declared  values that the dataset names
    """
    voxels: dict[int, list[int]] = {}
    for of_file in counts:
        for value, count in of_file.items():
            if value != 0:
                voxels.setdefault(value, []).append(count)
    offences = []
    for path, of_file in zip(paths, counts, strict=True):
        for value, count in of_file.items():
            if value == 0 or value in declared or len(voxels[value]) > 1 or len(counts) < 2:
                continue
            others = [float(np.median(found)) for other, found in voxels.items() if other != value and len(found) > 1]
            smallest = min(others, default=0.0)
            if (count < FEW and count <= FAR_FEWER * smallest) or count < NEXT_TO_NOTHING * smallest:
                offences.append(_offence(path, value, count))
    if offences:
        noun = "a value that occurs" if len(offences) == 1 else "values that occur"
        raise UserError(f"Label maps hold {noun} nowhere else, in very few voxels.", offences)


def place_of(labels: np.ndarray, value: int) -> str:
    """Where one voxel of a value is, for a message; indices count from 0."""
    x, y, z = np.unravel_index(int(np.argmax(labels == value)), labels.shape)
    return f"voxel ({x}, {y}, {z})"


def _offence(path: Path, value: int, count: int) -> Offence:
    voxels = "1 voxel" if count == 1 else f"{count} voxels"
    return Offence(
        str(path),
        f"the label value {value} in {voxels}, e.g. {place_of(read_label_map(path)[0], value)}",
        "values that other label maps have too, or that are declared",
        f"Correct the label map; or, if it is a structure, declare it under labels in dataset.json, "
        f'or in labels.json: {{"its name": {value}}}.',
    )
