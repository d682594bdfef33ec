"""The experiment's table for the terminal, its sentence, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.text_table import text_table
from l2s_auto.evaluation.recommendation import Scores, recommendation, recommended
from l2s_auto.experiments.methods.statistics import CHANGED, columns_of
from l2s_auto.report.style import COLOURS, LIGHT, caption, new_figure, write_png

Summary = dict[str, Any]
OTHERS = "appearance changed"
#: Heading of Wilcoxon's p.
P = "p own, changed"


def table(summaries: Sequence[Summary], names: Sequence[str], structural: Sequence[str] = ()) -> str:
    """One line a variant and number of cases: mean (and spread over seeds) of Dice, and how it differs from the first
    variant. The structural changes follow in a table of their own.
    """
    columns = list(columns_of(names))
    apart = [column for column in columns_of(names, structural) if column not in columns]

    def part(columns: Sequence[str], headings: Sequence[str], kinds: Sequence[str], tests: bool) -> str:
        rows = [
            [s["variant"], str(s["cases"]), *(_cell(s[name]) for name in columns), *_against(s, kinds, tests=tests)]
            for s in summaries
        ]
        return text_table(["method", "cases", *columns, *headings], rows, kept=2)

    first = part(columns, [*_headings(("own", "changed")), P], ("own", "changed"), True)
    if not apart:
        return first
    return f"{first}\n\nStructural changes:\n{part(apart, _headings(('structural',)), ('structural',), False)}"


def markdown(summaries: Sequence[Summary], names: Sequence[str], structural: Sequence[str] = ()) -> str:
    """The table as Markdown; of those that learned from as many cases the best mean of each column is bold, and means
    that are tied with it (`statistics.from_best`) are italic. The structural changes are the last columns.
    """
    columns = list(columns_of(names))
    apart = [column for column in columns_of(names, structural) if column not in columns]
    kinds = ("own", "changed")
    headings = ["method", "cases", *columns, *_headings(kinds), P, "iterations", *apart]
    headings += _headings(("structural",)) if apart else []
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for s in summaries:
        beside = [other for other in summaries if other["cases"] == s["cases"]]

        def cells(columns: Sequence[str], s: Summary = s, beside: Sequence[Summary] = beside) -> list[str]:
            return [_marked(s[name], max(other[name]["mean"] or 0.0 for other in beside)) for name in columns]

        line = [s["variant"], str(s["cases"]), *cells(columns), *_against(s, kinds, tests=True)]
        line += [f"{np.mean(s['iterations']):.0f}", *cells(apart)]
        line += _against(s, ("structural",), tests=False) if apart else []
        lines.append(f"| {' | '.join(line)} |")
    return "\n".join(lines) + "\n"


def _headings(kinds: Sequence[str]) -> list[str]:
    return [f"{kind} - first [95 %]" for kind in kinds]


def _cell(figure: dict[str, Any]) -> str:
    if figure["mean"] is None:
        return "-"
    return f"{figure['mean']:.3f}" + (f" ± {figure['sd']:.3f}" if figure["sd"] is not None else "")


def _marked(figure: dict[str, Any], best: float) -> str:
    if figure["mean"] is None:
        return "-"
    mark = "**" if figure["mean"] == best > 0 else "*" if figure["tied"] else ""
    return f"{mark}{_cell(figure)}{mark}"


def _against(summary: Summary, kinds: Sequence[str], *, tests: bool) -> list[str]:
    """Cells of the differences from the first variant, and p where there are tests; empty for the first itself."""
    if "against" not in summary:
        return [""] * (len(kinds) + tests)
    found = [summary["against"].get(kind, {}) for kind in kinds]
    p = [one.get("p_holm") for one in found]
    return [*map(_difference, found), *([", ".join("-" if v is None else f"{v:.2g}" for v in p)] if tests else [])]


def _difference(one: dict[str, Any]) -> str:
    """The mean difference and its interval, such as -0.012 [-0.020, -0.004]."""
    if one.get("difference") is None:
        return "-"
    interval = one.get("interval")
    return f"{one['difference']:+.3f}" + (f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else "")


def scores_of(summaries: Sequence[Summary], names: Sequence[str]) -> dict[str, Scores]:
    """Variant -> its Dice as scans are and changed, with as many cases as were learned from at most."""
    most = max(s["cases"] for s in summaries)
    return {s["variant"]: Scores(s[names[0]]["mean"], s[CHANGED]["mean"]) for s in summaries if s["cases"] == most}


def sentence(summaries: Sequence[Summary], names: Sequence[str], *, subjects: int) -> str:
    """Which method is recommended for as many cases as were learned from at most.

    subjects  how many were tested on
    """
    scores = scores_of(summaries, names)
    most = max(s["cases"] for s in summaries)
    level = {s["variant"] for s in summaries if s["cases"] == most and s[names[0]]["tied"] and s[CHANGED]["tied"]}
    return recommendation(scores, subjects=subjects, level=level if recommended(scores) in level else ())


def draw(summaries: Sequence[Summary], kinds: Sequence[str], path: Path, *, title: str) -> Path:
    """Left: own scans against changed ones, a dot a method. Right, of several numbers of cases: learning curves."""
    names = list(dict.fromkeys(s["variant"] for s in summaries))
    counts = sorted({s["cases"] for s in summaries})
    colours = dict(zip(names, [c for c in COLOURS if c != "#F0E442"], strict=False))
    panels = 3 if len(counts) > 1 else 1
    figure = new_figure(5.2 * panels, 4.6, LIGHT)
    axes = figure.add_subplot(1, panels, 1)
    for s in (s for s in summaries if s["cases"] == counts[-1]):
        own, changed = s[kinds[0]], s[CHANGED]
        axes.errorbar(
            own["mean"],
            changed["mean"],
            xerr=own["sd"],
            yerr=changed["sd"],
            fmt="o",
            color=colours.get(s["variant"]),
            capsize=2,
            label=s["variant"],
        )
    _finish(axes, f"{title}, {counts[-1]} cases", f"Dice on scans {kinds[0]}", f"mean Dice, {OTHERS}")
    axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.ink, loc="best")
    for number, (key, label) in enumerate(((kinds[0], kinds[0]), (CHANGED, OTHERS)), start=2):
        if panels == 1:
            break
        axes = figure.add_subplot(1, panels, number)
        for name in names:
            own = sorted((s for s in summaries if s["variant"] == name), key=lambda s: s["cases"])
            x, y = [s["cases"] for s in own], [s[key]["mean"] for s in own]
            axes.errorbar(x, y, yerr=[s[key]["sd"] or 0 for s in own], color=colours.get(name), marker="o", capsize=2)
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        _finish(axes, f"Held-out scans, {label}", "labelled cases to learn from", "mean Dice")
    figure.tight_layout()
    return write_png(figure, path)


def _finish(axes: Any, title: str, x: str, y: str) -> None:
    caption(axes, title, LIGHT, size=10, bold=True)
    axes.set_xlabel(x, color=LIGHT.ink, fontsize=9)
    axes.set_ylabel(y, color=LIGHT.ink, fontsize=9)
    axes.tick_params(colors=LIGHT.ink, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=LIGHT.faint, lw=0.5)
