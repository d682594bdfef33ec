"""metrics.json and history.jsonl, which a training writes and others read: their form is checked on reading."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import UserError
from l2s_auto.core.limits import MAX_COUNT, MAX_INTENSITY, MAX_SECONDS
from l2s_auto.core.names import is_name
from l2s_auto.io.json_files import parse_json, read_json

#: Bytes of metrics.json, which has a row per case and label.
LARGEST_METRICS = 1 << 29


def read_metrics(path: Path) -> dict[str, Any]:
    """What a validation has written. UserError if the file is of another form."""
    metrics = read_json(path, largest=LARGEST_METRICS)
    if not _is_metrics(metrics):
        raise UserError.single(
            "The metrics of a validation cannot be read.",
            where=str(path),
            found="another form than a validation writes",
            expected='{"mean": …, "labels": …, "cases": […], "notes": […]} with numbers or null for each metric',
            mend="Validate the fold again, or remove the file.",
        )
    return dict(metrics)


def parse_line(text: str) -> dict[str, Any] | None:
    """The object of a line of history.jsonl; None for a line that is damaged or of another form."""
    try:
        line = parse_json(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not _is_count(line.get("iteration")):
        return None
    seconds, theta = line.get("seconds", 0), line.get("theta")
    if not _is_number(seconds) or not 0 <= seconds <= MAX_SECONDS:
        return None
    numbers = [line.get(name) for name in ("loss_synth", "loss_real", "val_dice")]
    if not all(map(_is_figure, numbers)) or not (theta is None or _is_row(theta)):
        return None
    return line


def _is_metrics(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    labels, cases, notes = value.get("labels", {}), value.get("cases", []), value.get("notes", [])
    if not isinstance(cases, list) or not all(map(_is_case, cases)):
        return False
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return False
    return _is_row(value.get("mean", {})) and _is_table(labels)


def _is_case(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("case"), str) and _is_table(value.get("labels", {}))


def _is_table(value: Any) -> bool:
    """Whether it is {label: {metric: number or null}}."""
    return isinstance(value, dict) and all(map(is_name, value)) and all(map(_is_row, value.values()))


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_name, value)) and all(map(_is_figure, value.values()))


def _is_figure(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and math.isfinite(value) and abs(value) <= MAX_INTENSITY


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
