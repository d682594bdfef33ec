"""What had to be assumed of many files, said once: one sentence per assumption, with the names of the files."""

from __future__ import annotations

from collections.abc import Iterable

from l2s_auto.core.errors import some_of

#: How the sentence begins about a file that does not say how it lies in space.
NO_ORIENTATION = "The header gives no orientation"
#: (file or case, what was assumed)
Note = tuple[str, str]


def sentences(notes: Iterable[Note]) -> list[str]:
    """One line per assumption, in the order in which they came first; a few names each, and how many more."""
    names: dict[str, list[str]] = {}
    for name, assumption in dict.fromkeys(notes):
        names.setdefault(assumption, []).append(name)
    return [f"{_files(found)}: {assumption}" for assumption, found in names.items()]


def _files(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} scans ({some_of(names, most=3)})"
