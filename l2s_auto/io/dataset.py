"""Finds the cases of a labelled dataset, in nnU-Net's raw layout or in plain folders."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.names import path_part
from l2s_auto.core.types import Case, Dataset
from l2s_auto.io.bids import is_label_map
from l2s_auto.io.case_files import case_id, group_by_number, list_scans
from l2s_auto.io.dataset_json import Declared, Labels, parse_labels, read_dataset_json
from l2s_auto.io.exchanged import require_not_exchanged
from l2s_auto.io.folders import entries, require_file_or_nothing
from l2s_auto.io.inventory import LABELS, Inventory, Unused, describe, glance, is_prediction, relative, take_inventory
from l2s_auto.io.json_files import read_json
from l2s_auto.io.kinds import is_system_folder
from l2s_auto.io.label_like import look_of
from l2s_auto.io.pairing import Pairs, pair
from l2s_auto.io.parallel import Progress, map_cases
from l2s_auto.io.places import kind_of
from l2s_auto.io.scans import find_scans
from l2s_auto.io.stray_labels import counted, require_no_stray
from l2s_auto.io.subjects import read_subjects, subject_of
from l2s_auto.io.verify import verify_and_look, verify_dataset
from l2s_auto.io.volumes import case_name, read_header, read_label_map, volume_suffix

__all__ = ["find_dataset", "find_scans", "verify_and_look", "verify_dataset"]

_NOTHING = Declared(channels=(), labels=None, ending="", name="")


def find_dataset(folder: str | os.PathLike[str], *, workers: int = 0, progress: Progress | None = None) -> Dataset:
    """The dataset in a folder, its cases sorted by name. Raises UserError if there is none or it is described wrongly.

    nnU-Net's raw layout  imagesTr, labelsTr, imagesTs and dataset.json, which declares channels and labels
    plain                 images (may be missing) and labels; same name for an image and its label map, with _0000,
                          _0001, … behind it where a case has several channels. The labels are the values that the
                          files hold; labels.json, {name: value}, or dataset.json names them, else "label 1", …

    Images and label maps without a partner become cases too: verify_dataset reports them.
    `workers` and `progress` are those of map_cases, for reading the values of a plain dataset.
    """
    folder = Path(folder)
    images_name, labels_name = _layout(folder)
    nnunet = labels_name == "labelsTr" and (folder / "dataset.json").is_file()
    for name in ("dataset.json", "labels.json"):
        require_file_or_nothing(folder / name)
    declared = _NOTHING
    if (folder / "dataset.json").is_file():
        declared = read_dataset_json(folder / "dataset.json", complete=nnunet)
    ending = declared.ending if nnunet else ""
    labelled = take_inventory(folder / labels_name, ending=ending, kind=LABELS)
    if not labelled.scans:
        raise _no_labels(folder / labels_name, ending, labelled)
    imaged = take_inventory(folder / images_name, ending=ending) if os.path.isdir(folder / images_name) else Inventory()
    require_not_exchanged([scan.path for scan in labelled.scans], [scan.path for scan in imaged.scans])
    pairs = pair(imaged, labelled, folder)
    cases = _cases(folder, pairs)
    label_paths = [case.label for case in cases if case.label is not None]
    if nnunet:
        assert declared.labels is not None, "a complete dataset.json has labels"
        labels = declared.labels
    else:
        known = _declared_labels(folder, declared)
        labels = replace(known, names=_found_labels(label_paths, known, workers=workers, progress=progress))
    return Dataset(
        name=path_part(folder.resolve().name, default="dataset"),
        folder=folder,
        cases=cases,
        channels=_channel_names(cases, declared),
        labels=labels.names,
        regions=labels.regions,
        ignore=labels.ignore,
        test_cases=_test_cases(folder, ending=ending, channels=len(declared.channels)),
        notes=tuple(filter(None, [pairs.note, *_notes(folder, [labelled, imaged], used=(images_name, labels_name))])),
    )


def _layout(folder: Path) -> tuple[str, str]:
    """Names of the folders with images and label maps."""
    for images, labels in (("imagesTr", "labelsTr"), ("images", "labels")):
        if os.path.isdir(folder / labels):
            return images, labels
    is_folder = os.path.isdir(folder)
    found = "no such folders" if is_folder else "a file" if os.path.exists(folder) else "nothing"
    inside = [place for place in entries(folder) if _is_dataset(place)] if is_folder else []
    mend = "Give the folder that holds these folders, or make them."
    scans = [scan.path for scan in take_inventory(folder, kind=LABELS).scans] if is_folder and not inside else []
    if scans:
        found = f"no such folders, but {_kinds_of(scans, folder)}"
        mend = (
            "Make the two folders, and put or link every image and its label map there under one name, "
            "such as images/sub-01.nii.gz and labels/sub-01.nii.gz."
        )
    if inside:
        mend = f"Give one of the datasets in it: {', '.join(str(place) for place in inside[:5])}."
    raise UserError.single(
        "No dataset is there.",
        where=str(folder),
        found=found,
        expected="a folder with imagesTr, labelsTr and dataset.json (nnU-Net), with images and labels, or labels alone",
        mend=mend,
    )


def _kinds_of(scans: Sequence[Path], folder: Path) -> str:
    """How many images and label maps there are, as far as their names tell, and where."""
    label_maps = [path for path in scans if is_label_map(path)]
    images = [path for path in scans if path not in set(label_maps)]
    kinds = (("image", images), ("label map", label_maps))
    parts = [
        f"{len(paths)} {kind}{'' if len(paths) == 1 else 's'} (such as {relative(paths[0], folder)})"
        for kind, paths in kinds
        if paths
    ]
    return " and ".join(parts)


def _is_dataset(folder: Path) -> bool:
    return any(os.path.isdir(folder / labels) for labels in ("labelsTr", "labels"))


def _no_labels(folder: Path, ending: str, inventory: Inventory) -> UserError:
    files = [path.name for path in entries(folder) if not path.name.startswith(".")]
    found = f"only other files, e.g. {sorted(files)[0]}" if files else "an empty folder"
    return UserError.single(
        "The dataset has no label maps.",
        where=str(folder),
        found=". ".join([found, *describe(inventory.unused, folder)]),
        expected=f"files that end with {ending}" if ending else "NIfTI, NRRD or MetaImage files",
        mend="Put the label maps there" + (", or correct file_ending in dataset.json." if ending else "."),
    )


def _cases(folder: Path, pairs: Pairs) -> tuple[Case, ...]:
    names = {case_id(name): name for name in sorted(pairs.names)}
    subjects = read_subjects(folder, names)
    return tuple(
        Case(
            id=short,
            images=pairs.images.get(name, ()),
            label=pairs.labels.get(name),
            subject=subject_of(short, subjects),
        )
        for short, name in names.items()
    )


def _notes(folder: Path, inventories: Sequence[Inventory], *, used: Collection[str]) -> list[str]:
    """What in the dataset looks like a scan and is not used, a sentence a reason."""
    unused = [one for inventory in inventories for one in inventory.unused]
    for path in entries(folder):
        is_folder = os.path.isdir(path)
        if path.name in (*used, "imagesTs", "labelsTs") or path.name.startswith("."):
            continue
        if is_folder and (is_system_folder(path.name) or kind_of(path) is not None or is_prediction(path)):
            continue
        count = glance(path) if is_folder else int(bool(volume_suffix(path)))
        if count:
            unused.append(Unused(path, f"outside of {' and '.join(used)}", count))
    for name in ("imagesTs", "labelsTs"):
        if os.path.isdir(folder / name):
            unused += take_inventory(folder / name, depth=0, kind=LABELS).unused
    return [f"{line}." for line in describe(unused, folder)]


def _declared_labels(folder: Path, declared: Declared) -> Labels:
    path = folder / "labels.json"
    if not path.is_file():
        return declared.labels or Labels({})
    offences: list[Offence] = []
    labels = parse_labels(read_json(path), where=str(path), offences=offences)
    if offences:
        raise UserError("labels.json cannot be used.", [replace(o, mend="Correct labels.json.") for o in offences])
    return labels


def _found_labels(paths: list[Path], known: Labels, *, workers: int, progress: Progress | None) -> dict[int, str]:
    """Value -> name for the values that the label maps hold; files that cannot be read are left to verify_dataset."""
    found = map_cases(_values_in_file, paths, name=case_name, workers=workers, progress=progress)
    declared = {*known.names, *(value for values in known.regions.values() for value in values), known.ignore}
    require_no_stray(paths, found, {value for value in declared if value is not None})
    of_regions = {value for values in known.regions.values() for value in values}
    values = sorted({0}.union(of_regions, *found) - {known.ignore})
    names = known.names
    return {value: names.get(value, "background" if value == 0 else f"label {value}") for value in values}


def _values_in_file(path: Path) -> dict[int, int]:
    """Value -> voxels; none of an image, which the verification names."""
    try:
        labels = read_label_map(path)[0]
    except UserError:
        return {}
    return {} if look_of(labels).is_image else counted(labels)


def _channel_names(cases: Iterable[Case], declared: Declared) -> tuple[str, ...]:
    """The declared names where there are images, else numbered ones, as many as the cases' files show."""
    with_images = [case for case in cases if case.images]
    if not with_images:
        return ()
    if declared.channels:
        return declared.channels
    files = max(len(case.images) for case in with_images)
    count = files if files > 1 else next((n for n in map(_channels_in_file, with_images) if n), 1)
    return ("image",) if count == 1 else tuple(f"channel {n}" for n in range(count))


def _channels_in_file(case: Case) -> int:
    """Channels of a case with one file; 0 if it cannot be read."""
    try:
        return read_header(case.images[0])[1]
    except UserError:
        return 0


def _test_cases(folder: Path, *, ending: str, channels: int) -> tuple[Case, ...]:
    images = group_by_number(list_scans(folder / "imagesTs", ending=ending), channels=max(1, channels))
    labels = {case_name(path): path for path in list_scans(folder / "labelsTs", ending=ending)}
    return tuple(Case(id=name, images=files, label=labels.get(name)) for name, files in images.items())
