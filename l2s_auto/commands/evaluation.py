"""Where an evaluation is written: decided, and refused, before anything is compared."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io import origin, ownership
from l2s_auto.io.atomic import unfinished
from l2s_auto.io.places import dataset_folder, require_outside_of_datasets

METRICS = "metrics.json"


def metrics_path(predictions: Path, references: Path, output: Path | None, *, overwrite: bool) -> Path:
    """The file for the metrics: `output`, or metrics.json beside the predictions.

    UserError unless it can be written, and replaces nothing but the metrics of an earlier call on the same files.
    """
    if output is not None:
        require_outside_of_datasets(output)
    folder = predictions if predictions.is_dir() else predictions.parent
    place = output or folder / METRICS
    if output is None and (dataset := dataset_folder(place)) is not None:
        raise UserError.single(
            "The predictions are images or label maps of a dataset, which nothing is written to.",
            where=f"-p {predictions}",
            found=f"the folder {dataset} of the dataset {dataset.parent}",
            expected="segmentations with -p, and what they are compared with, such as labelsTr, with -r",
            mend="If -p and -r are exchanged, exchange them. If not, name a file for the metrics with -o.",
        )
    found = ownership.what_is_at(place)
    if found is not None and (found == "a folder" or ownership.input_at(place) is not None):
        _refuse(place, found, "a file that is not read", "Name another file with -o.")
    known = found is None or (found == "a file" and origin.is_own(place, [predictions, references]))
    if not known and not overwrite:
        found = "a file that is no evaluation of these folders, or was changed since" if found == "a file" else found
        expected = "nothing, or the metrics of the same predictions and references"
        _refuse(place, str(found), expected, "Name another file with -o, or replace this one with --overwrite.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        trial = place.parent / unfinished("trial")
        trial.write_bytes(b"")
        ownership.discard(trial)
    except OSError as error:
        _refuse(place, error.strerror or str(error), "a folder that can be written", "Name another file with -o.")
    return place


def files_read(*places: Path | None) -> list[Path]:
    """Files of predictions, references, labels and model, which the metrics never take the place of."""
    found = []
    for place in places:
        if place is not None and place.is_dir():
            found += [file for file in place.iterdir() if file.is_file() and file.name != METRICS]
        elif place is not None:
            found.append(place)
    return found


def _refuse(place: Path, found: str, expected: str, mend: str) -> None:
    raise UserError.single(
        "The metrics cannot be written.", where=str(place), found=found, expected=expected, mend=mend
    )
