"""nnU-Net's dataset.json: channels and labels in its present and its older form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import Offence, UserError, shortened
from l2s_auto.core.limits import MAX_CHANNELS, MAX_LABEL, MAX_LABELS
from l2s_auto.core.names import MAX_NAME, is_name
from l2s_auto.io.json_files import read_json
from l2s_auto.io.volumes import SUFFIXES

_NAME = f"a name in one line, at most {MAX_NAME} bytes"


@dataclass(frozen=True)
class Labels:
    """What label maps hold.

    names    value -> name, background (0) included, ascending by value
    regions  name -> values that make it up together; everything that the file names, if there is one of several values
    ignore   value of voxels that nobody labelled
    """

    names: dict[int, str]
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None


@dataclass(frozen=True)
class Declared:
    """What a dataset.json declares.

    channels  names in the order of their numbers
    labels    names of values, and what they make up together; None where the file declares none
    ending    suffix of the files; empty where the file declares none
    """

    channels: tuple[str, ...]
    labels: Labels | None
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
        offences.append(_offence(f"{path}, file_ending", shortened(ending), f"one of {', '.join(SUFFIXES)}"))
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
        offences.append(_offence(f"{path}, {key}", shortened(names), expected))
        return ()
    if len(names) > MAX_CHANNELS:
        offences.append(_offence(f"{path}, {key}", f"{len(names)} channels", f"at most {MAX_CHANNELS}"))
        return ()
    for number, name in names.items():
        if not isinstance(name, str | int | float) or not is_name(str(name)):
            offences.append(_offence(f"{path}, {key}, {number}", shortened(name), _NAME))
    return tuple(str(names[str(n)]) for n in range(len(names)))


def _labels(path: Path, content: dict[str, Any], offences: list[Offence], *, required: bool) -> Labels | None:
    if "labels" not in content:
        if required:
            expected = 'labels, e.g. {"background": 0, "tumour": 1}'
            offences.append(_offence(path, "no labels", expected))
        return None
    return parse_labels(content["labels"], where=f"{path}, labels", offences=offences)


def parse_labels(declared: Any, *, where: str, offences: list[Offence]) -> Labels:
    """{name: value, or list of values} or the older {"value": name}; whatever is wrong is added to `offences`.

    As in nnU-Net, a list is a region, and a label named ignore holds what nobody labelled.
    """
    if not isinstance(declared, dict):
        offences.append(_offence(where, shortened(declared), 'an object, e.g. {"background": 0, "tumour": 1}'))
        return Labels({0: "background"})
    if len(declared) > MAX_LABELS:
        offences.append(_offence(where, f"{len(declared)} labels", f"at most {MAX_LABELS}"))
        return Labels({0: "background"})
    texts = bool(declared) and all(isinstance(value, str) for value in declared.values())
    older = texts and not all(_whole(value) is not None for value in declared.values())  # "1": "a", but "a": "1" is new
    pairs = [(value, key) if older else (key, value) for key, value in declared.items()]
    names: dict[int, str] = {}
    regions: dict[str, tuple[int, ...]] = {}
    taken: set[str] = set()
    ignore = None
    for name, value in pairs:
        several = value if isinstance(value, list | tuple) else [value]
        numbers = [number for number in map(_whole, several) if number is not None]
        if not is_name(name):
            offences.append(_offence(f"{where}, {shortened(name)}", "a name that cannot be read", _NAME))
        elif len(numbers) < len(several) or not numbers:
            expected = "a whole number, or a list of them" if isinstance(value, list | tuple) else "a whole number"
            offences.append(_offence(f"{where}, {name}", shortened(value), expected))
        elif len(set(numbers)) < len(numbers):
            offences.append(_offence(f"{where}, {name}", shortened(value), "each value once"))
        elif any(abs(number) > MAX_LABEL for number in numbers):
            offences.append(_offence(f"{where}, {name}", shortened(value), f"numbers from -{MAX_LABEL} to {MAX_LABEL}"))
        elif name == "background" and numbers != [0]:
            mend = "Give background 0, or another name."
            offences.append(_offence(f"{where}, background", shortened(value), "0", mend))
        elif name in taken:
            offences.append(_offence(f"{where}, {numbers[0]}", f"the name {name} a second time", "another name"))
        elif len(numbers) > 1:
            regions[name] = tuple(numbers)
            taken.add(name)
        elif name == "ignore":
            ignore = numbers[0]
        elif numbers[0] in names:
            found = f"{numbers[0]}, which is also {names[numbers[0]]}"
            offences.append(_offence(f"{where}, {name}", found, "another value"))
        else:
            names[numbers[0]] = name
            taken.add(name)
    offences.extend(_misplaced(names, regions, ignore, where=where))
    if regions:
        regions = {**regions, **{name: (value,) for value, name in names.items() if value != 0}}
    for value in sorted({value for values in regions.values() for value in values} - set(names)):
        names[value] = f"label {value}"
    names.setdefault(0, "background")
    return Labels(dict(sorted(names.items())), regions, ignore)


def _misplaced(
    names: dict[int, str], regions: dict[str, tuple[int, ...]], ignore: int | None, *, where: str
) -> list[Offence]:
    """Background in a region, and an ignore label that is another label too."""
    offences = [
        _offence(f"{where}, {name}", "0, which is background", "values of labels")
        for name, values in regions.items()
        if 0 in values
    ]
    used = {**names, **{value: name for name, values in regions.items() for value in values}, 0: "background"}
    if ignore in used:
        found = f"{ignore}, which is also {used[ignore]}"
        offences.append(_offence(f"{where}, ignore", found, "a value of its own"))
    return offences


def _whole(value: Any) -> int | None:
    """The whole number that a JSON value stands for, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else None
