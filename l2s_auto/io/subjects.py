"""Who a case belongs to, so that the scans of one person stay on one side of a split."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io.case_files import case_id, pair_key
from l2s_auto.io.folders import require_file_or_nothing
from l2s_auto.io.volumes import case_name

_BIDS = re.compile(r"^(sub-[A-Za-z0-9]+)")


def read_subjects(folder: Path, cases: Collection[str]) -> dict[str, str]:
    """case -> subject from the folder's subjects.csv or subjects.tsv; empty if there is none. Raises UserError.

    Cases may be written with the ending of their files. A row of no case is an error: a slip of the pen there would put
    scans of one person on both sides of a split.
    """
    for name in ("subjects.csv", "subjects.tsv"):
        require_file_or_nothing(folder / name)
    path = next((folder / name for name in ("subjects.csv", "subjects.tsv") if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError.single(
            "The table of subjects cannot be read.",
            where=str(path),
            found=str(error),
            expected="a table in UTF-8",
            mend="Save it again as UTF-8 text.",
        ) from error
    first = text.partition("\n")[0]
    delimiter = "\t" if path.suffix == ".tsv" or "\t" in first else ";" if ";" in first else ","
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    columns = [column.strip() for column in rows.fieldnames or ()]
    if not {"case", "subject"} <= set(columns):
        raise UserError.single(
            "The table of subjects cannot be used.",
            where=str(path),
            found=f"the columns {', '.join(columns) or '(none)'}",
            expected="the columns case and subject",
            mend="Name the columns case,subject in the first line.",
        )
    rows.fieldnames = columns
    known = {pair_key(case): case for case in cases}
    table = {}
    for row in rows:
        name = case_name((row["case"] or "").strip())
        table[known.get(pair_key(case_id(name)), name)] = (row["subject"] or "").strip()
    strange = sorted(set(table) - set(cases) - {""})
    if strange:
        raise UserError.single(
            "The table of subjects names cases that are not there.",
            where=str(path),
            found=", ".join(strange[:20]) + (", …" if len(strange) > 20 else ""),
            expected="names of cases of the dataset" + (f", such as {min(cases)}" if cases else ""),
            mend="Correct the names, or remove the rows.",
        )
    return table


def subject_of(case: str, table: dict[str, str]) -> str:
    """The table's subject, else the BIDS prefix sub-XXX of the case's name, else empty."""
    if table.get(case):
        return table[case]
    match = _BIDS.match(case)
    return match[1] if match else ""
