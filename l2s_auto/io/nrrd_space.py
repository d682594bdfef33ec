"""Where the grid of an NRRD file lies: its space, its units, and what has to be assumed where they are missing."""

from __future__ import annotations

import re

import numpy as np

from l2s_auto.io import units
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.notes import NO_ORIENTATION
from l2s_auto.io.text_header import finite, integers, numbers, shown
from l2s_auto.io.world import AS_ITK, FLAT, LPS_IN_MM, NO_SPACING, Frame, lps_affine

#: Signs that take the first two axes of a space to left and posterior.
_SPACES = {
    "right-anterior-superior": (-1, -1), "ras": (-1, -1), "left-anterior-superior": (1, -1), "las": (1, -1),
    "left-posterior-superior": (1, 1), "lps": (1, 1), "scanner-xyz": (1, 1), "3d-right-handed": (1, 1),
    "3d-left-handed": (1, 1),
}  # fmt: skip
#: Spaces that do not say where left, posterior and superior are.
_VAGUE = ("scanner-xyz", "3d-right-handed", "3d-left-handed", "")
_VAGUE_SPACE = (
    "The header's space is not anatomical. left-posterior-superior was assumed, as ITK does. Check left and right."
)
_UNITS_OF_AXES = "The header gives no units of its space. Those of its axes were used."
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
Placed = tuple[np.ndarray, Frame, tuple[str, ...]]


def place(fields: dict[str, str], axes: int, domain: list[int]) -> Placed:
    """(4, 4) voxel -> RAS+ mm, the header's own coordinates, and what was assumed.

    axes    how many the array has
    domain  those of space and time
    """
    has_space = "space" in fields or "space dimension" in fields
    placed = _in_space if has_space and "space directions" in fields else _along_axes
    affine, frame, notes = placed(fields, axes, domain)
    edges = np.linalg.norm(affine[:3, : min(3, len(domain))], axis=0).tolist()
    flat = (FLAT,) if len(domain) == 2 else ()
    if NO_SPACING in notes:
        return affine, frame, (*notes, *flat)
    return affine, frame, (*notes, *flat, *units.doubts(edges, frame.factor if frame.unit else None))


def _along_axes(fields: dict[str, str], axes: int, domain: list[int]) -> Placed:
    """Spacings without directions."""
    notes = [f"{NO_ORIENTATION} (space directions). {AS_ITK}"]
    if "space" in fields or "space dimension" in fields:
        _space(fields, len(domain))  # which is checked all the same
    if "spacings" not in fields:
        notes.append(NO_SPACING)
    spacing = numbers(fields.get("spacings", "1 " * axes), "spacings", count=axes)
    spacing = finite(tuple(spacing[axis] for axis in domain), "spacings")
    origin = np.zeros(len(domain))
    if "axis mins" in fields:
        mins = numbers(fields["axis mins"], "axis mins", count=axes)
        centers = fields.get("centerings", "cell " * axes).lower().split()
        if len(centers) != axes or "spacings" not in fields:
            raise DamagedFile("axis mins without the spacings and centerings of all axes")
        at_edge = np.array([centers[axis] != "node" for axis in domain])
        origin = np.array(finite(tuple(mins[axis] for axis in domain), "axis mins")) + at_edge * np.array(spacing) / 2
    if "space origin" in fields:
        origin = _origin(fields, len(domain))
    name = "units" if "units" in fields else "space units"
    count = axes if name == "units" else len(domain)
    given = _units(fields, name, count, domain if name == "units" else list(range(count)))
    frame = LPS_IN_MM if given is None else _frame(LPS_IN_MM, *given)
    factors = np.ones(len(domain)) if given is None else given[1]
    return lps_affine(np.diag(spacing) * factors, list(origin * factors)), frame, tuple(notes)


def _in_space(fields: dict[str, str], axes: int, domain: list[int]) -> Placed:
    n = len(domain)
    base, signs = _space(fields, n)
    if "spacings" in fields or "axis mins" in fields:
        raise DamagedFile("spacings in a space, but expected space directions")
    vectors = re.findall(r"\([^()]*\)|none", fields["space directions"])
    if len(vectors) != axes or re.sub(r"\([^()]*\)|none|\s", "", fields["space directions"]):
        raise DamagedFile(f"space directions: {shown(fields['space directions'])}, but expected {axes} vectors")
    columns = np.stack([_vector(vectors[axis], n, "space directions") for axis in domain], axis=1)
    origin = _origin(fields, n)
    notes = [_VAGUE_SPACE] if base in _VAGUE else []
    frame = Frame(space=base, signs=signs) if base not in _VAGUE else LPS_IN_MM
    if (given := _units(fields, "space units", n, list(range(n)))) is not None:
        columns, origin = given[1][:, np.newaxis] * columns, given[1] * origin
        frame = _frame(frame, *given)
        if len(set(given[1][:3])) > 1:
            notes.append(f"The header gives several units ({shown(fields['space units'])}). Each axis was converted.")
    elif (of_axes := _units(fields, "units", axes, domain)) is not None:
        if len(set(of_axes[1][:3])) > 1:
            raise DamagedFile("different units of its axes, and none of its space, but expected space units")
        columns, origin = of_axes[1][0] * columns, of_axes[1][0] * origin
        frame = _frame(frame, *of_axes)
        if frame.factor != 1.0:
            notes.append(_UNITS_OF_AXES)
    for axis, sign in enumerate(signs):
        columns[axis] *= sign
        origin[axis] *= sign
    return lps_affine(columns, list(origin)), frame, tuple(notes)


def _space(fields: dict[str, str], n: int) -> tuple[str, tuple[int, int]]:
    """The name of the space, time left out, empty where it has none, and its signs."""
    if "space" in fields and "space dimension" in fields:
        raise DamagedFile("the fields space and space dimension, of which one is expected")
    base, signs = "", (1, 1)
    if "space" in fields:
        name = fields["space"].lower()
        base = name.removesuffix("-time") if len(name) > 4 else name.removesuffix("t")
        if base not in _SPACES:
            raise DamagedFile(f"space: {shown(fields['space'])}, but expected one of {', '.join(_SPACES)}")
        signs, size = _SPACES[base], 3 if base == name else 4
    else:
        (size,) = integers(fields["space dimension"], "space dimension", least=2, most=4)
    if size != n:
        raise DamagedFile(f"{n} axes of space or time, but directions in a space of {size} dimensions")
    return base, signs


def _origin(fields: dict[str, str], n: int) -> np.ndarray:
    return _vector(fields["space origin"], n, "space origin") if "space origin" in fields else np.zeros(n)


def _vector(text: str, count: int, name: str) -> np.ndarray:
    if not (text.startswith("(") and text.endswith(")")):
        raise DamagedFile(f"{name}: {shown(text)}, but expected a vector")
    return np.array(finite(numbers(text[1:-1].replace(",", " "), name, count=count), name))


def _frame(frame: Frame, unit: str, factors: np.ndarray) -> Frame:
    """The same coordinates in a unit; axes of space that have several are written in mm."""
    several = len(set(factors[:3])) > 1
    return Frame(
        frame.space, frame.signs, "mm" if several else units.readable(unit), 1.0 if several else float(factors[0])
    )


def _units(fields: dict[str, str], name: str, count: int, wanted: list[int]) -> tuple[str, np.ndarray] | None:
    """(the unit of the first axis as it is spelt, mm of each unit), of the first three axes; None: there are none.

    A unit that only some of the axes have is that of all.
    """
    if name not in fields:
        return None
    texts = _QUOTED.findall(fields[name]) if '"' in fields[name] else fields[name].split()
    if len(texts) != count:
        raise DamagedFile(f"{name}: {shown(fields[name])}, but expected {count}")
    spatial = [texts[axis] for axis in wanted[:3]]
    known = {text: units.millimetres(text) for text in spatial if not units.is_none(text)}
    for text, factor in known.items():
        if factor is None:
            raise DamagedFile(f"{name}: {shown(text)}, but expected a unit of length: mm, cm, m, um or nm")
    if not known:
        return None
    first = next(iter(known))
    sizes = [known.get(text) or known[first] or 1.0 for text in spatial]
    return first, np.array([*sizes, *(1.0 for _ in wanted[3:])])
