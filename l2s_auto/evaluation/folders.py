"""Scores a folder of segmentations, or a single one, against references in any accepted format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import Offence, UserError, some_of
from l2s_auto.core.surface_dice import TOLERANCE
from l2s_auto.evaluation.direction import check_direction
from l2s_auto.evaluation.metrics import evaluate_case, summarise
from l2s_auto.evaluation.surface_distance import voxel_tolerance
from l2s_auto.io.case_files import case_id, list_scans, pair_key, require_distinct
from l2s_auto.io.geometry import corner_offset, default_tolerance
from l2s_auto.io.inventory import LABELS, describe, take_inventory
from l2s_auto.io.label_like import look_of
from l2s_auto.io.labels import values_of
from l2s_auto.io.origin import with_origin
from l2s_auto.io.parallel import Progress, map_cases
from l2s_auto.io.volumes import case_name, read_label_map

Pair = tuple[str, Path, Path]


def evaluate_folders(
    predictions: str | os.PathLike[str],
    references: str | os.PathLike[str],
    labels: Mapping[int, str],
    *,
    regions: Mapping[str, Sequence[int]] | None = None,
    ignore: int | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of metrics.json for two folders, matched by the files' names without suffix, or for two files.

    labels   value -> name; background (0) is not scored
    regions, ignore  as in `evaluate_case`
    workers, progress  as in map_cases

    `made_by` holds hashes, by which the file is known as an evaluation of these folders again.
    Raises UserError naming all offenders: a prediction without reference, a reference without prediction, files that
    cannot be read or are not label maps, grids that differ. Values that are not in `labels` are named in the notes.
    """
    pairs, offences = _match(Path(predictions), Path(references))
    notes = check_direction(Path(predictions), Path(references), pairs)
    notes += _unused(Path(predictions), Path(references))
    score = partial(_score, labels=dict(labels), regions=dict(regions or {}), ignore=ignore)
    results = map_cases(score, pairs, name=itemgetter(0), workers=workers, progress=progress)
    for result in results:
        offences.extend(result["offences"])
    if offences:
        raise UserError("The predictions cannot be evaluated.", offences)
    summary = summarise(results)
    summary["notes"] = [*notes, *summary["notes"], *(note for result in results for note in result["notes"])]
    return with_origin(summary, [Path(predictions), Path(references)])


def _match(predictions: Path, references: Path) -> tuple[list[Pair], list[Offence]]:
    missing = [
        Offence(where=str(path), found="nothing", expected="a label map or a folder of them", mend="Correct the path.")
        for path in (predictions, references)
        if not os.path.exists(path)
    ]
    if missing:
        raise UserError("There is nothing to evaluate.", missing)
    if os.path.isfile(predictions) != os.path.isfile(references):
        raise UserError.single(
            "The predictions cannot be evaluated.",
            where=f"{predictions} and {references}",
            found="a file and a folder",
            expected="two files or two folders",
            mend="Give both as files, or both as folders.",
        )
    if os.path.isfile(predictions):
        return [(case_name(predictions), predictions, references)], []
    return _match_folders(predictions, references)


def _match_folders(predictions: Path, references: Path) -> tuple[list[Pair], list[Offence]]:
    found = {}
    for folder in (predictions, references):
        paths = list_scans(folder)
        require_distinct(paths)
        found[folder] = {pair_key(case_id(case_name(path))): path for path in paths}
    first, second = found[predictions], found[references]
    offences = [
        Offence(
            where=str(path),
            found=f"no {kind} of that name",
            expected=f"a file named {case_name(path)} in {folder}",
            mend=mend,
        )
        for here, there, folder, kind, mend in (
            (first, second, references, "reference", "Add the reference, or move this prediction elsewhere."),
            (second, first, predictions, "prediction", "Segment this case too, or move its reference elsewhere."),
        )
        for name, path in here.items()
        if name not in there
    ]
    for folder in (predictions, references):
        if not found[folder]:
            unused = describe(take_inventory(folder, kind=LABELS, depth=0).unused, folder)
            expected = "label maps in NIfTI, NRRD, MetaImage or MGH"
            offences.insert(
                0, Offence(str(folder), ". ".join(["no label maps", *unused]), expected, "Correct the path.")
            )
    names = sorted(first.keys() & second.keys())
    return [(case_id(case_name(first[name])), first[name], second[name]) for name in names], offences


def _unused(*folders: Path) -> list[str]:
    """What looks like a label map in the folders and is not compared, a sentence a reason and folder."""
    notes = []
    for folder in folders:
        if os.path.isdir(folder):
            unused = take_inventory(folder, kind=LABELS, depth=0).unused
            notes += [f"{folder}: {line}." for line in describe(unused, folder)]
    return notes


def _score(
    pair: Pair, *, labels: dict[int, str], regions: dict[str, Sequence[int]], ignore: int | None
) -> dict[str, Any]:
    """{"case", "labels", "notes", "offences"} of one pair; labels is empty where there are offences."""
    case, prediction_path, reference_path = pair
    offences: list[Offence] = []
    maps: list[tuple[np.ndarray, np.ndarray]] = []
    for path in (prediction_path, reference_path):
        try:
            maps.append(read_label_map(path))
        except UserError as error:
            offences.extend(error.offences)
    if not offences:
        offences.extend(_images(zip((prediction_path, reference_path), maps, strict=True)))
    if not offences:
        offences.extend(_grid_offences(prediction_path, reference_path, maps))
    if offences:
        return {"case": case, "labels": {}, "notes": [], "offences": offences}
    (prediction, _), (reference, affine) = maps
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    notes = []
    for kind, array in (("prediction", prediction), ("reference", reference)):
        unknown = [value for value in values_of(array) if value not in (0, ignore) and value not in labels]
        if unknown:
            notes.append(f"{case}: the {kind} holds values without a name, not scored: {some_of([*map(str, unknown)])}")
    scores = evaluate_case(prediction, reference, tuple(map(float, spacing)), labels, regions=regions, ignore=ignore)
    tolerance = voxel_tolerance(reference.shape, spacing.tolist())
    return {"case": case, TOLERANCE: tolerance, "labels": scores, "notes": notes, "offences": []}


def _images(maps: Iterable[tuple[Path, tuple[np.ndarray, np.ndarray]]]) -> list[Offence]:
    """Images in place of label maps, of which thousands of values would not be scored."""
    looks = [(path, look_of(array)) for path, (array, _) in maps]
    return [
        Offence(str(path), f"an image: {look.values:,} values, scattered", "a label map", "Give the scan's label map.")
        for path, look in looks
        if look.is_image
    ]


def _grid_offences(prediction: Path, reference: Path, maps: list[tuple[np.ndarray, np.ndarray]]) -> list[Offence]:
    shape, affine = maps[0][0].shape, maps[0][1]
    expected_shape, expected_affine = maps[1][0].shape, maps[1][1]
    mend = f"Segment the scan on whose grid {reference} lies, or resample one of the two."
    if shape != expected_shape:
        return [Offence(str(prediction), f"the shape {shape}", f"{expected_shape}, as in {reference}", mend)]
    tolerance = default_tolerance(expected_affine)
    distance, _ = corner_offset(shape, expected_affine, affine)
    if distance <= tolerance:
        return []
    found = f"a grid whose corner lies {distance:.3g} mm away from that of {reference}"
    return [Offence(str(prediction), found, f"at most {tolerance:.3g} mm", mend)]
