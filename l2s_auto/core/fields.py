"""Types of texts in records that are read from files (`core.names` says what they may hold)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from l2s_auto.core.names import MAX_LINE, MAX_NAME, MAX_PART, is_name, is_path_part


def _require_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"a name in one line of printable characters, at most {MAX_NAME} bytes")
    return text


def _require_line(text: str) -> str:
    if not text.isprintable() or len(text.encode("utf-8")) > MAX_LINE:
        raise ValueError(f"one line of printable characters, at most {MAX_LINE} bytes")
    return text


def _require_path_part(text: str) -> str:
    if not is_path_part(text):
        raise ValueError(
            f"the name of one folder: no / and no \\, not .., printable characters, at most {MAX_PART} bytes"
        )
    return text


Name = Annotated[str, AfterValidator(_require_name)]
Line = Annotated[str, AfterValidator(_require_line)]
PathPart = Annotated[str, AfterValidator(_require_path_part)]
