"""Names that come from files: one line of readable text, and where a folder is named, one part of a path."""

from __future__ import annotations

import re

#: Bytes of a name in UTF-8, at most; of a sentence; of a part of a path, as file systems have it.
MAX_NAME, MAX_LINE, MAX_PART = 200, 100_000, 255
_SEPARATORS = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:")


def is_name(text: str, *, longest: int = MAX_NAME) -> bool:
    """Whether the text can be shown as it is: not blank, in one line, without control characters, not too long."""
    return bool(text.strip()) and text.isprintable() and len(text.encode("utf-8")) <= longest


def is_path_part(text: str) -> bool:
    """Whether the text is one part of a path, on every system: it can lead nowhere but to a folder of that name."""
    if not is_name(text, longest=MAX_PART) or _SEPARATORS.search(text) or _DRIVE.match(text):
        return False
    return text not in (".", "..")


def path_part(text: str, *, default: str, longest: int = MAX_PART) -> str:
    """The text as one part of a path: what may not be in one is replaced by _; `default` where nothing is left."""
    kept = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in text)
    kept = kept.encode("utf-8")[:longest].decode("utf-8", errors="ignore")
    return kept if is_path_part(kept) else default
