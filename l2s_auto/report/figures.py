"""Pictures of scans and their labels. Each function writes one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2s_auto.report.slices import PLANES, Upright, centre_of, cut, show_image, show_labels, upright, window
from l2s_auto.report.style import COLOURS, DARK, FONTS, caption, colour_legend, colours_of, new_figure, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    names: Mapping[int, str],
    affine: np.ndarray,
    path: Path | str,
    *,
    title: str = "",
) -> Path:
    """Three slices through the labels' centre, at one scale, with the labels in colour.

    image, labels  (X, Y, Z) on the file's grid; names: value -> name, background left out
    """
    view = upright(image, labels, affine)
    centre, colours, limits = centre_of(view.labels), colours_of(names), window(view.image)
    widths = [view.extent(across) for _, _, across, _, _, _ in PLANES]
    tallest = max(view.extent(up) for _, _, _, up, _, _ in PLANES)
    figure = new_figure(11, max(1.5, 11 * tallest / sum(widths)) + 0.3, DARK)
    grid = figure.add_gridspec(1, 3, width_ratios=widths, wspace=0.02, left=0, right=1, bottom=0.01, top=0.92)
    for column, (name, through, across, up, left, right) in enumerate(PLANES):
        axes = figure.add_subplot(grid[0, column])
        aspect = view.spacing[up] / view.spacing[across]
        show_image(axes, cut(view.image, through, centre[through]), limits=limits, aspect=aspect)
        show_labels(axes, cut(view.labels, through, centre[through]), colours, aspect=aspect)
        caption(axes, f"{title}   {name}".strip() if column == 0 else name, DARK)
        for letter, place in ((left, 0.02), (right, 0.98)):
            style: dict[str, Any] = {"color": DARK.ink, "fontsize": 9, "fontfamily": FONTS, "alpha": 0.8}
            axes.text(place, 0.5, letter, transform=axes.transAxes, ha="center", va="center", **style)
    present = set(np.unique(labels).tolist())
    colour_legend(figure, {value: name for value, name in names.items() if value in present}, colours, DARK)
    return write_png(figure, path)


def synthetic_preview(
    real: Sequence[np.ndarray],
    enriched: Sequence[np.ndarray],
    synthetic: Sequence[np.ndarray],
    path: Path | str,
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Path:
    """What the network will see: up to three real images, their enriched classes, nine synthetic images.

    All volumes (X, Y, Z) in canonical axes, the plan's spacing; `real` may be empty.
    """
    blocks = [("Real images", real, False), ("Classes that images are drawn from", enriched, True)]
    blocks.append(("Synthetic images, as the network sees them in training", synthetic, False))
    rows = [
        (text if start == 0 else "", volumes[start : start + 3], is_map)
        for text, volumes, is_map in blocks
        for start in range(0, min(9, len(volumes)), 3)
    ]
    first = next((np.asarray(volume) for _, volumes, _ in blocks for volume in volumes), np.zeros((1, 1, 1)))
    ratio = first.shape[1] * spacing[1] / (first.shape[0] * spacing[0])
    figure = new_figure(7.5, (2.5 * ratio + 0.3) * max(1, len(rows)), DARK)
    grid = figure.add_gridspec(max(1, len(rows)), 3, wspace=0.03, hspace=0.1, left=0, right=1, bottom=0, top=0.96)
    for number, (text, volumes, is_map) in enumerate(rows):
        for column, volume in enumerate(volumes):
            axes = figure.add_subplot(grid[number, column])
            view = Upright(np.asarray(volume), np.asarray(volume), spacing)
            _show_middle(axes, view, is_map=is_map)
            if text and column == min(1, len(volumes) - 1):
                caption(axes, text, DARK, bold=True)
    return write_png(figure, path)


def _show_middle(axes: Axes, view: Upright, *, is_map: bool) -> None:
    """The middle axial slice: grey for an image, one colour a value for a map."""
    plane = cut(view.image, 2, view.image.shape[2] // 2)
    aspect = view.spacing[1] / view.spacing[0]
    if not is_map:
        show_image(axes, plane, limits=window(np.asarray(view.image, dtype=np.float32)), aspect=aspect)
        return
    from matplotlib.colors import ListedColormap

    colours = ["#000000", *(COLOURS[i % len(COLOURS)] for i in range(max(1, int(view.image.max()))))]
    style: dict[str, Any] = {"cmap": ListedColormap(colours), "vmin": -0.5, "vmax": len(colours) - 0.5}
    axes.imshow(plane, origin="lower", aspect=aspect, interpolation="nearest", **style)
    axes.set_anchor("N")
    axes.set_axis_off()
