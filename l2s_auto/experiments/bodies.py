"""Bodies like those in an abdominal CT: trunks in Hounsfield units with labelled organs, made on the fly.

Each case is another person: size, fat, pose, breath, a smooth deformation, organs, and the contents of stomach and
bowel. Each scan differs too: voxel size, tissue values, contrast agent, noise. The same seed gives the same voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from l2s_auto.experiments.bodies_anatomy import Tissue, draw_build, paint_frame, paint_table
from l2s_auto.experiments.bodies_canvas import Canvas, Layer
from l2s_auto.experiments.bodies_organs import paint_organs
from l2s_auto.experiments.bodies_values import PHASES, Phase, draw_values
from l2s_auto.experiments.drawing import rotation, smooth_noise, write_volume
from l2s_auto.io.json_files import write_json

DESCRIPTION = "Made trunks that look like CT; no person was scanned."
LABELS: dict[str, int] = {
    "background": 0,
    "liver": 1,
    "spleen": 2,
    "left kidney": 3,
    "right kidney": 4,
    "aorta": 5,
    "stomach": 6,
    "gallbladder": 7,
}
LABEL_OF_TISSUE = {
    Tissue.LIVER: "liver",
    Tissue.LIVER_VESSEL: "liver",
    Tissue.LIVER_CYST: "liver",
    Tissue.SPLEEN: "spleen",
    Tissue.LEFT_CORTEX: "left kidney",
    Tissue.LEFT_MEDULLA: "left kidney",
    Tissue.RIGHT_CORTEX: "right kidney",
    Tissue.RIGHT_MEDULLA: "right kidney",
    Tissue.AORTA: "aorta",
    Tissue.STOMACH_WALL: "stomach",
    Tissue.STOMACH_CONTENT: "stomach",
    Tissue.STOMACH_GAS: "stomach",
    Tissue.GALLBLADDER: "gallbladder",
}
"""Contents of the stomach, and vessels and cysts in the liver, belong to the organ, as in public data sets of CT."""

_SHAPE = (96, 80)  # voxels across; slices are drawn
_SLICES = (60, 66)
_HU = (-1024, 3071)


@dataclass(frozen=True)
class Body:
    """One person on one scanner's grid, before any contrast.

    affine  (4, 4) voxel index of the (X, Y, Z) grid -> millimetres, RAS+
    layers  from back to front
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    layers: tuple[Layer, ...]

    @property
    def tissue(self) -> np.ndarray:
        """(X, Y, Z) uint8 values of Tissue: the last layer that covers more than half of a voxel."""
        tissue = np.zeros(self.shape, dtype=np.uint8)
        for layer in self.layers:
            tissue[layer.box][layer.coverage > 0.5] = layer.tissue
        return tissue

    @property
    def labels(self) -> np.ndarray:
        """(X, Y, Z) uint8 label map, values of LABELS."""
        value_of = np.zeros(len(Tissue), dtype=np.uint8)
        for tissue, name in LABEL_OF_TISSUE.items():
            value_of[tissue] = LABELS[name]
        return value_of[self.tissue]


def make_body(rng: np.random.Generator) -> Body:
    """Draw a person and a scanner's grid."""
    affine, shape = _draw_grid(rng)
    spacing = np.abs(np.diag(affine)[:3])
    extent = np.array(shape) * spacing
    world = np.ix_(*(affine[i, 3] + affine[i, i] * np.arange(n) for i, n in enumerate(shape)))
    size = rng.uniform(0.94, 1.06) * rng.uniform(0.97, 1.03, 3)
    matrix, offset = np.diag(1 / size) @ rotation(rng, 0.07), rng.uniform(-8, 8, 3)
    points = []
    for row, start in zip(matrix, offset, strict=True):
        point = sum(r * w for r, w in zip(row, world, strict=True)) + start
        bent = point + 3.5 * smooth_noise(rng, shape, extent, wavelength_mm=90.0)
        points.append(bent.astype(np.float32))
    roughness = 1.4 * smooth_noise(rng, shape, extent, wavelength_mm=32.0)
    canvas = Canvas((points[0], points[1], points[2]), float(spacing.mean()), roughness)
    build = draw_build(rng)
    frame = paint_frame(canvas, build)
    body, canvas.layers = canvas.layers, []
    paint_table(canvas, (world[0], world[1], world[2]), frame.skin)
    canvas.layers += body
    paint_organs(canvas, frame.room, 0.6 * build.breath, rng)
    return Body(shape, affine, tuple(canvas.layers))


def render(body: Body, rng: np.random.Generator, *, phase: Phase | None = None) -> np.ndarray:
    """Scan the body: (X, Y, Z) int16 image in Hounsfield units.

    phase  of the contrast agent; None: drawn. Tissue values, texture, sharpness and noise are drawn
    """
    values = draw_values(rng, phase)
    spacing = np.abs(np.diag(body.affine)[:3])
    grain = smooth_noise(rng, body.shape, np.array(body.shape) * spacing, wavelength_mm=14.0)
    image = np.full(body.shape, values.mean[Tissue.AIR], dtype=np.float32)
    for layer in body.layers:
        value = values.mean[layer.tissue] + layer.offset
        part = image[layer.box]
        part += layer.coverage * (value + values.texture[layer.tissue] * grain[layer.box] - part)
    image = gaussian_filter(image, rng.uniform(0.2, 0.4))
    image += _noise(rng, image)
    return np.clip(np.round(image), *_HU).astype(np.int16)


def write_dataset(
    folder: Path,
    *,
    seed: int = 0,
    cases: int = 24,
    test_cases: int = 0,
    phase: Phase | None = "enhanced",
) -> Path:
    """Write bodies in nnU-Net's raw layout and return the folder.

    imagesTr, labelsTr, dataset.json   `cases` bodies to train on, in `phase`; None: enhanced or not, drawn by case
    imagesTs, labelsTs                 `test_cases` other bodies, in `phase`
    imagesTs_enhanced, imagesTs_unenhanced   the same other bodies in each phase that is not `phase`
    """
    folder = Path(folder)
    for number in range(cases + test_cases):
        rng = np.random.default_rng([seed, number])
        body = make_body(rng)
        name, end = f"body_{number + 1:03d}", "Tr" if number < cases else "Ts"
        scans: dict[str, Phase | None] = {f"images{end}": phase}
        if end == "Ts":
            scans |= {f"imagesTs_{other}": other for other in PHASES if other != phase}
        for images, wanted in scans.items():
            write_volume(folder / images / f"{name}_0000.nii.gz", render(body, rng, phase=wanted), body.affine)
        write_volume(folder / f"labels{end}" / f"{name}.nii.gz", body.labels, body.affine)
    description = {
        "name": folder.name,
        "description": DESCRIPTION,
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", description)
    return folder


def _draw_grid(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A scanner's grid: axial slices, x and y in either direction, (4, 4) affine and shape."""
    across = round(float(rng.uniform(3.55, 3.95)), 2)
    spacing = np.array([across, across, rng.choice([3.5, 3.75, 4.0])])
    shape = (*_SHAPE, int(rng.integers(*_SLICES, endpoint=True)))
    signs = np.array([*rng.choice([-1.0, 1.0], 2), 1.0])
    affine = np.diag([*(signs * spacing), 1.0])
    centre = np.array([0.0, -6.0, rng.uniform(-8, 8)])
    affine[:3, 3] = centre - np.diag(affine)[:3] * (np.array(shape) - 1) / 2
    return affine, shape


def _noise(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Noise as filtered back projection leaves it: without its slow part, correlated in a slice, more in the body."""
    white = rng.standard_normal(image.shape).astype(np.float32)
    noise = gaussian_filter(white, (0.6, 0.6, 0.3)) - gaussian_filter(white, (2.0, 2.0, 0.3))
    inside = gaussian_filter((image > -300).astype(np.float32), (8, 8, 1))
    return noise / noise.std() * rng.uniform(10, 24) * (0.5 + 0.7 * inside)
