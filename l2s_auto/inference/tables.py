"""Tables in CSV to which several jobs add rows: read, replace the own cases' rows, write whole."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from l2s_auto.core.errors import UserError
from l2s_auto.io.atomic import atomic_path

Row = dict[str, str]
CASE = "case"
#: A lock older than this was left by a job that was killed: holding one takes milliseconds.
STALE_SECONDS = 30.0


def read_table(path: Path) -> tuple[list[str], list[Row]]:
    """Column names and rows of a table; both empty if there is no file. UserError if it is not a table of cases."""
    if not path.exists():
        return [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [{name: value for name, value in row.items() if name is not None} for row in reader]
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        _refuse(path, str(error), error)
    if columns and CASE not in columns:
        _refuse(path, f"the columns {', '.join(columns)}")
    return columns, rows


def merge_rows(
    path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, replace: Collection[str]
) -> None:
    """Put `rows` into the table in place of all rows of the cases in `replace`; sorted by case.

    Columns that the table has beyond `columns` are kept, empty in the new rows. A table without rows is removed.
    """
    with locked(path):
        old_columns, old_rows = read_table(path)
        kept = [row for row in old_rows if row[CASE] not in replace]
        merged = [*kept, *({name: _text(value) for name, value in row.items()} for row in rows)]
        if not merged:
            path.unlink(missing_ok=True)
            return
        names = [*columns, *(name for name in old_columns if name not in columns)]
        merged.sort(key=lambda row: row[CASE])  # stable: rows of one case keep their order
        with (
            atomic_path(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(merged)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other jobs from changing `path` meanwhile, by a lock file that only one can make."""
    lock = path.with_name(f".{path.name}.lock")
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if _age(lock) > STALE_SECONDS:
                lock.unlink(missing_ok=True)
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since the file was made; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _text(value: object) -> str:
    """A cell: nothing for None, true or false, numbers with enough digits, text as it is."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _refuse(path: Path, found: str, cause: Exception | None = None) -> NoReturn:
    raise UserError.single(
        "A file has the name of a table that is to be written.",
        where=str(path),
        found=found,
        expected=f"no such file, or a table with the column {CASE!r} from an earlier prediction",
        mend="Move the file, or choose another output folder.",
    ) from cause
