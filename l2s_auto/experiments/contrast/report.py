"""The figure of the contrast experiment: a group of bars a sequence, a bar a method, a row a number of cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from l2s_auto.report.style import COLOURS, LIGHT, caption, new_figure, write_png

Summary = dict[str, Any]


def draw(summaries: Sequence[Summary], names: Sequence[str], path: Path, *, title: str) -> Path:
    """Mean Dice and its spread over seeds."""
    counts = sorted({s["cases"] for s in summaries}, reverse=True)
    variants = list(dict.fromkeys(s["variant"] for s in summaries))
    colours = [c for c in COLOURS if c != "#F0E442"]
    figure = new_figure(9.0, 3.0 * len(counts), LIGHT)
    width = 0.8 / len(variants)
    for row, count in enumerate(counts):
        axes = figure.add_subplot(len(counts), 1, row + 1)
        for number, variant in enumerate(variants):
            own = next((s for s in summaries if (s["variant"], s["cases"]) == (variant, count)), None)
            if own is None:
                continue
            places = [i + (number - (len(variants) - 1) / 2) * width for i in range(len(names))]
            heights = [own[name]["mean"] for name in names]
            spreads = [own[name]["sd"] or 0.0 for name in names]
            colour = colours[number % len(colours)]
            axes.bar(places, heights, 0.9 * width, yerr=spreads, color=colour, label=variant, ecolor=LIGHT.ink)
        axes.set_xticks(range(len(names)), list(names))
        axes.set_ylim(0, 1)
        axes.set_ylabel("mean Dice", color=LIGHT.ink, fontsize=9)
        axes.tick_params(colors=LIGHT.ink, labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        caption(axes, f"{title}: learned from {count} persons' MPRAGE", LIGHT, size=10, bold=True)
        if row == 0:
            axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.ink, ncols=3, loc="upper right")
    figure.tight_layout()
    return write_png(figure, path)
