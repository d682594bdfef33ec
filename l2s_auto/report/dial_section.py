"""The report's section on the dial: what the model reaches at home and abroad for each aim, and how to choose one."""

from __future__ import annotations

import os
from html import escape

from l2s_auto.core.dial import Aim, Dial
from l2s_auto.core.shell import quoted
from l2s_auto.evaluation.intervals import Interval
from l2s_auto.report.abilities import ABROAD, HOME, abilities, aim_of, aims_of, expected, measured
from l2s_auto.report.dial_figure import curves_of, dial_figure
from l2s_auto.report.run_data import RunData
from l2s_auto.report.sections import number, paragraph, picture, section, table
from l2s_auto.report.style import png_bytes

TITLE = "At home and abroad"
#: What an aim is for.
MEANT: dict[Aim, str] = {
    "home": "scans from the same scanner and protocol as those of the training",
    "both": "mostly such scans, and now and then others",
    "anywhere": "scans of any contrast",
    "each": "decides for each scan, in about twice the time",
}
EXPLAINED = (
    f"Own: {HOME}. Changed: {ABROAD}; the mean over these changes. Each case was measured at the point that was chosen "
    "on the other cases. In brackets: the 95 % interval of the mean over the cases."
)
LEGEND = (
    "A point a of the dial has the weights (1 - a) times general plus a times home. The general weights were learned "
    "from synthetic images and changed scans, the home weights mostly from the scans as they are in a last phase."
)


def dial_section(run: RunData) -> str:
    """Sentences, table, figure and commands; empty where no fold has a dial."""
    found = [fold.dial for fold in run.folds if fold.dial is not None]
    if not found:
        return ""
    sentences = "".join(f"<li>{escape(text)}</li>" for text in abilities(found))
    dials = measured(found)
    aims = aims_of(dials)
    rows = [_row(dials, aim) for aim in aims]
    headings = ["Aim", "For", "Point of the dial (a)", "Dice, own", "Dice, changed"]
    curves = curves_of(dials)
    name = quoted(os.path.abspath(run.path))
    commands = [(aim, f"l2s_predict -i SCANS -o SEGMENTATIONS -m {name} --aim {aim}") for aim in aims]
    told = "".join(f"<dt>For {aim}</dt><dd><code>{escape(command)}</code></dd>" for aim, command in commands)
    shown = picture(png_bytes(dial_figure({_title(dials): curves})), "Own against changed Dice over the dial")
    return section(
        TITLE,
        f"<ul>{sentences}</ul>",
        table(headings, rows),
        paragraph(EXPLAINED),
        *([shown, paragraph(LEGEND)] if curves else []),
        f"<dl>{told}</dl>",
    )


def _title(dials: list[Dial]) -> str:
    """Of the figure: how many cases, of how many folds."""
    cases = f"{sum(dial.cases for dial in dials)} validation cases"
    return cases if len(dials) == 1 else f"{cases} of {len(dials)} folds"


def _row(dials: list[Dial], aim: Aim) -> list[str]:
    """Of the table; the aim of the weights that predict without --aim is marked."""
    reached = expected(dials, aim)
    usual = all(aim_of(dial) == aim for dial in dials)
    name = f"{aim} (chosen)" if usual else aim
    return [
        name,
        MEANT[aim],
        _points(dials, aim),
        _with(reached.own, reached.own_interval),
        _with(reached.changed, reached.changed_interval),
    ]


def _points(dials: list[Dial], aim: Aim) -> str:
    """The points of the folds, each once."""
    if aim == "each":
        return f"0 or {_points(dials, 'home')}"
    return ", ".join(f"{a:g}" for a in sorted({dial.chosen[aim] for dial in dials}))


def _with(mean: float | None, interval: Interval | None) -> str:
    if mean is None:
        return "not measured"
    return number(mean) if interval is None else f"{number(mean)} ({number(interval[0])} to {number(interval[1])})"
