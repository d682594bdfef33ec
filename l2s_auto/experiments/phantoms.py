"""Labelled head phantoms, made on the spot: a dataset to try everything on, with nothing to download.

Each case is another person in another scanner: size, ventricles, a smooth deformation, spacing, field of view,
orientation of the axes, a slightly oblique grid, bias field and noise. The same seed gives the same voxels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from l2s_auto.experiments.anatomy import Build, Points, Tissue, tissue_at
from l2s_auto.experiments.drawing import rotation, smooth_noise, write_volume
from l2s_auto.io.atomic import atomic_path

DESCRIPTION = "Head phantoms made by l2s_demo; no person was scanned."
LABELS: dict[str, int] = {
    "background": 0,
    "white matter": 2,
    "left ventricle": 4,
    "cerebellum": 8,
    "left deep nuclei": 10,
    "brainstem": 16,
    "right ventricle": 43,
    "right deep nuclei": 49,
}
"""Name -> value in the label maps; the values follow no rule that a program could count on."""

_LABEL_OF_TISSUE = {
    Tissue.WHITE_MATTER: "white matter",
    Tissue.LEFT_VENTRICLE: "left ventricle",
    Tissue.RIGHT_VENTRICLE: "right ventricle",
    Tissue.LEFT_NUCLEI: "left deep nuclei",
    Tissue.RIGHT_NUCLEI: "right deep nuclei",
    Tissue.BRAINSTEM: "brainstem",
    Tissue.CEREBELLUM: "cerebellum",
    Tissue.CEREBELLUM_WHITE: "cerebellum",
}

_T1: dict[Tissue, float] = {
    Tissue.AIR: 0.0,
    Tissue.SKIN: 0.50,
    Tissue.FAT: 0.95,
    Tissue.MUSCLE: 0.40,
    Tissue.SKULL: 0.10,
    Tissue.MARROW: 0.32,
    Tissue.CSF: 0.17,
    Tissue.CORTEX: 0.50,
    Tissue.WHITE_MATTER: 0.80,
    Tissue.LEFT_VENTRICLE: 0.15,
    Tissue.RIGHT_VENTRICLE: 0.15,
    Tissue.LEFT_NUCLEI: 0.58,
    Tissue.RIGHT_NUCLEI: 0.58,
    Tissue.HIPPOCAMPUS: 0.50,
    Tissue.BRAINSTEM: 0.72,
    Tissue.CEREBELLUM: 0.52,
    Tissue.CEREBELLUM_WHITE: 0.74,
    Tissue.EYE: 0.20,
    Tissue.LENS: 0.45,
    Tissue.SINUS: 0.03,
}
_NO_SIGNAL = (Tissue.AIR, Tissue.SINUS)
_BRIGHTNESS = {
    "t1": _T1,
    "inverted": {tissue: mean if tissue in _NO_SIGNAL else 0.97 - mean for tissue, mean in _T1.items()},
}
CONTRASTS = tuple(_BRIGHTNESS)
"""`t1`: white matter bright, fluid dark. `inverted`: dark and bright exchanged; air is dark in both."""

_FIELD_OF_VIEW_MM = (164.0, 200.0, 168.0)
_CENTRE_MM = (0.0, 2.0, -3.0)
_FINE = 2
"""Tissue is drawn on a grid this many times finer along each axis, then averaged: that is the partial volume."""


@dataclass(frozen=True)
class Head:
    """One person on one scanner's grid, before any contrast.

    tissue  (_FINE * X, _FINE * Y, _FINE * Z) values of Tissue
    affine  (4, 4) voxel index of the (X, Y, Z) grid -> millimetres, RAS+
    """

    tissue: np.ndarray
    affine: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(X, Y, Z) int16 label map: the value that most of a voxel's points have, background first on a tie."""
        value_of = np.zeros(len(Tissue), dtype=np.int16)
        for tissue, name in _LABEL_OF_TISSUE.items():
            value_of[tissue] = LABELS[name]
        fine = value_of[self.tissue]
        values = sorted(LABELS.values())
        shares = np.stack([_block_mean(fine == value) for value in values])
        return np.asarray(values, dtype=np.int16)[shares.argmax(axis=0)]


def make_head(rng: np.random.Generator) -> Head:
    """Draw a person and a scanner's grid."""
    affine, shape = _draw_grid(rng)
    fine_shape = tuple(_FINE * n for n in shape)
    extent = np.array(shape) * np.linalg.norm(affine[:3, :3], axis=0)
    points = _draw_body_coordinates(rng, affine, fine_shape, extent)
    folding = smooth_noise(rng, fine_shape, extent, wavelength_mm=17.0)
    build = Build(
        ventricles=float(rng.uniform(1.1, 1.6)),
        cortex_mm=float(rng.uniform(3.2, 4.0)),
        sulcus_mm=float(rng.uniform(9.0, 13.0)),
    )
    return Head(tissue_at(points, folding, build), affine)


def render(head: Head, rng: np.random.Generator, *, contrast: str = "t1") -> np.ndarray:
    """Scan the head: (X, Y, Z) int16 image in arbitrary scanner units.

    contrast  one of CONTRASTS; texture, bias field, noise and units are drawn
    """
    means = np.array([_BRIGHTNESS[contrast][tissue] for tissue in Tissue], dtype=np.float32)
    means[1:] *= 1 + 0.04 * rng.standard_normal(len(means) - 1)
    fine = means[head.tissue]
    shape = tuple(n // _FINE for n in fine.shape)
    extent = np.array(shape) * np.linalg.norm(head.affine[:3, :3], axis=0)
    fine *= 1 + 0.04 * smooth_noise(rng, fine.shape, extent, wavelength_mm=7.0)
    image = gaussian_filter(_block_mean(fine), 0.4)
    image *= np.exp(0.12 * smooth_noise(rng, shape, extent, wavelength_mm=90.0))
    sigma = rng.uniform(0.015, 0.035)
    noise = sigma * rng.standard_normal((2, *shape))
    image = np.hypot(image + noise[0], noise[1])  # magnitude of a complex signal: Rician noise
    return np.round(image * rng.uniform(300, 1500)).astype(np.int16)


def write_dataset(folder: Path, *, cases: int = 12, test_cases: int = 4, seed: int = 0) -> Path:
    """Write phantoms in nnU-Net's raw layout and return the folder.

    imagesTr, labelsTr, dataset.json   `cases` T1-like heads to train on
    imagesTs, labelsTs                 `test_cases` other heads, T1-like
    imagesTs_inverted                  the same other heads in the inverted contrast, on the same grids
    """
    folder = Path(folder)
    for number in range(cases + test_cases):
        rng = np.random.default_rng([seed, number])
        head = make_head(rng)
        name, end = f"head_{number + 1:03d}", "Tr" if number < cases else "Ts"
        write_volume(folder / f"images{end}" / f"{name}_0000.nii.gz", render(head, rng), head.affine)
        write_volume(folder / f"labels{end}" / f"{name}.nii.gz", head.labels, head.affine)
        if end == "Ts":
            inverted = render(head, rng, contrast="inverted")
            write_volume(folder / "imagesTs_inverted" / f"{name}_0000.nii.gz", inverted, head.affine)
    description = {
        "name": folder.name,
        "description": DESCRIPTION,
        "channel_names": {"0": "T1"},
        "labels": LABELS,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    with atomic_path(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return folder


def _draw_grid(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A scanner's grid: (4, 4) affine and shape, axes in any order and direction, up to about 5 degrees oblique."""
    if rng.random() < 0.25:
        spacing = np.array([3.6, 3.6, 5.2])[rng.permutation(3)]
    else:
        spacing = np.round(np.full(3, rng.uniform(4.0, 4.4)), 2)
    counts = np.round(np.array(_FIELD_OF_VIEW_MM) * rng.uniform(0.97, 1.05, 3) / spacing).astype(int)
    order, signs = rng.permutation(3), rng.choice([-1.0, 1.0], 3)
    columns = rotation(rng, 0.05) @ np.diag(signs * spacing)
    affine = np.eye(4)
    affine[:3, :3] = columns[:, order]
    counts = counts[order]
    affine[:3, 3] = np.array(_CENTRE_MM) - affine[:3, :3] @ ((counts - 1) / 2)
    x, y, z = (int(n) for n in counts)
    return affine, (x, y, z)


def _draw_body_coordinates(
    rng: np.random.Generator, affine: np.ndarray, fine_shape: tuple[int, ...], extent: np.ndarray
) -> Points:
    """Where each point of the fine grid lies in the standard head: pose, size and a smooth deformation are drawn."""
    size = rng.uniform(0.94, 1.04) * rng.uniform(0.97, 1.03, 3)
    to_body = np.diag(1 / size) @ rotation(rng, 0.05)
    matrix = to_body @ affine[:3, :3]
    offset = to_body @ affine[:3, 3] + rng.uniform(-3, 3, 3)
    axes = [((np.arange(n, dtype=np.float32) + 0.5) / _FINE - 0.5) for n in fine_shape]
    i, j, k = np.ix_(*axes)
    points = []
    for row, start in zip(matrix.astype(np.float32), offset.astype(np.float32), strict=True):
        point = row[0] * i + row[1] * j + row[2] * k + start
        points.append(point + 2.0 * smooth_noise(rng, fine_shape, extent, wavelength_mm=65.0))
    return points[0], points[1], points[2]


def _block_mean(fine: np.ndarray) -> np.ndarray:
    """(f X, f Y, f Z) -> (X, Y, Z) float32 mean of the points of each voxel, f = _FINE."""
    x, y, z = (n // _FINE for n in fine.shape)
    return fine.reshape(x, _FINE, y, _FINE, z, _FINE).mean(axis=(1, 3, 5), dtype=np.float32)
