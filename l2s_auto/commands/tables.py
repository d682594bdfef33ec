"""Metrics as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2s_auto.core.digits import shown
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
    rows = [*metrics["labels"].items(), ("mean", metrics["mean"])]
    width = max(len(name) for name in ["label", *(name for name, _ in rows)])
    lines = ["label".ljust(width) + "".join(f"  {title:>12}" for title in titles)]
    for name, row in rows:
        lines.append(
            name.ljust(width)
            + "".join(f"  {_number(row.get(column), length=column.endswith('_mm')):>12}" for column in columns)
        )
    return "\n".join([*lines, *(f"Note: {note}" for note in metrics.get("notes", ()))])


def _number(value: float | None, *, length: bool) -> str:
    """Three decimals; of a short length, three digits."""
    if value is None:
        return "-"
    return shown(value, 3) if length and 0 < value < 0.1 else f"{value:.3f}"
