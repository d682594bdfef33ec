"""A note in a JSON file by which the program knows its own results again, unchanged and of the same files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: The field that holds the note.
ORIGIN = "made_by"
PROGRAM = "l2s_auto"


def with_origin(value: Mapping[str, Any], sources: Sequence[Path]) -> dict[str, Any]:
    """The value with a note of what it was made from, as hashes: it tells nobody's paths."""
    rest = {name: one for name, one in value.items() if name != ORIGIN}
    return {**rest, ORIGIN: {"program": PROGRAM, "sources": _hash_of_paths(sources), "content": _hash_of(rest)}}


def is_own(path: Path, sources: Sequence[Path]) -> bool:
    """Whether the program made this file from the same sources, and nobody has changed it since."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        note = value.pop(ORIGIN)
        return note == {"program": PROGRAM, "sources": _hash_of_paths(sources), "content": _hash_of(value)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _hash_of_paths(paths: Sequence[Path]) -> str:
    return _hash_of([str(path.resolve()) for path in paths])


def _hash_of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda number: number.item())
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
