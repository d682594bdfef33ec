"""Metrics as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2s_auto.core.digits import shown
from l2s_auto.core.folding import WIDTH
from l2s_auto.core.surface_dice import WITHIN_1MM, WITHIN_VOXEL, surface_dice


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """A row a label and the mean last, a column a metric; an undefined metric is a dash, notes stand below.

    Of the two surface Dice it has that which says more: within one voxel where voxels are not of 1 mm.

    metrics  the content of a metrics.json
    """
    dice, tolerance = surface_dice(metrics)
    others = {WITHIN_1MM, WITHIN_VOXEL} - {dice}  # one of the two, so that lines fit 80 columns
    columns = [column for column in metrics["mean"] if column not in others]
    titles = [f"nsd_{tolerance.replace(' ', '')}" if column == dice else column for column in columns]
    rows = [
        (name, [_number(row.get(column), length=column.endswith("_mm")) for column in columns])
        for name, row in [*metrics["labels"].items(), ("mean", metrics["mean"])]
    ]
    cells = [max(len(title), *(len(row[k]) for _, row in rows)) for k, title in enumerate(titles)]
    room = WIDTH - sum(cells) - 2 * len(cells)
    width = min(max(len(name) for name in ["label", *(name for name, _ in rows)]), max(room, len("label")))
    lines = ["label".ljust(width) + "".join(f"  {title:>{n}}" for title, n in zip(titles, cells, strict=True))]
    for name, row in rows:
        numbers = "".join(f"  {text:>{n}}" for text, n in zip(row, cells, strict=True))
        if len(name) > width:  # a long name has a line of its own
            lines.append(name)
        lines.append((name if len(name) <= width else "").ljust(width) + numbers)
    return "\n".join([*lines, *(f"Note: {note}" for note in metrics.get("notes", ()))])


def _number(value: float | None, *, length: bool) -> str:
    """Three decimals; of a short length, three digits."""
    if value is None:
        return "-"
    return shown(value, 3) if length and 0 < value < 0.1 else f"{value:.3f}"
