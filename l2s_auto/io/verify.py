"""Reads every case of a dataset once and reports everything that is wrong in one message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.types import Case, Dataset, Volume
from l2s_auto.io.case_files import channel_of
from l2s_auto.io.case_reader import CaseReader
from l2s_auto.io.content import copies
from l2s_auto.io.geometry import corner_offset, default_tolerance
from l2s_auto.io.label_like import look_of
from l2s_auto.io.labels import values_of
from l2s_auto.io.notes import NO_ORIENTATION, Note, sentences
from l2s_auto.io.parallel import Progress, map_cases
from l2s_auto.io.plausible import Looked, compared, content_of, copy_offence, is_copy, look_at, same_images
from l2s_auto.io.stray_labels import place_of

LOGGER = logging.getLogger("l2s_auto")
MANY_VALUES = 60  # label maps with more are looked at: whether they are images
MINIMUM_CASES = 2  # one to train with, one to hold out

Shape = tuple[int, ...]
Grid = tuple[Shape, np.ndarray]
Found = TypeVar("Found")


def verify_dataset(
    dataset: Dataset,
    *,
    minimum: int = MINIMUM_CASES,
    tolerance_mm: float | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> None:
    """Read every training case and raise one UserError that names all offenders, or return.

    minimum       of cases
    tolerance_mm  how far corner voxels of a case's files may lie apart; None = a tenth of the smallest voxel edge, at
                  most 0.1 mm
    workers, progress  as in map_cases
    """
    verify_and_look(dataset, _nothing, minimum=minimum, tolerance_mm=tolerance_mm, workers=workers, progress=progress)


def verify_and_look(
    dataset: Dataset,
    look: Callable[[int, Case, CaseReader], Found],
    *,
    minimum: int = MINIMUM_CASES,
    tolerance_mm: float | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> list[Found]:
    """Verify a dataset, and look at each case that is right while its files are in memory -> what was seen.

    What reading had to assume of the files is said once, in the log.

    look  (number of the case, the case, the reader of its files) -> anything; importable by name if workers > 0
    The rest as in verify_dataset.
    """
    offences = _dataset_offences(dataset, minimum)
    expects_images = any(case.images for case in dataset.cases)
    check = partial(
        _check_and_look,
        look=look,
        channels=len(dataset.channels) if expects_images else 0,
        values=frozenset({*dataset.labels, *([] if dataset.ignore is None else [dataset.ignore])}),
        tolerance_mm=tolerance_mm,
        names=dataset.channels,
    )
    seen, labelled = [], False
    notes: list[Note] = []
    repairs: list[Note] = []
    looks: list[Looked] = []
    jobs = list(enumerate(dataset.cases))
    for looked, assumed, anything, of_case in map_cases(check, jobs, name=_name, workers=workers, progress=progress):
        offences.extend(looked.offences)
        looks.append(looked)
        repairs.extend((looked.case, note) for note in looked.notes)
        notes.extend(assumed)
        labelled = labelled or anything
        seen.append(of_case)
    strange, about_all = compared([impression for looked in looks for impression in looked.impressions])
    offences.extend(strange)
    about_all += same_images(looks)
    for sentence in (*sentences(notes), *(() if offences else (*sentences(repairs), *about_all))):
        LOGGER.warning("%s", sentence)
    if not offences and not labelled:
        folder, mend = dataset.cases[0].label or dataset.folder, "Draw the structures in some of them."
        offences.append(_offence(folder, "label maps that are 0 everywhere", "labelled voxels in some", mend))
    if offences:
        noun = "problem" if len(offences) == 1 else "problems"
        raise UserError(f"The dataset {dataset.name} has {len(offences)} {noun}.", offences)
    return [of_case for of_case in seen if of_case is not None]


def _nothing(number: int, case: Case, files: CaseReader) -> None:
    """What there is to look at where a dataset is verified alone."""


def _check_and_look(
    job: tuple[int, Case],
    *,
    look: Callable[[int, Case, CaseReader], Found],
    channels: int,
    values: frozenset[int],
    tolerance_mm: float | None,
    names: tuple[str, ...],
) -> tuple[Looked, list[Note], bool, Found | None]:
    """What is wrong with a case, what was assumed of its files, whether it has labelled voxels, and what was seen."""
    number, case = job
    files = CaseReader()
    looked = check_case(case, channels=channels, values=values, tolerance_mm=tolerance_mm, files=files, names=names)
    notes = [(path.name, note) for path, assumed in files.notes.items() for note in assumed]
    if looked.offences:
        return looked, notes, False, None
    assert case.label is not None, "a case without a label map is an offence"
    return looked, notes, bool(files.label_map(case.label)[0].any()), look(number, case, files)


def _name(job: tuple[int, Case]) -> str:
    return job[1].id


def _dataset_offences(dataset: Dataset, minimum: int) -> list[Offence]:
    offences = []
    if len(dataset.cases) < minimum:
        offences.append(
            Offence(
                where=str(dataset.folder),
                found=f"{len(dataset.cases)} case" if len(dataset.cases) == 1 else "no cases",
                expected=f"at least {minimum}",
                mend="Add labelled cases: one is held out for validation, unless all are trained on (--fold all).",
            )
        )
    training = {case.id for case in dataset.cases}
    for case in dataset.test_cases:
        if case.id in training:
            found, mend = "of the name of", "Remove it from one of the two folders, or rename it if it is another scan."
            offences.append(_seen(case, f"{found} the training case {case.id}", mend))
    for case, other in copies(dataset.test_cases, dataset.cases):
        if case.id != other.id:
            mend = "Remove it from one of the two folders."
            offences.append(_seen(case, f"that is a copy of the training case {other.id}", mend))
    return offences


def _seen(case: Case, found: str, mend: str) -> Offence:
    return _offence(case.images[0], f"a test case {found}", "a case that training does not see", mend)


def check_case(
    case: Case,
    *,
    channels: int,
    values: frozenset[int],
    files: CaseReader,
    tolerance_mm: float | None = None,
    names: tuple[str, ...] = (),
) -> Looked:
    """Everything that is wrong with one case, and what its images look like.

    channels  0 where the dataset has no images
    names     of the channels
    """
    offences = _missing_files(case, channels=channels)
    grids: list[tuple[Path, Grid]] = []
    images: list[tuple[Path, Volume]] = []
    looks: list[Looked] = []
    for path in _of_right_channels(case, channels, offences, files):
        try:
            volume = files.image(path)
        except UserError as error:
            offences.extend(error.offences)
            continue
        grids.append((path, (volume.data.shape[1:], volume.affine)))
        images.append((path, volume))
    labels: np.ndarray | None = None
    if case.label is not None:
        grid = _check_label(case.label, values, offences, files)
        if grid is not None:
            grids.append((case.label, grid))
            labels = files.label_map(case.label)[0]
    for path, volume in images:
        if case.label is not None and labels is not None and is_copy(volume, labels):
            looks.append(Looked((copy_offence(path, case.label),)))
        else:
            looks.append(look_at(path, volume, _names_in(path, case, names)))
    offences.extend(offence for look in looks for offence in look.offences)
    if grids:
        reference, first = grids[0]
        for path, grid in grids[1:]:
            vague = _without_orientation(path, reference, files)
            offences.extend(_compare(path, grid, reference, first, tolerance_mm, vague=vague))
    return Looked(
        tuple(offences),
        tuple(dict.fromkeys(note for look in looks for note in look.notes)),
        tuple(impression for look in looks for impression in look.impressions),
        case=case.id,
        content=content_of(images[0][1].data[0] if images else None, labels),
    )


def _names_in(path: Path, case: Case, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a file's channels, for a case with one file a channel, or with one file."""
    number = channel_of(path)[1] if _numbered(case) else case.images.index(path)
    return names[number or 0 :]


def _of_right_channels(case: Case, channels: int, offences: list[Offence], files: CaseReader) -> list[Path]:
    """The images whose voxels are worth reading: those with as many channels as they should have.

    A file with too many of them may be larger than the memory. What is wrong is added to offences.
    """
    counts: dict[Path, int] = {}
    for path in case.images:
        try:
            counts[path] = files.channels(path)
        except UserError as error:
            offences.extend(error.offences)
    mend = "Give every case the same channels."
    if _numbered(case):
        several = [path for path, count in counts.items() if count != 1]
        for path in several:
            offences.append(_offence(path, f"{counts[path]} channels", "1 in a file with a channel's number", mend))
        return [path for path in counts if path not in several]
    if len(counts) == len(case.images) and sum(counts.values()) != channels and counts:
        offences.append(_offence(case.images[0], f"{sum(counts.values())} channels", f"{channels}", mend))
        return []
    return [path for path, count in counts.items() if count <= channels]


def _offence(where: Path | str, found: str, expected: str, mend: str) -> Offence:
    return Offence(where=str(where), found=found, expected=expected, mend=mend)


def _numbered(case: Case) -> bool:
    """Whether the case has one file a channel, with the channel's number behind the name of the case."""
    return all(channel_of(path) == (case.id, channel_of(path)[1]) for path in case.images) and all(
        channel_of(path)[1] is not None for path in case.images
    )


def _missing_files(case: Case, *, channels: int) -> list[Offence]:
    offences = []
    if case.label is None:
        mend = "Add the label map under the image's name, or remove the image."
        offences.append(_offence(case.images[0], "no label map", f"a label map named {case.id}", mend))
    if not case.images and channels:
        mend = "Add the image under the label map's name, or remove the label map."
        assert case.label is not None, "a case has an image or a label map"
        offences.append(_offence(case.label, "no image", f"an image named {case.id} or {case.id}_0000", mend))
    if case.images and _numbered(case):
        numbers = [channel_of(path)[1] for path in case.images]
        missing = [f"{case.id}_{n:04d}" for n in range(channels) if n not in numbers]
        surplus = [path.name for path, n in zip(case.images, numbers, strict=True) if n is not None and n >= channels]
        if missing:
            mend = "Add the missing channel, or remove the case."
            folder = case.images[0].parent
            offences.append(_offence(folder, f"no {', '.join(missing)}", f"{channels} channels a case", mend))
        if surplus:
            mend = "Remove the file, or declare the channel."
            offences.append(_offence(case.images[0].parent, ", ".join(surplus), f"channels below {channels}", mend))
    return offences


def _check_label(path: Path, values: frozenset[int], offences: list[Offence], files: CaseReader) -> Grid | None:
    """The label map's grid, or None if it cannot be read; what is wrong is added to offences."""
    try:
        labels, affine = files.label_map(path)
    except UserError as error:
        offences.extend(error.offences)
        return None
    found = values_of(labels)
    if len(found) > MANY_VALUES and look_of(labels).is_image:
        mend = "Put the label map of this case there; if folders are exchanged, exchange their names."
        seen = f"an image: {len(found):,} values, scattered over the voxels"
        offences.append(_offence(path, seen, "a label map", mend))
        return labels.shape, affine
    unknown = [value for value in found if value not in values and value != 0]
    if unknown:
        counts = ", ".join(f"{value} ({int((labels == value).sum())} voxels)" for value in unknown[:10])
        declared = ", ".join(map(str, sorted(values)[:20])) + (", …" if len(values) > 20 else "")
        mend = "Declare the value under labels in dataset.json, or correct the label map"
        mend += f" (value {unknown[0]}: e.g. {place_of(labels, unknown[0])})."
        offences.append(_offence(path, f"the label value {counts}", f"the declared values {declared}", mend))
    return labels.shape, affine


def _without_orientation(path: Path, reference: Path, files: CaseReader) -> str:
    """A sentence about two files of a case, of which one or both do not say how they lie; empty if both do."""
    vague = [
        file.name
        for file in (path, reference)
        if any(note.startswith(NO_ORIENTATION) for note in files.notes.get(file, ()))
    ]
    return f" The header of {' and of '.join(vague)} gives no orientation, so that one was assumed." if vague else ""


def _compare(
    path: Path, grid: Grid, reference: Path, first: Grid, tolerance_mm: float | None, *, vague: str = ""
) -> list[Offence]:
    """Offences of `path` against the first file of its case: shape, then affine.

    vague  a sentence for `mend`, where a header does not say how its file lies
    """
    if grid[0] != first[0]:
        mend = f"Resample it onto the grid of {reference.name}."
        expected = f"the shape of {reference.name}, {_times(first[0])}"
        return [_offence(path, f"the shape {_times(grid[0])}", expected, mend)]
    tolerance = default_tolerance(first[1]) if tolerance_mm is None else tolerance_mm
    distance, vector = corner_offset(grid[0], first[1], grid[1])
    if distance <= tolerance:
        return []
    x, y, z = (f"{component:+.3g}" for component in vector)
    return [
        _offence(
            path,
            f"a grid whose corner lies {distance:.3g} mm away from that of {reference.name} "
            f"({x} mm right, {y} mm anterior, {z} mm superior)",
            f"at most {tolerance:.3g} mm",
            f"If the voxels match, copy the affine of {reference.name} into it; if not, resample it onto that grid."
            f"{vague}",
        )
    ]


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape))
