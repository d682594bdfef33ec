"""The demo's picture: a row a contrast; image, reference and prediction in an axial and a coronal slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2s_auto.io.atomic import atomic_path

_COLOURS = (
    "#e8e4d8",
    "#3fa7ff",
    "#ffb454",
    "#59d98e",
    "#f2607d",
    "#1f5fd0",
    "#1f9e5a",
    "#c792ea",
    "#ffe066",
    "#7ad1c9",
)
_INCHES = 1.9


@dataclass(frozen=True)
class Row:
    """A scan of the picture, in its own axes.

    image, reference, prediction  (X, Y, Z) intensities and label values on one grid
    affine                        (4, 4) voxel index -> RAS+ mm
    """

    title: str
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    affine: np.ndarray


def draw_comparison(rows: Sequence[Row], path: Path, *, focus: Sequence[int]) -> Path:
    """Write the PNG and return its path.

    focus  label values whose centre of mass in the reference the slices go through
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = sorted({int(v) for row in rows for v in np.unique(row.reference)} - {0})
    figure = Figure(figsize=(6 * _INCHES, 1.15 * _INCHES * len(rows) + 0.3), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 6, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        _draw_row(row, line, values, focus)
        line[0].text(
            -0.06, 0.5, row.title, color="white", rotation=90, va="center", ha="right", transform=line[0].transAxes
        )
    for axis, title in zip(axes[0], ("image", "reference", "prediction") * 2, strict=True):
        axis.set_title(title, color="white", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})
    return path


def _draw_row(row: Row, axes: Sequence, values: Sequence[int], focus: Sequence[int]) -> None:
    image, reference, prediction = (_upright(data, row.affine) for data in (row.image, row.reference, row.prediction))
    order = np.abs(row.affine[:3, :3]).argmax(axis=1)  # the voxel axis that runs most nearly along x, y and z
    spacing = np.linalg.norm(row.affine[:3, :3], axis=0)[order]
    inside = np.argwhere(np.isin(reference, focus))
    assert len(inside), "the focus is in the reference"
    centre = inside.mean(axis=0).round().astype(int)
    top = np.percentile(image, 99.5)
    for number, plane in enumerate((2, 1)):  # axial, coronal
        shown = [axis for axis in range(3) if axis != plane]
        aspect = spacing[shown[1]] / spacing[shown[0]]
        slices = [np.take(data, centre[plane], axis=plane).T for data in (image, reference, prediction)]
        for column, labels in enumerate((None, slices[1], slices[2])):
            axis = axes[3 * number + column]
            axis.set_axis_off()
            picture = np.repeat(np.clip(slices[0] / top, 0, 1)[..., None], 3, axis=-1)
            if labels is not None:
                picture = _paint(picture, labels, values)
            axis.imshow(picture, origin="lower", aspect=aspect, interpolation="nearest")


def _paint(picture: np.ndarray, labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """(H, W, 3) grey picture in [0, 1] with the labels over it, 65% opaque."""
    from matplotlib.colors import to_rgb

    painted = picture.copy()
    for number, value in enumerate(values):
        colour = np.array(to_rgb(_COLOURS[number % len(_COLOURS)]))
        where = labels == value
        painted[where] = 0.35 * picture[where] + 0.65 * colour
    return painted


def _upright(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(X, Y, Z) in any axis order -> axes nearest to R, A, S."""
    import nibabel

    return nibabel.apply_orientation(data, nibabel.io_orientation(affine))
