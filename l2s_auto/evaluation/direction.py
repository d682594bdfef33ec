"""Whether predictions and references were exchanged: known by the manifest of a prediction, and by a dataset's folders.

Dice, HD95 and NSD are the same both ways. The volume error, which is relative to the reference, is not, nor are the
scores where one of the two has none of a label.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io.content import hash_of_file
from l2s_auto.io.inventory import results_in
from l2s_auto.io.places import dataset_folder

#: Files whose hashes are compared with those of the manifest.
_COMPARED = 50
_CHANGES = "Dice, HD95 and NSD stay the same, but the volume error and the scores of missing labels do not."


def check_direction(predictions: Path, references: Path, pairs: Iterable[tuple[str, Path, Path]]) -> list[str]:
    """Notes on which of the two look exchanged. UserError where there is no doubt.

    No doubt: all references are what `l2s_predict` wrote, and the predictions are the label maps of a dataset.
    """
    pairs = list(pairs)[:_COMPARED]
    if not pairs:
        return []
    written = [_wrote(reference) for _, _, reference in pairs]
    if not any(written):
        return _on_label_maps(predictions, references)
    if all(_wrote(prediction) for _, prediction, _ in pairs):
        return [f"Both folders hold results of l2s_predict; {references} is taken as the reference."]
    if all(written) and _is_label_folder(predictions):
        raise UserError.single(
            "Predictions and references are exchanged.",
            where="-p and -r",
            found=f"label maps of a dataset as predictions ({predictions}), "
            f"and results of l2s_predict as references ({references})",
            expected="the results with -p, and the label maps drawn by hand with -r",
            mend=f"Exchange the two. {_CHANGES}",
        )
    count = sum(written)
    return [
        f"{count} of {len(written)} references are results of l2s_predict ({references}), and the predictions are not. "
        f"If the two were exchanged: {_CHANGES}"
    ]


def _on_label_maps(predictions: Path, references: Path) -> list[str]:
    if not _is_label_folder(predictions) or _is_label_folder(references):
        return []
    return [
        f"The predictions are label maps of a dataset ({predictions}). "
        f"If predictions and references were exchanged: {_CHANGES}"
    ]


def _is_label_folder(path: Path) -> bool:
    folder = dataset_folder(path)
    return folder is not None and folder.name.lower().startswith("labels")


def _wrote(path: Path) -> bool:
    """Whether a prediction wrote this file, and nobody has changed it since: its manifest knows the hash."""
    try:
        return os.path.isfile(path) and hash_of_file(path) in results_in(path.parent).get(path.name, ())
    except (OSError, TypeError):
        return False
