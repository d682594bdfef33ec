"""Which labels to compare: those of a model, or of a JSON file."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.errors import Offence, UserError


def read_labels(*, model: Path | None, file: Path | None) -> dict[int, str]:
    """Value -> name, background left out, from exactly one of a model and a file.

    file  nnU-Net's dataset.json, or {name: value} alone, or {value: name}
    Raises UserError if the file has no such labels.
    """
    assert (model is None) != (file is None), "exactly one source of labels"
    if model is not None:
        from l2s_auto.inference.load import load_model

        return {label.value: label.name for label in load_model(model).plan.labels if label.value != 0}
    assert file is not None
    from l2s_auto.io.json_files import read_json

    content = read_json(file)
    entries = content.get("labels", content) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise UserError("The file names no labels.", [_offence(file, "no labels", "a name and a value for each label")])
    labels: dict[int, str] = {}
    wrong: list[Offence] = []
    for key, value in entries.items():
        pair = _pair(key, value)
        if pair is None:
            wrong.append(_offence(file, f"{key!r}: {value!r}", "a name and one whole number"))
        elif pair[0] in labels:
            wrong.append(_offence(file, f"{pair[0]} for {labels[pair[0]]!r} and {pair[1]!r}", "each value once"))
        else:
            labels[pair[0]] = pair[1]
    if wrong:
        raise UserError("Labels cannot be understood.", wrong)
    return {value: name for value, name in labels.items() if value != 0}


def _pair(key: str, value: object) -> tuple[int, str] | None:
    """(value, name) of an entry in either direction; None if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, key
    if isinstance(value, str) and key.removeprefix("-").isdecimal():
        return int(key), value
    return None


def _offence(file: Path, found: str, expected: str) -> Offence:
    return Offence(str(file), found, expected, 'Write {"labels": {"name": value, …}}.')
