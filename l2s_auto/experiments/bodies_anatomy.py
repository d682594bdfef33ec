"""The frame of a made trunk, in formulas: skin, fat, muscles, spine, ribs, lungs, and the space for organs.

Points are in mm in the body's RAS space; the origin is in front of the spine, near the upper lumbar vertebrae.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np

from l2s_auto.experiments.anatomy import Points
from l2s_auto.experiments.bodies_canvas import Canvas, Ellipsoid, Tube, Union


class Tissue(IntEnum):
    """What can be at a point. Two tissues may have the same Hounsfield units and different labels."""

    AIR = 0
    TABLE_SHELL = auto()
    TABLE_FOAM = auto()
    SKIN = auto()
    FAT = auto()
    MUSCLE = auto()
    BONE = auto()
    MARROW = auto()
    DISC = auto()
    CANAL = auto()
    LUNG = auto()
    HEART = auto()
    VEIN = auto()
    PANCREAS = auto()
    BOWEL_WALL = auto()
    BOWEL_CONTENT = auto()
    FAECES = auto()
    GAS = auto()
    LIVER = auto()
    LIVER_VESSEL = auto()
    LIVER_CYST = auto()
    SPLEEN = auto()
    LEFT_CORTEX = auto()
    LEFT_MEDULLA = auto()
    RIGHT_CORTEX = auto()
    RIGHT_MEDULLA = auto()
    AORTA = auto()
    STOMACH_WALL = auto()
    STOMACH_CONTENT = auto()
    STOMACH_GAS = auto()
    GALLBLADDER = auto()


@dataclass(frozen=True)
class Build:
    """What differs between persons, apart from size, pose, smooth deformation and organs; lengths in mm.

    fat       thickness of the fat under the skin at the front and the sides; two thirds of it at the back
    wall      thickness of the muscles of the wall
    breath    how far the diaphragm is above the standard; organs below it follow by a part
    spine     phase of the vertebrae and ribs along z
    """

    fat: float
    wall: float
    breath: float
    spine: float


@dataclass(frozen=True)
class Frame:
    """Fields of (X, Y, Z) depths in mm.

    skin   in the body
    room   in the space for organs of the abdomen: below the diaphragm, in front of spine and muscles
    """

    skin: np.ndarray
    room: np.ndarray


def draw_build(rng: np.random.Generator) -> Build:
    """Draw a person."""
    return Build(
        fat=float(rng.uniform(8, 26)),
        wall=float(rng.uniform(9, 14)),
        breath=float(rng.uniform(-14, 10)),
        spine=float(rng.uniform(0, _VERTEBRA)),
    )


_VERTEBRA = 34.0  # mm from one to the next along z
_RIB = 27.0


def paint_frame(canvas: Canvas, build: Build) -> Frame:
    """Paint all that organs lie in, and return where there is room for them."""
    x, y, z = canvas.points
    trunk = _trunk(canvas.points) + canvas.roughness
    fat = np.clip(build.fat * (0.85 + 0.15 * np.tanh(y / 40)), 3, None)
    skin = trunk + fat
    canvas.paint(Tissue.SKIN, skin)
    canvas.paint(Tissue.FAT, skin - 2.5)
    canvas.paint(Tissue.MUSCLE, trunk)
    cavity = trunk - build.wall
    canvas.paint(Tissue.FAT, cavity)
    back = _paint_muscles(canvas)
    above = _above_diaphragm((x, y, z - build.breath)) + canvas.roughness
    canvas.paint(Tissue.MUSCLE, np.minimum(cavity, above + 3))
    canvas.paint(Tissue.FAT, np.minimum(cavity, above))
    canvas.paint(Tissue.LUNG, np.minimum(np.minimum(cavity, above), np.minimum(np.abs(x) - 14, -back)))
    heart = Ellipsoid((-22, 32, 122 + 0.5 * build.breath), (58, 42, 44))
    box, depth = canvas.depth_of(heart, within=np.minimum(cavity, above - 2))
    canvas.paint(Tissue.HEART, depth, box)
    spine = _paint_spine(canvas, build)
    _paint_ribs(canvas, trunk, build)
    room = np.minimum(np.minimum(cavity, -above - 3.5), -np.maximum(back, spine) - 1)
    return Frame(skin, room)


def _trunk(points: Points) -> np.ndarray:
    """Depth below the outer surface of the muscles: a flattened ellipse, with a waist."""
    x, y, z = points
    waist = 1 - 0.07 * np.exp(-(((z + 55) / 55) ** 2))
    half = np.where(y > 0, 98.0, 84.0).astype(np.float32)
    radius = ((np.abs(x) / (138 * waist)) ** 2.3 + (np.abs(y) / half) ** 2.3 + 1e-4) ** (1 / 2.3)
    return np.hypot(x, y) * (1 / radius - 1) + np.where(radius < 0.1, 50, 0)


def _above_diaphragm(points: Points) -> np.ndarray:
    """About how many mm a point is above the two domes of the diaphragm."""
    x, y, z = points
    height = np.where(x > 0, 86.0, 74.0).astype(np.float32)
    round_ = ((np.abs(x) - 66) / 84) ** 2 + ((y - 5) / 98) ** 2
    return 0.75 * (z + 8 - height * np.sqrt(np.clip(1 - round_, 0.02, None)))


def _paint_muscles(canvas: Canvas) -> np.ndarray:
    """Muscles beside the spine, with some fat around them; returns depths in them, -99 far away."""
    field = np.full(canvas.shape, -99, dtype=np.float32)
    for side in (-1, 1):
        erector = Tube([(side * 31, -62, -150, 23), (side * 32, -62, 0, 22), (side * 27, -60, 150, 17)])
        psoas = Tube([(side * 24, -36, 0, 5), (side * 38, -32, -60, 16), (side * 48, -22, -150, 21)])
        box, depth = canvas.depth_of(Union((erector, psoas)))
        canvas.paint(Tissue.MUSCLE, depth, box)
        field[box] = np.maximum(field[box], depth)
    return field


def _paint_spine(canvas: Canvas, build: Build) -> np.ndarray:
    """Vertebrae with marrow, discs, arches and processes, and the spinal canal; returns depths in the spine."""
    box = canvas.box((-48, -100, -300), (48, -8, 300))
    x, y, z = canvas.at(box)
    level = np.mod(z + build.spine, _VERTEBRA) - _VERTEBRA / 2
    ring = np.hypot(x / 23, (y + 38) / 17)
    body = 18 * (1 - ring)
    arch = 14 - np.hypot(x, y + 63)
    spinous = np.minimum(3.5 - np.abs(x), np.minimum(y + 85, -70 - y))
    spinous = np.minimum(spinous, 9 - np.abs(level + 5))
    transverse = np.minimum(np.minimum(38 - np.abs(x), 4.5 - np.abs(y + 58)), 5 - np.abs(level))
    canvas.paint(Tissue.DISC, body - 1, box)
    canvas.paint(Tissue.BONE, np.minimum(body, 13 - np.abs(level)), box)
    canvas.paint(Tissue.MARROW, np.minimum(body - 2.5, 10.5 - np.abs(level)), box)
    bone = np.maximum(np.maximum(np.minimum(arch, 11 - np.abs(level)), spinous), transverse)
    canvas.paint(Tissue.BONE, bone, box)
    canvas.paint(Tissue.CANAL, arch - 4.5, box)
    field = np.full(canvas.shape, -99, dtype=np.float32)
    field[box] = np.maximum(np.maximum(body, arch), bone)
    return field


def _paint_ribs(canvas: Canvas, trunk: np.ndarray, build: Build) -> None:
    """Ribs in the muscles of the wall: down towards the front, and none below the costal margin."""
    x, y, z = canvas.points
    level = np.mod(z + 0.45 * y + 2 * build.spine, _RIB) - _RIB / 2
    across = np.hypot(1.3 * (trunk - 6.5), 0.8 * level)
    rib = np.minimum(5.5 - across, z + 62 - 1.1 * np.clip(y, 0, None))
    rib = np.minimum(rib, np.abs(x) - 14)
    canvas.paint(Tissue.BONE, rib)
    canvas.paint(Tissue.MARROW, rib - 2.5)


def paint_table(canvas: Canvas, world: Points, skin: np.ndarray) -> None:
    """A curved plate of foam in a hard shell under the back. To be painted before the body.

    world  voxel centres in the scanner's RAS mm; skin  depths in the body
    """
    x, y, _z = world
    y = np.broadcast_to(y, canvas.shape)
    back = float(y[skin > 0].min())
    top = back + 3 + 0.0011 * x**2
    plate = np.minimum(np.minimum(top - y, y - top + 24), 205 - np.abs(x))
    canvas.paint(Tissue.TABLE_SHELL, plate)
    canvas.paint(Tissue.TABLE_FOAM, plate - 3)
