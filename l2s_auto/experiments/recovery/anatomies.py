"""Label maps for the experiment: of a folder, or of the phantoms, as slices or as volumes on one grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.experiments.phantoms import make_head
from l2s_auto.experiments.recovery.tissues import Tissues, tissues_of
from l2s_auto.io.volumes import read_label_map
from l2s_auto.preprocessing.orient import canonical_spacing, orientation_of, to_canonical

SUFFIXES = (".nii.gz", ".nii")
PHANTOMS = 12
#: mm about the middle of the head that slices are taken from, and their number a head.
SLAB_MM, SLICES = 50.0, 20
#: Voxels along each axis are a multiple of this, for three poolings, and twice as many at least: a network cannot
#: normalise a single voxel.
MULTIPLE = 8
#: Label values (X, Y, Z) in canonical axes, voxel sizes in mm.
Head = tuple[np.ndarray, tuple[float, float, float]]


@dataclass(frozen=True)
class Anatomies:
    """Label maps on one grid.

    maps     (N, X, Y, Z) int16 classes of the tissues; slices are (N, 1, X, Y)
    spacing  mm
    """

    maps: np.ndarray
    spacing: tuple[float, float, float]
    tissues: Tissues


def load_anatomies(folder: Path | None, *, dimensions: int, spacing: float, seed: int) -> Anatomies:
    """All label maps of the folder, of phantoms without one, at `spacing` mm. UserError if there are none."""
    heads = read_heads(folder) if folder is not None else phantom_heads(seed)
    tissues = tissues_of(np.unique(np.concatenate([np.unique(labels) for labels, _ in heads])))
    if not any(tissues.targets):
        raise UserError.single(
            "The label maps hold no label for the network to find.",
            where=f"--data {folder}",
            found=f"{len(heads)} label maps of {', '.join(tissues.names)} alone",
            expected="labels other than 0",
            mend="Choose a folder of label maps.",
        )
    sampled = [sample(labels, sizes, spacing) for labels, sizes in heads]
    if dimensions == 2:
        sampled = [plane for head in sampled for plane in slices(head, spacing)]
    largest = [max(m.shape[axis] for m in sampled) for axis in range(3)]
    shape = [max(2, -(-n // MULTIPLE)) * MULTIPLE if axis or dimensions == 3 else 1 for axis, n in enumerate(largest)]
    maps = np.stack([tissues.of(fitted(m, shape)) for m in sampled])
    return Anatomies(maps, (spacing, spacing, spacing), tissues)


def read_heads(folder: Path) -> list[Head]:
    """Every NIfTI file of a folder that is not hidden, in canonical axes."""
    files = folder.glob("[!.]*") if folder.is_dir() else ()
    paths = sorted(path for path in files if path.name.endswith(SUFFIXES))
    if not paths:
        raise UserError.single(
            "There are no label maps for the experiment.",
            where="--data",
            found=f"{folder}" + ("" if folder.is_dir() else ", which is no folder"),
            expected="a folder of label maps as .nii or .nii.gz",
            mend="Correct the path, or leave --data out to take phantoms.",
        )
    return [_canonical(*read_label_map(path)) for path in paths]


def phantom_heads(seed: int) -> list[Head]:
    """Made-up heads."""
    rng = np.random.default_rng(seed)
    heads = [make_head(rng) for _ in range(PHANTOMS)]
    half = np.diag([0.5, 0.5, 0.5, 1.0])
    return [_canonical(head.tissue.astype(np.int16), head.affine @ half) for head in heads]


def _canonical(labels: np.ndarray, affine: np.ndarray) -> Head:
    orientation = orientation_of(affine)
    return to_canonical(labels, orientation), canonical_spacing(affine, orientation)


def sample(labels: np.ndarray, sizes: tuple[float, float, float], spacing: float) -> np.ndarray:
    """The box of the head (labels other than 0) at another spacing, nearest voxels."""
    box = [np.flatnonzero((labels != 0).any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    index = []
    for axis, found in enumerate(box):
        first, last = (found[0], found[-1]) if len(found) else (0, labels.shape[axis] - 1)
        count = max(1, int((last - first) * sizes[axis] / spacing) + 1)
        index.append(np.clip(np.rint(first + np.arange(count) * spacing / sizes[axis]), 0, last).astype(int))
    return labels[np.ix_(*index)]


def slices(head: np.ndarray, spacing: float) -> list[np.ndarray]:
    """Axial slices through the middle of the head, (1, X, Y) each."""
    middle, half = (head.shape[2] - 1) / 2, min(SLAB_MM / spacing, head.shape[2] - 1) / 2
    at = np.unique(np.rint(np.linspace(middle - half, middle + half, SLICES)).astype(int))
    return [head[:, :, z][None] for z in at]


def fitted(labels: np.ndarray, shape: list[int]) -> np.ndarray:
    """Padded with 0, the label map in the middle."""
    widths = [((n - m) // 2, n - m - (n - m) // 2) for n, m in zip(shape, labels.shape, strict=True)]
    return np.pad(labels, widths)
