"""A table of text that fits a terminal: columns that do not fit beside each other follow below."""

from __future__ import annotations

from collections.abc import Sequence

from l2s_auto.core.folding import WIDTH


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, kept: int = 1, width: int = WIDTH) -> str:
    """Headings and rows of as many cells -> lines of at most `width` columns, as far as single columns allow it.

    kept  first columns, aligned to the left, that each part of the table begins with
    """
    sizes = [max(len(line[column]) for line in (headings, *rows)) for column in range(len(headings))]
    start = sum(sizes[:kept]) + 2 * (kept - 1)
    parts: list[list[int]] = [[]]
    for column in range(kept, len(headings)):
        used = start + sum(sizes[c] + 2 for c in parts[-1])
        if parts[-1] and used + 2 + sizes[column] > width:
            parts.append([])
        parts[-1].append(column)

    def line(cells: Sequence[str], part: Sequence[int]) -> str:
        first = [cells[c].ljust(sizes[c]) for c in range(kept)]
        return "  ".join([*first, *(cells[c].rjust(sizes[c]) for c in part)]).rstrip()

    return "\n\n".join("\n".join(line(cells, part) for cells in (headings, *rows)) for part in parts)
