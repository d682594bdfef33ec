"""Metrics as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """A row a label and the mean last, a column a metric; an undefined metric is a dash, notes stand below.

    metrics  the content of a metrics.json
    """
    columns = list(metrics["mean"])
    rows = [*metrics["labels"].items(), ("mean", metrics["mean"])]
    width = max(len(name) for name in ["label", *(name for name, _ in rows)])
    lines = ["label".ljust(width) + "".join(f"  {column:>12}" for column in columns)]
    for name, row in rows:
        lines.append(name.ljust(width) + "".join(f"  {_number(row.get(column)):>12}" for column in columns))
    return "\n".join([*lines, *(f"Note: {note}" for note in metrics.get("notes", ()))])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
