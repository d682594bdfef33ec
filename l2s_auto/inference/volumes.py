"""How large each label is: rows of volumes.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from l2s_auto.core.plan import Plan


def label_columns(plan: Plan) -> dict[int, str]:
    """Original value -> a name of its own, background left out; a name that is used twice gets its value behind it."""
    labels = plan.labels[1:]
    uses = Counter(label.name for label in labels) + Counter({"case": 1})
    return {label.value: label.name if uses[label.name] == 1 else f"{label.name} ({label.value})" for label in labels}


def region_columns(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Name of a column -> values, for regions of several labels; a name that a label has gets " (region)" behind it."""
    taken = {"case", *label_columns(plan).values()}
    regions = {name: values for name, values in plan.regions.items() if len(values) > 1}
    return {f"{name} (region)" if name in taken else name: values for name, values in regions.items()}


def region_volumes(volumes: Mapping[str, float], plan: Plan) -> dict[str, float]:
    """Volumes of the labels, by their columns -> those of the regions, by theirs."""
    columns = label_columns(plan)
    regions = region_columns(plan).items()
    return {name: float(f"{sum(volumes[columns[value]] for value in values):.7g}") for name, values in regions}


def voxel_counts(labels: np.ndarray, values: Mapping[int, str]) -> dict[int, int]:
    """(X, Y, Z) integers -> number of voxels of each value."""
    found, counts = np.unique(labels, return_counts=True)
    known = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return {value: known.get(value, 0) for value in values}


def label_volumes(labels: np.ndarray, affine: np.ndarray, names: Mapping[int, str]) -> dict[str, float]:
    """(X, Y, Z) label map, (4, 4) affine in mm -> name: mm³, the number of voxels times |det(affine)|.

    To 7 digits, which is what the float32 affine of a NIfTI file carries.
    """
    voxel = abs(float(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])))
    return {names[value]: float(f"{count * voxel:.7g}") for value, count in voxel_counts(labels, names).items()}
