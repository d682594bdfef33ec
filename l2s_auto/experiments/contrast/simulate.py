"""Simulated scans of label maps: persons and their tissues, a sequence's signals, partial volume, coil, noise."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, zoom

from l2s_auto.experiments.contrast.physics import Flash, Mprage, Tissue
from l2s_auto.synthesis.deform import DeformationRanges, coarse_positions, draw_deformation, refine, warp_image

#: How persons differ, from one another and from place to place: standard deviation of the logarithm of T1, T2* and
#: water between persons, and of T1 within a tissue, which changes over so many mm.
BETWEEN, WITHIN, WITHIN_MM = 0.03, 0.03, 4.0
#: Largest factor of the coil's field at its nodes, and its nodes an axis.
COIL, NODES = 1.4, 3
#: Noise of each of the two channels of the complex signal, as a share of the brightest tissue's signal: from, to.
NOISE = (0.01, 0.04)
#: Persons are deformed copies of the heads there are.
PERSON = DeformationRanges(rotation=8.0, scale=0.08, shear=0.04, translation=3.0, elastic=1.4, elastic_nodes=24.0)


@dataclass(frozen=True)
class Person:
    """labels: (X, Y, Z) classes at 1 mm or so; tissues: one a class; texture: (X, Y, Z) unit noise within tissues."""

    labels: np.ndarray
    tissues: tuple[Tissue, ...]
    texture: np.ndarray


def make_person(
    head: np.ndarray, sizes: tuple[float, float, float], tissues: Mapping[int, Tissue], *, name: str, same: bool = False
) -> Person:
    """Someone with a head like this: (X, Y, Z) classes of `sizes` mm. The same name is the same person.

    same  the head as it is
    """
    seed = zlib.crc32(name.encode())
    labels = head if same else deformed(head, sizes, seed=seed)
    rng = np.random.default_rng(seed)

    def varied(value: float) -> float:
        return float(value * np.exp(BETWEEN * rng.standard_normal()))

    own = tuple(
        replace(t, t1=varied(t.t1), t2star=varied(t.t2star), water=min(1.0, varied(t.water)))
        for t in (tissues[number] for number in sorted(tissues))
    )
    noise = gaussian_filter(rng.standard_normal(labels.shape).astype(np.float32), [WITHIN_MM / s for s in sizes])
    return Person(labels, own, noise / max(float(noise.std()), 1e-6))


def deformed(head: np.ndarray, sizes: tuple[float, float, float], *, seed: int) -> np.ndarray:
    """The labels at the nearest voxels of a random deformation."""
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(head.shape)
    deformation = draw_deformation(1, shape, sizes, PERSON, generator)
    where = refine(coarse_positions(deformation, shape=shape, box=shape, spacing=sizes), shape)
    labels = torch.from_numpy(head.astype(np.float32))[None, None]
    return warp_image(labels, where, mode="nearest")[0, 0].numpy().astype(head.dtype)


def scan(person: Person, sequence: Flash | Mprage, *, factor: tuple[int, int, int], name: str) -> np.ndarray:
    """(X, Y, Z) float32 magnitude image of the person, in voxels `factor` times as large; the same name, the same scan.

    Signals are averaged over a voxel (partial volume); T1 varies within tissues; the coil's sensitivity is smooth; the
    noise is that of a complex signal, so that it is Rician.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    signals = np.array([sequence.signal(t) for t in person.tissues], dtype=np.float32)
    longer = [sequence.signal(replace(t, t1=t.t1 * (1 + WITHIN))) for t in person.tissues]
    slopes = np.array(longer, dtype=np.float32) - signals
    fine = signals[person.labels] + slopes[person.labels] * person.texture
    image = averaged(fine.clip(0), factor)
    nodes = rng.uniform(-np.log(COIL), np.log(COIL), (NODES,) * 3)
    field = zoom(nodes, [n / NODES for n in image.shape], order=1, grid_mode=True, mode="nearest")
    image = image * np.exp(field[tuple(slice(0, n) for n in image.shape)])
    sigma = rng.uniform(*NOISE) * float(signals.max())
    real, imaginary = sigma * rng.standard_normal((2, *image.shape))
    return np.hypot(image + real, imaginary).astype(np.float32)


def averaged(image: np.ndarray, factor: tuple[int, int, int]) -> np.ndarray:
    """The mean over blocks; what is left over at the far ends is cut off."""
    x, y, z = (n // f for n, f in zip(image.shape, factor, strict=True))
    a, b, c = factor
    return image[: x * a, : y * b, : z * c].reshape(x, a, y, b, z, c).mean((1, 3, 5))


def most(labels: np.ndarray, factor: tuple[int, int, int]) -> np.ndarray:
    """The class that most of a block has, the lowest of equals."""
    best = np.zeros(tuple(n // f for n, f in zip(labels.shape, factor, strict=True)), np.float32)
    found = np.zeros(best.shape, labels.dtype)
    for value in np.unique(labels):
        share = averaged((labels == value).astype(np.float32), factor)
        found[share > best] = value
        best = np.maximum(best, share)
    return found
