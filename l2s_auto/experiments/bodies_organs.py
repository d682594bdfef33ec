"""The organs of a made trunk: those with a label, and bowel, pancreas and veins around them.

Each person's organs are standard shapes, moved, turned and scaled at random; the fields of the frame and the roughness
of the canvas shape them further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2s_auto.experiments.anatomy import Triple
from l2s_auto.experiments.bodies_anatomy import Tissue
from l2s_auto.experiments.bodies_canvas import Canvas, Ellipsoid, Shape, Tube, Union
from l2s_auto.experiments.drawing import rotation

Path4 = list[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Contents:
    """What a hollow organ is made of.

    filling  what it holds, with `offset` HU above others of its kind
    gas      height in mm along y, from the middle, above which it holds gas; inf: none
    """

    wall: Tissue
    filling: Tissue
    air: Tissue
    thickness: float
    gas: float
    offset: float = 0.0


def paint_organs(canvas: Canvas, room: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    """Paint what is in the abdomen, from back to front as far as one thing covers another.

    room   (X, Y, Z) depths in the space for organs;  shift  mm by which the upper organs are moved up
    """
    _paint_bowel(canvas, room, rng)
    _paint_vessels(canvas, rng)
    _paint_pancreas(canvas, room, shift, rng)
    _paint_stomach(canvas, room, shift, rng)
    _paint_spleen(canvas, room, shift, rng)
    _paint_liver(canvas, room, shift, rng)
    for side in (-1, 1):
        _paint_kidney(canvas, room, side, rng)
    _paint_gallbladder(canvas, room, shift, rng)


def _organ(rng: np.random.Generator, centre: Triple, radii: Triple, *, turn: float = 0.2, move: float = 5) -> Ellipsoid:
    """A standard ellipsoid as a person has it: moved by a few mm, scaled by about a tenth, turned by up to `turn`."""
    place = np.array(centre) + rng.uniform(-move, move, 3)
    size = np.array(radii) * rng.uniform(0.9, 1.1) * rng.uniform(0.93, 1.07, 3)
    (x, y, z), (a, b, c) = place.tolist(), size.tolist()
    return Ellipsoid((x, y, z), (a, b, c), rotation(rng, turn))


def _course(rng: np.random.Generator, path: Path4, *, move: float = 5, size: float = 0.12) -> Tube:
    """A standard tube as a person has it: moved as a whole, bent at its nodes, wider or narrower."""
    nodes = np.array(path, dtype=np.float64)
    nodes[:, :3] += rng.uniform(-move, move, 3) + rng.uniform(-move / 2, move / 2, (len(nodes), 3))
    nodes[:, 3] *= rng.uniform(1 - size, 1 + size)
    return Tube([(x, y, z, r) for x, y, z, r in nodes.tolist()])


def _paint_hollow(canvas: Canvas, shape: Shape, room: np.ndarray, contents: Contents) -> None:
    """Wall, filling, and the gas that is in front of it, since the person lies on the back."""
    box, depth = canvas.depth_of(shape, within=room)
    if not depth.size:
        return
    canvas.paint(contents.wall, depth, box)
    inside = depth - contents.thickness
    canvas.paint(contents.filling, inside, box, offset=contents.offset)
    if np.isfinite(contents.gas):
        low, high = shape.bounds()
        level = (low[1] + high[1]) / 2 + contents.gas
        canvas.paint(contents.air, np.minimum(inside, canvas.at(box)[1] - level), box)


def _paint_bowel(canvas: Canvas, room: np.ndarray, rng: np.random.Generator) -> None:
    """Loops of small bowel at random places, some with gas or oral contrast, and the colon around them."""
    contrast = 220.0 if rng.random() < 0.2 else 0.0  # what some have drunk before the scan
    for _ in range(rng.integers(9, 15)):
        path = bowel_loop(rng)
        gas = float(rng.uniform(-5, 8)) if rng.random() < 0.3 else np.inf
        filling = contrast * rng.uniform(0.5, 1) + rng.uniform(-10, 30)
        contents = Contents(Tissue.BOWEL_WALL, Tissue.BOWEL_CONTENT, Tissue.GAS, 3.0, gas, filling)
        _paint_hollow(canvas, Tube(path), room, contents)
    _paint_colon(canvas, room, rng)


def bowel_loop(rng: np.random.Generator) -> Path4:
    """Three steps of 30 mm in random directions, turned back at the limits of the lower abdomen."""
    low, high = np.array((-90, -5, -140)), np.array((90, 78, -25))
    nodes = [rng.uniform(low + 10, high - 10)]
    for _ in range(3):
        step = rng.standard_normal(3) * (1, 0.6, 0.6)
        step *= 30 / np.linalg.norm(step)
        end = nodes[-1] + step
        nodes.append(nodes[-1] + np.where((end < low) | (end > high), -step, step))
    radius = float(rng.uniform(9, 14))
    return [(x, y, z, radius) for x, y, z in (node.tolist() for node in nodes)]


def _paint_colon(canvas: Canvas, room: np.ndarray, rng: np.random.Generator) -> None:
    """Ascending, transverse and descending colon, each with faeces and mostly with gas."""
    courses: tuple[Path4, ...] = (
        [(100, -18, -150, 27), (100, -12, -90, 25), (92, 5, -48, 21)],
        [(92, 30, -48, 20), (55, 68, -68, 19), (0, 76, -78, 18), (-55, 68, -55, 18), (-92, 28, -12, 17)],
        [(-104, -8, -15, 16), (-108, -18, -70, 16), (-100, -16, -150, 18)],
    )
    for path in courses:
        gas = float(rng.uniform(-12, 12)) if rng.random() < 0.75 else np.inf
        contents = Contents(Tissue.BOWEL_WALL, Tissue.FAECES, Tissue.GAS, 2.5, gas, float(rng.uniform(-40, 60)))
        _paint_hollow(canvas, _course(rng, path, move=9, size=0.3), room, contents)


def _paint_vessels(canvas: Canvas, rng: np.random.Generator) -> None:
    """Aorta, its calcified spots, and the inferior vena cava."""
    width = float(rng.uniform(0.85, 1.2))
    bend = float(rng.uniform(-5, 5))
    path = [(-12, -26, 150, 12), (-6 + bend, -12, 60, 11.5), (-8 + bend, -9, 0, 10.5), (-5, -9, -140, 9.0)]
    aorta = Tube([(x, y, z, r * width) for x, y, z, r in path])
    cava = _course(rng, [(24, -10, -150, 11), (22, -10, 0, 11), (26, 0, 70, 12), (18, 12, 100, 12)], move=3)
    box, depth = canvas.depth_of(cava)
    canvas.paint(Tissue.VEIN, depth, box)
    box, depth = canvas.depth_of(aorta)
    canvas.paint(Tissue.AORTA, depth, box)


def _paint_pancreas(canvas: Canvas, room: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    path: Path4 = [(30, 12, -28, 14), (18, 22, -8, 11), (-20, 22, 2, 9), (-70, -8, 16, 10)]
    shape = _course(rng, [(x, y, z + 0.5 * shift, r) for x, y, z, r in path])
    box, depth = canvas.depth_of(shape, within=room)
    canvas.paint(Tissue.PANCREAS, depth, box)
    vein = Tube([(-60, -12, 14 + 0.5 * shift, 4), (-5, 8, 2 + 0.5 * shift, 6), (24, 12, 12 + 0.5 * shift, 7)])
    box, depth = canvas.depth_of(vein, within=room)
    canvas.paint(Tissue.VEIN, depth, box)


def _paint_stomach(canvas: Canvas, room: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    """From below the left dome to the pylorus; more or less full."""
    path: Path4 = [(-62, -8, 56, 29), (-68, 26, 28, 25), (-48, 52, -4, 20), (-12, 58, -16, 16), (20, 46, -10, 10)]
    shape = _course(rng, [(x, y, z + shift, r) for x, y, z, r in path], size=0.22)
    gas = float(rng.uniform(-2, 28))
    contents = Contents(
        Tissue.STOMACH_WALL,
        Tissue.STOMACH_CONTENT,
        Tissue.STOMACH_GAS,
        float(rng.uniform(3.5, 5.5)),
        gas,
        float(rng.uniform(150, 260) if rng.random() < 0.15 else rng.uniform(-10, 30)),
    )
    _paint_hollow(canvas, shape, room, contents)


def _paint_spleen(canvas: Canvas, room: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    """A bean with its hollow towards the stomach."""
    bean = _organ(rng, (-99, -28, 26 + shift), (31, 48, 50), turn=0.3)
    box, depth = canvas.depth_of(bean, within=room - 1.5)
    hollow = _organ(rng, (-62, -10, 26 + shift), (24, 34, 40))
    canvas.paint(Tissue.SPLEEN, np.minimum(depth, -hollow.depth(canvas.at(box))), box)


def _paint_liver(canvas: Canvas, room: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    """Right and left lobe, vessels in them, and cysts in some persons."""
    right = _organ(rng, (72, -2, 17 + shift), (66, 80, 76))
    left = _organ(rng, (4, 42, 38 + shift), (72, 34, 32))
    space = np.minimum(room - 1.5, room * 0.3 + canvas.roughness + 3)
    box, depth = canvas.depth_of(Union((right, left)), within=space)
    canvas.paint(Tissue.LIVER, depth, box)
    portal: Path4 = [(24, 12, 12, 7), (50, 8, 22, 6), (78, 0, 30, 4), (100, -10, 36, 2)]
    branch: Path4 = [(34, 12, 18, 6), (12, 36, 34, 4.5), (-20, 48, 42, 2.5)]
    hepatic: Path4 = [(28, 2, 62, 6), (58, 10, 50, 5), (88, 16, 22, 2.5)]
    inner = np.full(canvas.shape, -99, dtype=np.float32)
    inner[box] = depth - 2
    for path in (portal, branch, hepatic):
        course = _course(rng, [(x, y, z + shift, r) for x, y, z, r in path], move=7, size=0.2)
        place, vessel = canvas.depth_of(course, within=inner)
        canvas.paint(Tissue.LIVER_VESSEL, vessel, place)
    for _ in range(max(0, int(rng.integers(-2, 3)))):
        x, y, z = (float(v) for v in rng.uniform((40, -40, -10), (105, 40, 55)))
        r = float(rng.uniform(5, 13))
        place, cyst = canvas.depth_of(Ellipsoid((x, y, z + shift), (r, r, r)), within=inner)
        canvas.paint(Tissue.LIVER_CYST, cyst, place)


def _paint_kidney(canvas: Canvas, room: np.ndarray, side: int, rng: np.random.Generator) -> None:
    """Fat around it, cortex, pyramids of medulla, and the sinus of fat, which is not labelled."""
    low = -24.0 if side > 0 else -14.0
    whole = _organ(rng, (side * 68, -36, low), (27, 25, 52), turn=0.25, move=7)
    box, depth = canvas.depth_of(whole, within=room - 1.5)
    x, y, z = canvas.at(box)
    a, b, c = whole.centre
    sinus = Ellipsoid((a - side * 22, b + 8, c), (18, 10, 21)).depth((x, y, z))
    kidney = np.minimum(depth, -sinus)
    cortex, medulla = (
        (Tissue.RIGHT_CORTEX, Tissue.RIGHT_MEDULLA) if side > 0 else (Tissue.LEFT_CORTEX, Tissue.LEFT_MEDULLA)
    )
    canvas.paint(Tissue.FAT, np.minimum(depth + 5, room[box]), box)
    canvas.paint(cortex, kidney, box)
    columns = 3 * np.cos((z - c) / 6.5) * np.cos(3 * np.arctan2(y - b, x - a))
    canvas.paint(medulla, np.minimum(depth - 7 + np.minimum(columns, 1), -sinus), box)


def _paint_gallbladder(canvas: Canvas, room: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    path: Path4 = [(40, 34, -14, 7), (48, 50, -28, 13), (52, 58, -44, 14)]
    shape = _course(rng, [(x, y, z + shift, r) for x, y, z, r in path], move=6, size=0.2)
    box, depth = canvas.depth_of(shape, within=room - 1)
    canvas.paint(Tissue.GALLBLADDER, depth, box)
