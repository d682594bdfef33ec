"""Which scans are to be segmented, and where each result goes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from l2s_auto.core.errors import UserError
from l2s_auto.core.shell import command_line
from l2s_auto.core.types import Case
from l2s_auto.io.dicom_select import selected
from l2s_auto.io.inventory import Unused
from l2s_auto.io.scans import FoundScans, listed_series, search_scans
from l2s_auto.io.volumes import WRITABLE_SUFFIXES, files_of, volume_suffix

DEFAULT_SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class Job:
    """One scan and the file of its segmentation.

    like   the scan whose header the result takes over as far as the formats agree; None for a folder (DICOM)
    notes  what a user should know of the scan, in addition to what its reader says
    """

    case: Case
    output: Path
    like: Path | None
    notes: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        return os.path.isfile(self.output)

    @property
    def is_outdated(self) -> bool:
        """Whether the scan was changed after its segmentation was made."""
        made = self.output.stat().st_mtime
        paths = [file for path in self.case.images for file in ([path] if selected(path) is None else files_of(path))]
        return any(os.path.exists(path) and os.path.getmtime(path) > made for path in paths)


@dataclass(frozen=True)
class Jobs:
    """The scans of one call, and the folder of the tables that all calls with this output share.

    refused  scans that cannot be told apart, and why
    unused   what looks like a scan in the input and is not used
    listing  lines about scans that were found in folders below the input
    """

    folder: Path
    jobs: tuple[Job, ...]
    refused: tuple[tuple[Job, UserError], ...] = ()
    unused: tuple[Unused, ...] = ()
    listing: tuple[str, ...] = ()


def find_jobs(input: Path, output: Path, *, channels: int, part: tuple[int, int] = (1, 1)) -> Jobs:
    """Scans below `input` and their outputs; of n parts, the i-th has every n-th scan, beginning with the i-th.

    input, output  both files, or both folders; a DICOM folder goes to either, and so does one series of a folder
    Raises UserError if they do not go together, or if results would overwrite scans or each other.
    """
    _check_part(part)
    _check_input(input)
    to_file = _suffix(output) is not None
    is_series = selected(input) is not None
    if not is_series and input.is_file() != to_file and not (input.is_dir() and to_file):
        _refuse_mixture(input, output)
    _check_output(input, output, to_file=to_file)
    index, count = part
    found = search_scans(input, channels, skip=(output,))
    if to_file:
        if found.series and (len(found.cases) != 1 or found.refused):
            _refuse_several(input, output, found)
        if len(found.cases) != 1 or found.refused or not (input.is_file() or _is_series(found.cases[0])):
            _refuse_mixture(input, output)
        jobs = [_job(found.cases[0], output, found)] if index == 1 else []
        return Jobs(output.parent, tuple(jobs), unused=found.unused, listing=found.listing)
    jobs = [_job(case, output / f"{case.id}{_output_suffix(case)}", found) for case in found.cases]
    refused = [(_job(case, output / f"{case.id}{_output_suffix(case)}", found), error) for case, error in found.refused]
    return Jobs(
        output, tuple(jobs[index - 1 :: count]), tuple(refused[index - 1 :: count]), found.unused, found.listing
    )


def _job(case: Case, output: Path, found: FoundScans) -> Job:
    first = case.images[0]
    return Job(case, output, first if os.path.isfile(first) else None, found.notes.get(case.id, ()))


def _is_series(case: Case) -> bool:
    """Whether it is a folder of DICOM files, or one series of such."""
    return os.path.isdir(case.images[0]) or selected(case.images[0]) is not None


def _suffix(path: Path) -> str | None:
    """The suffix of a format that results can be written in; None if there is none."""
    suffix = volume_suffix(path)
    return suffix if suffix in WRITABLE_SUFFIXES else None


def _output_suffix(case: Case) -> str:
    suffix = _suffix(case.images[0])
    return suffix if suffix and not os.path.isdir(case.images[0]) else DEFAULT_SUFFIX


def _check_part(part: tuple[int, int]) -> None:
    index, count = part
    if not 1 <= index <= count:
        raise UserError.single(
            "There is no such part.",
            where="--part",
            found=f"{index}/{count}",
            expected="I/N with I from 1 to N",
            mend="Give each job of N its own I from 1 to N.",
        )


def _check_input(input: Path) -> None:
    if selected(input) is None and not input.exists():
        raise UserError.single(
            "The input is not there.",
            where=f"-i {input}",
            found="no such file or folder",
            expected="a scan or a folder of scans",
            mend="Correct the path.",
        )


def _check_output(input: Path, output: Path, *, to_file: bool) -> None:
    """Refuse an output that is the input, that is of the other kind, or whose folder cannot be made."""
    same = output.exists() and selected(input) is None and output.samefile(input)
    found = None
    if same:
        found = "the same as the input"
    elif to_file and output.is_dir():
        found = "a folder of that name"
    elif not to_file and output.exists() and not output.is_dir():
        found = "a file of that name"
    else:
        blocking = next((p for p in output.parents if p.exists()), None)
        if blocking is not None and not blocking.is_dir():
            found = f"{blocking} is a file"
    if found:
        raise UserError.single(
            "The result cannot be written there.",
            where=f"-o {output}",
            found=found,
            expected="a new file, or a folder other than the input's",
            mend="Name another output.",
        )


def _refuse_several(input: Path, output: Path, found: FoundScans) -> NoReturn:
    """Of a folder with several DICOM series one file cannot be made; each series can be named."""
    path = next(iter(found.series))
    raise UserError.single(
        "Several DICOM series cannot go into one file.",
        where=f"-i {input}",
        found=f"{len(found.cases) + len(found.refused)} scans: {'; '.join(listed_series(found))}",
        expected="one series, or a folder for the results of all",
        mend=f"Repeat the command with one of them, such as: {command_line(('-i', path, '-o', output))}",
    )


def _refuse_mixture(input: Path, output: Path) -> NoReturn:
    kind = "a folder" if input.is_dir() else "a file"
    known = ", ".join(WRITABLE_SUFFIXES)
    raise UserError.single(
        "Input and output do not go together.",
        where="-i and -o",
        found=f"{input} ({kind}) and {output}",
        expected=f"two files or two folders; the name of an output file ends with one of {known}",
        mend="Name a folder for the results of a folder, and a file for the result of a file.",
    )
