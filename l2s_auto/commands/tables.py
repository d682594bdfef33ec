"""Metrics as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2s_auto.core.folding import WIDTH


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """A row a label and the mean last, a column a metric; an undefined metric is a dash, notes stand below.

    metrics  the content of a metrics.json
    """
    columns = list(metrics["mean"])
    rows = [*metrics["labels"].items(), ("mean", metrics["mean"])]
    cells = {column: max(len(column), *(len(_number(row.get(column))) for _, row in rows)) for column in columns}
    room = WIDTH - sum(cells.values()) - 2 * len(columns)
    names = ["label", *(name for name, _ in rows)]
    width = min(max(map(len, names)), max(room, len("label")))
    lines = ["label".ljust(width) + "".join(f"  {column:>{cells[column]}}" for column in columns)]
    for name, row in rows:
        numbers = "".join(f"  {_number(row.get(column)):>{cells[column]}}" for column in columns)
        if len(name) > width:  # a long name has a line of its own
            lines.append(name)
        lines.append((name if len(name) <= width else "").ljust(width) + numbers)
    return "\n".join([*lines, *(f"Note: {note}" for note in metrics.get("notes", ()))])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
