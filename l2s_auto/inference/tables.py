"""Tables in CSV to which several jobs add rows: read, replace the own cases' rows, write whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from l2s_auto.core.errors import UserError
from l2s_auto.io import ownership
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.cells import kept_cell, plain_cell, safe_cell
from l2s_auto.io.folders import require_no_pipe
from l2s_auto.io.lock import only_one_writer as locked

__all__ = ["CASE", "Row", "changed_table", "locked", "merge_rows", "read_table", "write_table"]

Row = dict[str, str]
CASE = "case"


def read_table(path: Path) -> tuple[list[str], list[Row]]:
    """Column names and rows of a table; both empty if there is no file. UserError if it is not a table of cases."""
    columns, rows = _read_cells(path)
    return (
        [plain_cell(name) for name in columns],
        [{plain_cell(name): plain_cell(cell) for name, cell in row.items()} for row in rows],
    )


def changed_table(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, object]],
    *,
    replace: Collection[str],
    overwrite: bool = False,
) -> str | None:
    """The text of the table with `rows` in place of all rows of the cases in `replace`, sorted by case.

    Columns that the table has beyond `columns` are kept, empty in the new rows. None for a table without rows.
    overwrite  whether a file that is no table of cases is replaced, rather than refused
    """
    try:
        old_columns, old_rows = _read_cells(path)
    except UserError:
        if not overwrite:
            raise
        old_columns, old_rows = [], []
    kept = [
        {kept_cell(name): kept_cell(cell) for name, cell in row.items()}
        for row in old_rows
        if plain_cell(row[CASE]) not in replace
    ]
    merged = [*kept, *({safe_cell(name): _cell(value) for name, value in row.items()} for row in rows)]
    if not merged:
        return None
    own = [safe_cell(name) for name in columns]
    names = [*own, *(name for name in map(kept_cell, old_columns) if name not in own)]
    merged.sort(key=lambda row: plain_cell(row[CASE]))  # stable: rows of one case keep their order
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, names, restval="")
    writer.writeheader()
    writer.writerows(merged)
    return sink.getvalue()


def write_table(path: Path, text: str | None) -> None:
    """Write what `changed_table` gave; a table without rows is removed."""
    if text is None:
        ownership.remove(path)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def merge_rows(
    path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, replace: Collection[str]
) -> None:
    """Put `rows` into a table that nobody else watches over, as `changed_table` has it."""
    with locked(path):
        write_table(path, changed_table(path, columns, rows, replace=replace))


def _read_cells(path: Path) -> tuple[list[str], list[Row]]:
    """As `read_table`, with names and cells as they stand in the file."""
    if not path.exists():
        return [], []
    try:
        require_no_pipe(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [{name: value for name, value in row.items() if name is not None} for row in reader]
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        _refuse(path, str(error), error)
    if columns and CASE not in columns:
        _refuse(path, f"the columns {', '.join(columns)}")
    return columns, rows


def _cell(value: object) -> str:
    """A cell: nothing for None, true or false, numbers with enough digits, text made safe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return safe_cell(value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _refuse(path: Path, found: str, cause: Exception | None = None) -> NoReturn:
    raise UserError.single(
        "A file has the name of a table that is to be written.",
        where=str(path),
        found=found,
        expected=f"no such file, or a table with the column {CASE!r} from an earlier prediction",
        mend="Move the file, choose another output folder, or replace it with --overwrite.",
    ) from cause
