"""Learning curves: what the training logged, as figures for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from l2s_auto.report.style import COLOURS, FONTS, LIGHT, caption, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, Any]]


def theta_and_dice(history: History) -> Figure:
    """Losses, validation Dice and theta over iterations; a panel for each that was logged.

    history  objects of history.jsonl: iteration, loss_synth, loss_real, theta {name: value}, val_dice
    """
    panels = [
        ("Loss", {"synthetic images": _series(history, "loss_synth"), "real images": _series(history, "loss_real")}),
        ("Dice on held-out cases", {"": _series(history, "val_dice")}),
        ("Augmentation (theta)", _theta(history)),
    ]
    shown = [(title, {n: s for n, s in lines.items() if s}) for title, lines in panels]
    shown = [(title, lines) for title, lines in shown if lines]
    figure = new_figure(4.6 * max(1, len(shown)), 3.4, LIGHT)
    for number, (title, lines) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), number + 1)
        _lines(axes, lines)
        caption(axes, title, LIGHT, size=11, bold=True)
        if title.startswith("Dice"):
            axes.set_ylim(0, 1)
    figure.tight_layout(w_pad=2.5)
    return figure


def _series(history: History, key: str) -> list[tuple[float, float]]:
    return [(line["iteration"], line[key]) for line in history if _is_number(line.get(key)) and "iteration" in line]


def _theta(history: History) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for line in history:
        for name, value in (line.get("theta") or {}).items():
            if _is_number(value) and "iteration" in line:
                series.setdefault(str(name), []).append((line["iteration"], value))
    return series


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _lines(axes: Axes, lines: Mapping[str, list[tuple[float, float]]]) -> None:
    for number, (name, points) in enumerate(lines.items()):
        # The bright yellow is not seen on white.
        colour = [c for c in COLOURS if c != "#F0E442"][(number + 1) % (len(COLOURS) - 1)]
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, linewidth=1.8, label=name, marker="o" if len(x) < 8 else None, markersize=3.5)
    axes.set_xlabel("iteration", color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
    axes.tick_params(colors=LIGHT.ink, labelsize=8)
    axes.grid(color=LIGHT.faint, linewidth=0.5, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LIGHT.faint)
    if any(lines):
        axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.ink)
