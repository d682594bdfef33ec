"""Some cases of a dataset as a dataset of their own, and held-out scans in several appearances."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2s_auto.core.types import Case, Dataset, Volume
from l2s_auto.evaluation.appearance import STRUCTURAL, changed
from l2s_auto.io import volumes
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.io.ownership import remove
from l2s_auto.io.volumes import read_label_map, write_label_map, write_volume
from l2s_auto.preprocessing.read import read_image

#: Files beside the folders of scans that say what labels and channels are.
DESCRIPTIONS = ("dataset.json", "labels.json")


def write_subset(dataset: Dataset, cases: Sequence[Case], folder: Path) -> Path:
    """Links to the cases' files, in the same layout, with the same names of labels; copies where links cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in files_of(cases):
        link(path, folder / path.relative_to(dataset.folder))
    for name in DESCRIPTIONS:
        if (dataset.folder / name).is_file():
            content = read_json(dataset.folder / name)
            if isinstance(content, dict) and "numTraining" in content:
                content = {**content, "numTraining": len(cases)}
            write_json(folder / name, content)
    return folder


def files_of(cases: Sequence[Case]) -> list[Path]:
    """Images and label maps, with the files of voxels that headers name."""
    paths = (path for case in cases for path in (*case.images, *([case.label] if case.label else [])))
    return [file for path in paths for file in ([path] if path.is_dir() else volumes.files_of(path))]


def link(source: Path, target: Path) -> None:
    """A symbolic link, or a copy on systems and disks that have none."""
    if target.is_symlink() and not target.exists():
        remove(target)  # to where the data were before
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError:
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)


def write_scans(cases: Sequence[Case], folder: Path, *, appearance: str, ignore: int | None = None) -> Path:
    """Scans of the cases as NIfTI, a file a channel, with that appearance; each with the number of its channel, so that
    a name that ends in a number is not taken for one.

    ignore  value of voxels that nobody labelled; no structure to a change that uses the reference
    """
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        volume = read_image(case)
        labels = None
        if appearance in STRUCTURAL and case.label is not None:
            labels, _ = read_label_map(case.label)
            labels = labels if ignore is None else np.where(labels == ignore, 0, labels)
        data = changed(volume.data, appearance, spacing=volume.spacing, labels=labels)
        for number, channel in enumerate(data):
            write_volume(folder / f"{case.id}_{number:04d}.nii.gz", Volume(channel[None], volume.affine))
    return folder


def write_references(cases: Sequence[Case], folder: Path) -> Path:
    """Label maps of the cases as NIfTI."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        assert case.label is not None
        write_label_map(folder / f"{case.id}.nii.gz", *read_label_map(case.label))
    return folder
