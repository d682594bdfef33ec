"""The experiment's table for the terminal, and its figure: theta's path against the preset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from l2s_auto.core.text_table import text_table
from l2s_auto.report.style import COLOURS, FONTS, LIGHT, caption, new_figure, write_png

Row = dict[str, Any]
COLUMNS = 3


def table(rows: Sequence[Row]) -> str:
    """One line a setting: the errors of noise and exponents, and of each number preset -> learned."""
    names = list(dict.fromkeys(name for row in rows for name in row["preset"]))
    short = [name.removeprefix("exponent_") for name in names]
    cells = [
        [
            row["name"],
            row["estimator"],
            f"{row['sigma_error']:.4f}",
            f"{row['exponent_error']:.3f}",
            f"{row['seconds']:.0f}",
            *(f"{row['preset'][n]:g} -> {row['theta'][n]:.3f}" if n in row["preset"] else "" for n in names),
        ]
        for row in rows
    ]
    headings = ["setting", "estimator", "noise error", "exponent error", "seconds", *short]
    return text_table(headings, cells, kept=2)


def draw_paths(rows: Sequence[Row], path: Path) -> Path:
    """A panel a setting: each number of theta over the iterations; what it should become is dashed.

    Noise is drawn ten times as large, so that it can be seen beside exponents.
    """
    names = list(dict.fromkeys((row["name"], row["estimator"]) for row in rows))
    lines = -(-len(names) // COLUMNS)
    figure = new_figure(4.4 * min(COLUMNS, len(names)), 2.9 * lines, LIGHT)
    for number, (name, estimator) in enumerate(names):
        axes = figure.add_subplot(lines, min(COLUMNS, len(names)), number + 1)
        for row in (row for row in rows if (row["name"], row["estimator"]) == (name, estimator)):
            _draw(axes, row, first=row["seed"] == rows[0]["seed"])
        caption(axes, f"{name}, {estimator}", LIGHT, size=10, bold=True)
        axes.set_ylim(-0.05, 2.2 if "to" in name or "0.15" in name else 1.3)
        axes.tick_params(colors=LIGHT.ink, labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        if number == 0:
            axes.legend(frameon=False, fontsize=7, labelcolor=LIGHT.ink, ncols=2)
        if number >= len(names) - COLUMNS:
            axes.set_xlabel("iteration", color=LIGHT.ink, fontsize=9, fontfamily=FONTS)
    figure.tight_layout()
    return write_png(figure, path)


def _draw(axes: Any, row: Row, *, first: bool) -> None:
    colours = [c for c in COLOURS if c != "#F0E442"]
    for i, (name, target) in enumerate(row["preset"].items()):
        scale = 10 if name.startswith("sigma") else 1
        label = (f"10 x {name}" if scale > 1 else name).replace("_", " ")
        steps = [iteration for iteration, _ in row["path"]]
        axes.plot(
            steps,
            [scale * theta[name] for _, theta in row["path"]],
            color=colours[i],
            lw=1.6,
            label=label if first else None,
        )
        # Equal presets lie on each other; later ones have shorter dashes.
        axes.axhline(scale * target, color=colours[i], lw=1.1, ls=(2 * i, (4, 6)))
