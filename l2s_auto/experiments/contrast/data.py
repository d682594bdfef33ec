"""The simulated dataset: persons in the MPRAGE to learn from, and heads that none of them has, in every sequence."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.experiments.anatomy import Tissue as Phantom
from l2s_auto.experiments.contrast.physics import SEQUENCES, Tissue, tissues
from l2s_auto.experiments.contrast.simulate import make_person, most, scan
from l2s_auto.experiments.methods.bench import REFERENCES
from l2s_auto.experiments.recovery.anatomies import Head, phantom_heads, read_heads
from l2s_auto.experiments.recovery.tissues import Tissues, tissues_of
from l2s_auto.io import ownership
from l2s_auto.io.atomic import unfinished
from l2s_auto.io.json_files import write_json
from l2s_auto.io.parallel import map_cases
from l2s_auto.io.volumes import write_label_map, write_volume

#: mm of a voxel of the scans, about: whole voxels of the label maps make one up.
SPACING = {2: 3.0, 3: 2.0}
#: Slices of a person, and mm about the middle of what is to be found that they are taken from.
SLICES, SLAB_MM = 6, 50.0
#: mm of air about a head.
AIR_MM = 8.0
#: Every so many heads one is for testing.
EVERY = 3
#: Which tissue of the phantoms is which, and whether the network has to find it.
PHANTOM = {
    Phantom.AIR: "air",
    Phantom.SKIN: "fat and skin",
    Phantom.FAT: "fat and skin",
    Phantom.MUSCLE: "soft tissue",
    Phantom.SKULL: "bone",
    Phantom.MARROW: "fat and skin",
    Phantom.CSF: "fluid",
    Phantom.CORTEX: "cortex",
    Phantom.WHITE_MATTER: "white matter",
    Phantom.LEFT_VENTRICLE: "ventricle",
    Phantom.RIGHT_VENTRICLE: "ventricle",
    Phantom.LEFT_NUCLEI: "thalamus",
    Phantom.RIGHT_NUCLEI: "thalamus",
    Phantom.HIPPOCAMPUS: "hippocampus",
    Phantom.BRAINSTEM: "brainstem",
    Phantom.CEREBELLUM: "cerebellar cortex",
    Phantom.CEREBELLUM_WHITE: "cerebellar white matter",
    Phantom.EYE: "fluid",
    Phantom.LENS: "soft tissue",
    Phantom.SINUS: "air",
}
FOUND_IN_PHANTOMS = ("white matter", "cortex", "ventricle", "thalamus", "hippocampus", "brainstem")
#: Tissues outside of the brain, which the paper's networks do not find either.
OUTSIDE = {"fluid", "soft tissue", "bone", "fat and skin"}
#: SynthSeg's numbers of what is outside of the brain begin here; those that are not known are taken for this.
EXTRACEREBRAL, OTHER = 500, "other head"


@dataclass(frozen=True)
class Heads:
    """Heads in classes of tissues.

    heads    (X, Y, Z) classes and mm of a voxel, each
    tissues  class -> what it is made of
    targets  name -> class, of what the network has to find
    """

    heads: list[Head]
    tissues: dict[int, Tissue]
    targets: dict[str, int]


def load_heads(folder: Path | None, *, field: float) -> Heads:
    """Label maps of a folder with FreeSurfer's numbers; without one, phantoms. UserError for others, and too few."""
    known = tissues(field)
    if folder is None:
        names = sorted(set(PHANTOM.values()))
        table = np.array([names.index(PHANTOM[Phantom(value)]) for value in range(len(Phantom))], dtype=np.int16)
        heads = [(table[labels], sizes) for labels, sizes in phantom_heads(0)]
        targets = {name: names.index(name) for name in FOUND_IN_PHANTOMS}
        return Heads(heads, {number: known[name] for number, name in enumerate(names)}, targets)
    read = read_heads(folder)
    found = tissues_of(np.unique(np.concatenate([np.unique(labels) for labels, _ in read])))
    require_known(found, folder)
    if len(read) < EVERY:
        raise UserError.single(
            "There are too few label maps.",
            where=f"--data {folder}",
            found=f"{len(read)}",
            expected=f"{EVERY} or more: of {EVERY} heads one is for testing",
            mend="Add some, or leave --data out to take phantoms.",
        )
    wanted = zip(found.names, found.targets, strict=True)
    return Heads(
        [(found.of(labels), sizes) for labels, sizes in read],
        {number: known.get(name, known[OTHER]) for number, name in enumerate(found.names)},
        {name: number for number, (name, target) in enumerate(wanted) if target and name in known.keys() - OUTSIDE},
    )


def require_known(found: Tissues, folder: Path) -> None:
    """UserError for labels whose tissue is not known."""
    unknown = [name for name in found.names if name.startswith("label ") and int(name.split()[1]) < EXTRACEREBRAL]
    if unknown:
        raise UserError.single(
            "The label maps hold labels whose tissue is not known, so that no scan of them can be simulated.",
            where=f"--data {folder}",
            found=", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else ""),
            expected="FreeSurfer's numbers of both sides, and SynthSeg's for what is outside of the brain",
            mend="Choose other label maps, or leave --data out to take phantoms.",
        )


def write_data(heads: Heads, place: Path, *, persons: int, dimensions: int, workers: int = 0) -> Path:
    """The folder with images, labels and tests, made once: persons to learn from, and heads as they are to test on.

    workers  processes that simulate persons; 0: this one
    """
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    learn = [head for number, head in enumerate(heads.heads) if number % EVERY != EVERY - 1]
    test = [head for number, head in enumerate(heads.heads) if number % EVERY == EVERY - 1]
    people = [
        *(
            (f"person{number:03d}", replace(heads, heads=[learn[number % len(learn)]]), False)
            for number in range(persons)
        ),
        *((f"head{number:03d}", replace(heads, heads=[head]), True) for number, head in enumerate(test)),
    ]
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=unfinished("data-")) as temporary:
        made = Path(temporary) / "made"
        write = partial(write_scans_of, place=made, dimensions=dimensions)
        map_cases(write, people, name=lambda person: person[0], workers=workers)
        write_json(made / "labels.json", {name: number for number, name in enumerate(heads.targets, start=1)})
        if not place.exists():  # another job may have been faster
            ownership.replace(made, place)
    return place


def write_scans_of(person: tuple[str, Heads, bool], *, place: Path, dimensions: int) -> None:
    """Scans of someone who has the only head: to learn from, or, of the head as it is, to test on."""
    name, heads, is_test = person
    first = next(iter(SEQUENCES))
    sequences = list(SEQUENCES) if is_test else [first]
    for part, images, labels, affine in scans_of(heads, heads.heads[0], name, sequences, dimensions, same=is_test):
        references = place / "tests" / REFERENCES if is_test else place / "labels"
        write_label_map(references / f"{part}.nii.gz", labels, affine)
        for sequence, image in images.items():
            folder = place / "tests" / sequence if is_test else place / "images"
            write_volume(folder / f"{part}.nii.gz", Volume(image[None], affine))


def scans_of(
    heads: Heads, head: Head, name: str, sequences: Sequence[str], dimensions: int, *, same: bool = False
) -> Iterator[tuple[str, dict[str, np.ndarray], np.ndarray, np.ndarray]]:
    """Name, {sequence: image}, labels (1, 2, … as the targets are ordered) and affine, of each slice or of the head."""
    labels, sizes = cropped(head)
    factor = tuple(max(1, round(SPACING[dimensions] / size)) for size in sizes)
    assert len(factor) == 3
    person = make_person(labels, sizes, heads.tissues, name=name, same=same)
    images = {s: scan(person, SEQUENCES[s], factor=factor, name=f"{name} {s}") for s in sequences}
    classes = most(person.labels, factor)
    target = np.zeros(int(max(heads.tissues)) + 1, dtype=np.int16)
    for number, value in enumerate(heads.targets.values(), start=1):
        target[value] = number
    found = target[classes]
    affine = np.diag([*(f * s for f, s in zip(factor, sizes, strict=True)), 1.0])
    if dimensions == 3:
        yield name, images, found, affine
        return
    middle, half = float(np.argwhere(found > 0)[:, 2].mean()), SLAB_MM / 2 / affine[2, 2]
    at = np.rint(np.linspace(middle - half, middle + half, SLICES)).astype(int)
    for z in np.unique(at.clip(0, found.shape[2] - 1)):
        plane = slice(z, z + 1)
        yield f"{name}_z{z:03d}", {s: image[..., plane] for s, image in images.items()}, found[..., plane], affine


def cropped(head: Head) -> Head:
    """The box about all that is not class 0 (air), with some air about it: a deformation reads from there."""
    labels, sizes = head
    box = []
    for axis in range(3):
        inside = np.flatnonzero((labels != 0).any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(inside[0], inside[-1] + 1))
    return np.pad(labels[tuple(box)], [(n, n) for n in (round(AIR_MM / size) for size in sizes)]), sizes


def person_of(name: str) -> str:
    """Whose a scan is, of whom each slice may be one."""
    return name.split("_")[0]


def names_in(folder: Path) -> list[str]:
    """Names of the scans in a folder."""
    return sorted(path.name.removesuffix(".nii.gz") for path in folder.glob("*.nii.gz"))
