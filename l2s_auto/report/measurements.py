"""The fingerprint as pictures: grids of the scans, and size and brightness of the labels, a dot a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from l2s_auto.core.plan import CaseFingerprint, Fingerprint
from l2s_auto.report.style import COLOURS, FONTS, LIGHT, caption, new_figure, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("left to right", "back to front", "bottom to top")
MOST_CASES = 400  # dots of a row, evenly chosen
MOST_LABELS = 24  # rows of a panel; of more labels the first ones
LONGEST = 24  # letters of a name


def measurements(found: Fingerprint) -> Figure:
    """Panels of dots, a row an axis of the scans or a label; labels without voxels and scans without images are left
    out.
    """
    cases = [found.cases[i] for i in np.unique(np.linspace(0, len(found.cases) - 1, MOST_CASES).round().astype(int))]
    labels = {value: name for value, name in found.labels.items() if value != 0}
    labels = dict(list(labels.items())[:MOST_LABELS])
    panels: list[tuple[str, str, Mapping[str, Sequence[float]], bool]] = [
        ("Voxels", "mm", {name: [case.spacing[i] for case in cases] for i, name in enumerate(AXES)}, False),
        ("Field of view", "mm", {name: [_extent(case, i) for case in cases] for i, name in enumerate(AXES)}, False),
        ("Size of labels", "mm³", _by_label(labels, [case.label_volume for case in cases]), True),
    ]
    for channel, name in enumerate(found.channels):
        means = [{value: mean[channel] for value, mean in case.label_mean.items()} for case in cases]
        panels.append((f"Brightness of labels, {name}", "normalised", _by_label(labels, means), False))
    panels = [panel for panel in panels if panel[2]]
    rows = max(len(values) for _, _, values, _ in panels)
    figure = new_figure(4.4 * min(2, len(panels)), (0.9 + 0.3 * rows) * -(-len(panels) // 2), LIGHT)
    for number, (title, unit, values, logarithmic) in enumerate(panels):
        axes = figure.add_subplot(-(-len(panels) // 2), min(2, len(panels)), number + 1)
        _dots(axes, values, logarithmic=logarithmic)
        axes.set_xlabel(unit, color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
        caption(axes, title, LIGHT, size=11, bold=True)
    figure.tight_layout(w_pad=2.0, h_pad=2.0)
    return figure


def _extent(case: CaseFingerprint, axis: int) -> float:
    return case.shape[axis] * case.spacing[axis]


def _by_label(labels: Mapping[int, str], cases: Sequence[Mapping[int, float]]) -> dict[str, list[float]]:
    """Name -> a value a case that has the label."""
    values = {name: [case[value] for case in cases if value in case] for value, name in labels.items()}
    return {_short(name): found for name, found in values.items() if found}


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _dots(axes: Axes, rows: Mapping[str, Sequence[float]], *, logarithmic: bool) -> None:
    """A row of dots, which a fixed pattern keeps from hiding each other, and a line at their median."""
    for number, (_, values) in enumerate(rows.items()):
        height = number + 0.28 * np.sin(2.4 * np.arange(len(values)))
        axes.plot(values, height, ".", color=COLOURS[4], markersize=4, alpha=0.5, markeredgewidth=0)
        axes.plot([np.median(values)] * 2, [number - 0.38, number + 0.38], color=COLOURS[5], linewidth=1.6)
    axes.set_yticks(range(len(rows)), [plain_text(name) for name in rows], fontsize=8, color=LIGHT.ink)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if logarithmic:
        axes.set_xscale("log")
    axes.tick_params(colors=LIGHT.ink, labelsize=8)
    axes.grid(axis="x", color=LIGHT.faint, linewidth=0.5, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LIGHT.faint)
