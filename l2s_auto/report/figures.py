"""Pictures of scans and their labels. Each function writes one PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.report.slices import PLANES, centre_of, cut, show_image, show_labels, upright, window
from l2s_auto.report.style import DARK, FONTS, caption, colour_legend, colours_of, new_figure, write_png


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
