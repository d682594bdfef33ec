"""Which labels to compare: those of a model, or of a JSON file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from l2s_auto.core.errors import Offence, UserError

if TYPE_CHECKING:
    from l2s_auto.io.dataset_json import Labels

_MEND = 'Write {"labels": {"name": value, …}}.'


def read_labels(*, model: Path | None, file: Path | None) -> Labels:
    """Labels without background, regions and the ignore label, from exactly one of a model and a file.

    file  nnU-Net's dataset.json, or {name: value} alone, or {value: name}
    Raises UserError if the file has no such labels.
    """
    from l2s_auto.io.dataset_json import Labels, parse_labels

    assert (model is None) != (file is None), "exactly one source of labels"
    if model is not None:
        from l2s_auto.inference.load import load_model

        plan = load_model(model).plan
        return Labels({label.value: label.name for label in plan.labels if label.value != 0}, plan.regions, plan.ignore)
    assert file is not None
    from l2s_auto.io.json_files import read_json

    content = read_json(file)
    entries = content.get("labels", content) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        expected = "a name and a value for each label"
        raise UserError("The file names no labels.", [Offence(str(file), "no labels", expected, _MEND)])
    wrong: list[Offence] = []
    labels = parse_labels(entries, where=str(file), offences=wrong)
    if wrong:
        raise UserError("Labels cannot be understood.", [replace(offence, mend=_MEND) for offence in wrong])
    return replace(labels, names={value: name for value, name in labels.names.items() if value != 0})
