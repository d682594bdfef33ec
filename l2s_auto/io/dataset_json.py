"""nnU-Net's dataset.json: channels and labels in its present and its older form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.json_files import read_json
from l2s_auto.io.volumes import SUFFIXES


@dataclass(frozen=True)
class Declared:
    """What a dataset.json declares.

    channels  names in the order of their numbers
    labels    value -> name; None where the file declares none
    ending    suffix of the files; empty where the file declares none
    """

    channels: tuple[str, ...]
    labels: dict[int, str] | None
    ending: str
    name: str


def read_dataset_json(path: Path, *, complete: bool) -> Declared:
    """Read and check the file; with `complete`, channels and labels must be there. Raises UserError."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError("dataset.json cannot be used.", [_offence(path, "a list or a value", "an object {…}")])
    offences: list[Offence] = []
    channels = _channels(path, content, offences, required=complete)
    labels = _labels(path, content, offences, required=complete)
    ending = content.get("file_ending", "")
    if ending != "" and (not isinstance(ending, str) or ending.lower() not in SUFFIXES):
        offences.append(_offence(f"{path}, file_ending", repr(ending), f"one of {', '.join(SUFFIXES)}"))
    if offences:
        raise UserError("dataset.json cannot be used.", offences)
    return Declared(channels=channels, labels=labels, ending=ending, name=str(content.get("name", "")))


def _offence(where: Path | str, found: str, expected: str, mend: str = "Correct dataset.json.") -> Offence:
    return Offence(where=str(where), found=found, expected=expected, mend=mend)


def _channels(path: Path, content: dict[str, Any], offences: list[Offence], *, required: bool) -> tuple[str, ...]:
    key = "channel_names" if "channel_names" in content else "modality"
    if key not in content:
        if required:
            offences.append(_offence(path, "no channel_names", 'channel_names, e.g. {"0": "MRI"}'))
        return ()
    names = content[key]
    numbers = sorted(names, key=str) if isinstance(names, dict) else []
    if not isinstance(names, dict) or sorted(numbers) != sorted(str(n) for n in range(len(names))):
        expected = 'an object with the keys "0", "1", … in sequence, e.g. {"0": "MRI"}'
        offences.append(_offence(f"{path}, {key}", repr(names), expected))
        return ()
    return tuple(str(names[str(n)]) for n in range(len(names)))


def _labels(path: Path, content: dict[str, Any], offences: list[Offence], *, required: bool) -> dict[int, str] | None:
    if "labels" not in content:
        if required:
            expected = 'labels, e.g. {"background": 0, "tumour": 1}'
            offences.append(_offence(path, "no labels", expected))
        return None
    return parse_labels(content["labels"], where=f"{path}, labels", offences=offences)


def parse_labels(declared: Any, *, where: str, offences: list[Offence]) -> dict[int, str]:
    """{name: value} or the older {"value": name} -> value -> name, background (0) included, ascending by value.

    Whatever is wrong is added to `offences`.
    """
    if not isinstance(declared, dict):
        offences.append(_offence(where, repr(declared), 'an object, e.g. {"background": 0, "tumour": 1}'))
        return {0: "background"}
    older = bool(declared) and all(isinstance(value, str) for value in declared.values())
    pairs = [(value, key) if older else (key, value) for key, value in declared.items()]
    labels: dict[int, str] = {}
    for name, value in pairs:
        if isinstance(value, list | tuple):
            mend = "Regions are not supported yet. Give each label one value."
            offences.append(_offence(f"{where}, {name}", f"a region {value}", "one whole number", mend))
            continue
        number = _whole(value)
        if name == "ignore":
            mend = "An ignore label is not supported yet. Label those voxels, or leave the cases out."
            offences.append(_offence(f"{where}, {name}", repr(value), "no label of that name", mend))
        elif number is None:
            offences.append(_offence(f"{where}, {name}", repr(value), "a whole number"))
        elif number in labels:
            offences.append(_offence(f"{where}, {name}", f"{number}, which is also {labels[number]}", "another value"))
        elif name in labels.values():
            offences.append(_offence(f"{where}, {number}", f"the name {name} a second time", "another name"))
        else:
            labels[number] = name
    labels.setdefault(0, "background")
    return dict(sorted(labels.items()))


def _whole(value: Any) -> int | None:
    """The whole number that a JSON value stands for, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
