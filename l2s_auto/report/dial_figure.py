"""The dial as a figure: Dice on scans as they are (x) against Dice on changed ones (y), a dot a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from l2s_auto.core.dial import Dial
from l2s_auto.report.style import COLOURS, FONTS, LIGHT, caption, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED = COLOURS[4], COLOURS[5]
#: Panels in a row, and how far from a measured point another may be and still be shown as the same.
ROW, NEAR = 3, 0.005
OWN, CHANGED = "Dice, scans as they are", "Dice, appearance changed"


@dataclass(frozen=True)
class Curve:
    """Points of a dial in the order of a.

    points  (a, own, changed)
    chosen  the point that is marked; None: none
    main    drawn strongly, with names of its points; others are faint
    """

    points: tuple[tuple[float, float, float], ...]
    chosen: float | None = None
    main: bool = True


def curves_of(dials: Sequence[Dial]) -> list[Curve]:
    """A faint curve for each of several folds, with what it chose, and their mean; none where nothing was measured."""
    each = [
        tuple((p.a, p.own, p.changed) for p in dial.points if p.own is not None and p.changed is not None)
        for dial in dials
    ]
    kept = [(points, dial.a) for points, dial in zip(each, dials, strict=True) if len(points) > 1]
    if not kept:
        return []
    if len(kept) == 1:
        return [Curve(*kept[0])]
    shared = sorted(set.intersection(*({a for a, _, _ in points} for points, _ in kept)))
    rows = [{a: (own, changed) for a, own, changed in points} for points, _ in kept]
    mean = tuple((a, fmean(row[a][0] for row in rows), fmean(row[a][1] for row in rows)) for a in shared)
    same = {chosen for _, chosen in kept}
    folds = [Curve(points, chosen, main=False) for points, chosen in kept]
    return [*folds, Curve(mean, same.pop() if len(same) == 1 else None)]


def dial_figure(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """A panel for each title, such as a dataset's name; the scales are of each panel's own."""
    columns = min(ROW, max(1, len(panels)))
    rows = -(-len(panels) // columns) or 1
    figure = new_figure(5.2 * columns, 4.2 * rows, LIGHT)
    for number, (title, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        for curve in curves:
            _draw(axes, curve)
        _dress(axes)
        caption(axes, title, LIGHT, size=11, bold=True)
    figure.tight_layout(w_pad=2.5, h_pad=2.5)
    return figure


def _draw(axes: Axes, curve: Curve) -> None:
    own, changed = [x for _, x, _ in curve.points], [y for _, _, y in curve.points]
    if curve.main:
        axes.plot(own, changed, "-o", color=BLUE, linewidth=1.8, markersize=4.5, zorder=3)
        for a, x, y in curve.points:  # such curves bend towards the lower left: the upper right is free
            axes.annotate(_name(a), (x, y), (6, 6), textcoords="offset points", fontsize=8, color=LIGHT.ink)
    else:
        axes.plot(own, changed, "-", color=LIGHT.faint, linewidth=1.0, zorder=1)
    for a, x, y in curve.points:
        if curve.chosen is not None and abs(a - curve.chosen) < NEAR:
            size, label = (13, "chosen") if curve.main else (7, None)
            axes.plot([x], [y], "o", color=RED, fillstyle="none", markersize=size, label=label, zorder=4)


def _name(a: float) -> str:
    return {0.0: "0, general", 1.0: "1, home"}.get(a, f"{a:g}")


def _dress(axes: Axes) -> None:
    axes.margins(0.18)
    axes.set_xlabel(OWN, color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
    axes.set_ylabel(CHANGED, color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
    axes.tick_params(colors=LIGHT.ink, labelsize=8)
    axes.grid(color=LIGHT.faint, linewidth=0.5, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LIGHT.faint)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.ink)
