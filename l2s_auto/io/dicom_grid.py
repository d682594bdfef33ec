"""The one check of where DICOM slices lie: a grid of parallel slices at equal steps, or a refusal.

Slices are sorted by their positions along the normal of their planes (PS3.3 of the standard, C.7.6.2.1.1), never by
the order of files or frames. A tilted gantry makes the third axis lean against the slices; the grid is sheared then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.io.dicom_frames import Frame
from l2s_auto.io.gunzip import DamagedFile

#: By how much directions (unit vectors) and distances (relative) of slices of one volume may differ.
_TURNED, _STRETCHED = 1e-3, 1e-3
#: By how much directions may differ from unit vectors at right angles, in their products.
_SKEWED = 1e-2
#: Fraction of the typical distance of neighbouring slices by which one may differ.
_UNEVEN = 0.05
#: mm, and fraction of the distance of slices, by which a slice may lie beside its place: positions are rounded.
_BESIDE, _BESIDE_OF_STEP = 0.1, 0.16
#: Fraction of a pixel within which two slices lie at the same place.
_SAME_PLACE = 0.01
#: Slices that differ in one of these belong to several volumes, wherever they lie.
_VOLUMES = ("StackID", "TemporalPositionIndex", "TemporalPositionIdentifier", "EffectiveEchoTime", "EchoTime",
            "DiffusionBValue")  # fmt: skip
_EXPECTED = "the slices of one volume at equal distances"
_MEND = "Export the series again, or remove what does not belong to it."
_ORIGINAL = "Export the original series, or convert it to NIfTI with a program that knows the distance of slices."
_SPLIT = "Save each time point, echo or stack as a volume of its own."


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie.

    frames   in the order of the third axis
    columns  (3, 3) steps of the three axes, LPS mm
    origin   (3,) of the first voxel, LPS mm
    notes    what was assumed, as in `Volume`
    """

    frames: tuple[Frame, ...]
    columns: np.ndarray
    origin: np.ndarray
    notes: tuple[str, ...] = ()


def refuse(where: Path, found: str, *, expected: str = _EXPECTED, mend: str = _MEND) -> NoReturn:
    """The UserError of files that are no volume."""
    raise UserError.single(
        "A DICOM scan cannot be read as one volume.", where=str(where), found=found, expected=expected, mend=mend
    )


def grid_of(
    where: Path, frames: Sequence[Frame], *, start: tuple[float, ...] | None = None, signed: bool = False
) -> Grid:
    """The grid of all slices of a volume.

    where   the file or folder, for messages
    start   the one position that a file gives for all its frames
    signed  whether the sign of SpacingBetweenSlices says where the next slice is (nuclear medicine)
    Raises UserError where slices are no volume, DamagedFile where directions are none.
    """
    notes: list[str] = []
    _check_alike(where, frames)
    frames = _oriented(where, frames, notes)
    across, down = _directions(frames[0])
    normal = np.cross(across, down) / np.linalg.norm(np.cross(across, down))
    frames = _positioned(where, frames, normal, start, signed, notes)
    _check_one_volume(where, frames)
    order, step = _ordered(where, frames, normal, notes)
    first = order[0]
    if first.spacing_from != "PixelSpacing":
        notes.append(f"the pixel spacing is {first.spacing_from}, since PixelSpacing is missing")
    assert first.spacing is not None and first.position is not None
    columns = np.stack([across * first.spacing[1], down * first.spacing[0], step], axis=1)
    return Grid(tuple(order), columns, np.array(first.position), tuple(notes))


def _check_alike(where: Path, frames: Sequence[Frame]) -> None:
    """Refuse slices without directions or a pixel spacing, and slices that differ in these or in their size."""
    for what, of in (("directions", lambda one: one.directions), ("a pixel spacing", lambda one: one.spacing)):
        lacking = [one.name for one in frames if of(one) is None]
        if lacking and len(lacking) < len(frames):
            refuse(where, f"{len(lacking)} of {len(frames)} slices without {what}: {some_of(lacking, most=3)}")
    if frames[0].spacing is None:
        refuse(
            where,
            "no pixel spacing (PixelSpacing, ImagerPixelSpacing and NominalScannedPixelSpacing are missing)",
            expected="the distance of neighbouring pixels in mm",
            mend="Convert the scan to NIfTI with a program that knows its pixel spacing.",
        )
    usual = _usual(frames)
    differing = [(one, _differences(one, usual)) for one in frames]
    found = [(one.name, way) for one, ways in differing for way in ways]
    names = list(dict.fromkeys(name for name, _ in found))
    if not found:
        return
    ways = list(dict.fromkeys(way for _, way in found))
    how = "another size" if all(one.size != usual.size for one, ways in differing if ways) else ""
    how = "other directions or another pixel spacing" if not how or len(ways) > 1 else how
    refuse(
        where,
        f"{len(names)} of {len(frames)} slices that do not fit: {some_of(names, most=3)} with {how} than {usual.name} "
        f"({some_of(ways, most=4)})",
    )


def _usual(frames: Sequence[Frame]) -> Frame:
    """A slice that is like most of them."""
    kinds = [(one.size, one.spacing, tuple(round(x, 2) for x in one.directions or ())) for one in frames]
    return frames[kinds.index(Counter(kinds).most_common(1)[0][0])]


def _differences(one: Frame, usual: Frame) -> list[str]:
    """What would make both slices of different grids; ITK would give all slices the first one's."""
    assert one.spacing is not None and usual.spacing is not None
    if (one.directions, one.size, one.spacing) == (usual.directions, usual.size, usual.spacing):
        return []
    ways = []
    if one.directions != usual.directions:
        turned = np.subtract(one.directions or np.zeros(6), usual.directions or np.zeros(6))
        if np.abs(turned).max() > _TURNED:
            ways.append("another plane")
    if one.size != usual.size:
        ways.append(f"{one.size[0]} x {one.size[1]} instead of {usual.size[0]} x {usual.size[1]} pixels")
    if not np.allclose(one.spacing, usual.spacing, rtol=_STRETCHED, atol=0):
        ways.append(f"pixels of {one.spacing[0]:g} x {one.spacing[1]:g} instead of {usual.spacing[0]:g} x "
                    f"{usual.spacing[1]:g} mm")  # fmt: skip
    if ways and "LOCALIZER" in one.traits.get("ImageType", "").upper():
        ways.append("a localizer")
    return ways


def _oriented(where: Path, frames: Sequence[Frame], notes: list[str]) -> Sequence[Frame]:
    if frames[0].directions is not None:
        return frames
    placed = any(one.position is not None for one in frames)
    if len({one.file for one in frames}) > 1 or (placed and len(frames) > 1):
        refuse(
            where,
            f"{len(frames)} slices without ImageOrientationPatient"
            + ("" if placed else " and ImagePositionPatient")
            + ": neither their order nor their distance is known",
            expected="slices that say where they lie",
            mend=_ORIGINAL,
        )
    notes.append("it has no orientation (ImageOrientationPatient); slices are taken as axial, with the patient's "
                 "right on the left")  # fmt: skip
    return [replace(one, directions=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)) for one in frames]


def _directions(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    assert frame.directions is not None
    across, down = np.array(frame.directions[:3]), np.array(frame.directions[3:])
    if not np.allclose([across @ across, down @ down, across @ down], [1, 1, 0], atol=_SKEWED):
        raise DamagedFile("directions of rows and columns that are no unit vectors at right angles")
    return across / np.linalg.norm(across), down / np.linalg.norm(down)


def _positioned(
    where: Path,
    frames: Sequence[Frame],
    normal: np.ndarray,
    start: tuple[float, ...] | None,
    signed: bool,
    notes: list[str],
) -> Sequence[Frame]:
    """The same slices with their positions, where they can be had."""
    lacking = [one.name for one in frames if one.position is None]
    if not lacking:
        return frames
    if len(lacking) < len(frames):
        refuse(where, f"{len(lacking)} of {len(frames)} slices without a position: {some_of(lacking, most=3)}")
    if len({one.file for one in frames}) > 1:
        refuse(
            where,
            f"{len(frames)} slices without ImagePositionPatient: neither their order nor their distance is known",
            expected="slices that say where they lie",
            mend=_ORIGINAL,
        )
    if start is None:
        notes.append("it has no position (ImagePositionPatient); its first voxel is placed at 0, 0, 0 mm")
        start = (0.0, 0.0, 0.0)
    if len(frames) == 1:
        return [replace(frames[0], position=start)]
    _check_one_volume(where, frames)
    between = frames[0].between
    if between is None or len({one.between for one in frames}) > 1:
        thickness = frames[0].thickness
        refuse(
            where,
            f"{len(frames)} frames without positions of their own and without SpacingBetweenSlices"
            + (f" (SliceThickness {thickness:g} is not the distance of slices)" if thickness else ""),
            expected="frames that say where they lie",
            mend=_ORIGINAL,
        )
    step = between if signed else abs(between)
    if not signed:
        notes.append(
            f"it has one position for {len(frames)} frames; they are taken as {step:g} mm apart "
            "(SpacingBetweenSlices), in the order of the file"
        )
    return [replace(one, position=tuple(start + k * step * normal)) for k, one in enumerate(frames)]


def _check_one_volume(where: Path, frames: Sequence[Frame]) -> None:
    for trait in _VOLUMES:
        values = list(dict.fromkeys(one.traits[trait] for one in frames if trait in one.traits))
        if len(values) < 2 or (trait in ("EffectiveEchoTime", "EchoTime") and _nearly_equal(values)):
            continue
        examples = [next(one.name for one in frames if one.traits.get(trait) == value) for value in values[:2]]
        refuse(
            where,
            f"slices of {len(values)} volumes ({trait} {some_of(values, most=4)}), such as {examples[0]} "
            f"and {examples[1]}",
            expected="one volume",
            mend=_SPLIT,
        )


def _nearly_equal(values: Sequence[str]) -> bool:
    try:
        found = [float(value) for value in values]
    except ValueError:
        return False
    return max(found) - min(found) <= 0.01 * max(map(abs, found))


def _ordered(
    where: Path, frames: Sequence[Frame], normal: np.ndarray, notes: list[str]
) -> tuple[list[Frame], np.ndarray]:
    """The slices sorted along the normal, and the (3,) step between them; a negative one where the file has that."""
    positions = np.array([one.position for one in frames])
    places = positions @ normal
    order = np.argsort(places, kind="stable")
    frames, positions, places = [frames[k] for k in order], positions[order], places[order]
    if len(frames) == 1:
        return frames, normal * _thickness(frames[0], notes)
    _check_places(where, frames, positions, places)
    typical = float(np.median(np.diff(places)))
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    _check_steps(where, frames, positions, places, step)
    between = frames[0].between
    if between is not None and not any(
        abs(abs(between) - distance) <= _UNEVEN * distance for distance in (typical, float(np.linalg.norm(step)))
    ):
        notes.append(
            f"slices are {typical:.4g} mm apart by their positions, which are used; SpacingBetweenSlices is {between:g}"
        )
    return frames, step


def _check_steps(
    where: Path, frames: Sequence[Frame], positions: np.ndarray, places: np.ndarray, step: np.ndarray
) -> None:
    """Refuse neighbouring slices whose distance is not the typical one, and slices beside the line of the others."""
    steps = np.diff(places)
    typical = float(np.median(steps))
    beside = np.linalg.norm(positions - positions[0] - np.arange(len(frames))[:, np.newaxis] * step, axis=1)
    if beside.max() <= min(_BESIDE, _BESIDE_OF_STEP * typical):  # rounded positions
        return
    allowed = max(_UNEVEN * typical, 1e-3)
    far = np.flatnonzero(~(np.abs(steps - typical) <= allowed))
    if pairs := [f"{steps[k]:.2f} mm from {frames[k].name} to {frames[k + 1].name}" for k in far.tolist()]:
        refuse(
            where,
            f"slices of {typical:.2f} mm distance, but {some_of(pairs, most=3)}: some are missing, "
            "or their distances differ",
        )
    moves = np.diff(positions, axis=0)
    apart = np.linalg.norm(moves - np.median(moves, axis=0), axis=1)
    pairs = [f"{frames[k].name} and {frames[k + 1].name}" for k in np.flatnonzero(~(apart <= allowed)).tolist()]
    if not pairs and not beside.max() <= max(_UNEVEN * typical, _BESIDE):
        pairs = [frames[int(beside.argmax())].name]
    if pairs:
        refuse(where, f"slices that are not in line with the others: {some_of(pairs, most=3)}")


def _check_places(where: Path, frames: Sequence[Frame], positions: np.ndarray, places: np.ndarray) -> None:
    """Refuse slices at the same place."""
    assert frames[0].spacing is not None
    limit, steps = _SAME_PLACE * min(frames[0].spacing), np.diff(places)
    same = np.flatnonzero(steps <= limit).tolist()
    if not same:
        return
    pairs = [(frames[k], frames[k + 1]) for k in same]
    names = [f"{steps[k]:.2f} mm from {frames[k].name} to {frames[k + 1].name}" for k in same]
    moved = np.linalg.norm(positions[1:] - positions[:-1], axis=1)[same]
    how = "the same place" if moved.max() <= limit else "the same plane"
    first, second = pairs[0]
    differ = [
        f"{trait} {first.traits.get(trait, 'none')} and {second.traits.get(trait, 'none')}"
        for trait in sorted(first.traits.keys() | second.traits.keys())
        if first.traits.get(trait) != second.traits.get(trait)
    ]
    why = f", and differ in {some_of(differ, most=3)}" if differ else ""
    times = f" of {len(same)} pairs" if len(same) > 1 else ""
    distance = f"slices of {np.median(steps[steps > limit]):.2f} mm distance, but " if steps.max() > limit else ""
    refuse(
        where,
        f"{distance}{some_of(names, most=3)}: the slices{times} lie at {how}{why}",
        mend=_SPLIT if differ else "Remove what is there twice, or save each volume on its own.",
    )


def _thickness(frame: Frame, notes: list[str]) -> float:
    """mm along the third axis of a single slice, which nothing but its thickness tells."""
    for name, value in (("SpacingBetweenSlices", frame.between), ("SliceThickness", frame.thickness)):
        if value is not None and value != 0:
            notes.append(f"it is one slice; its third axis has {abs(value):g} mm ({name})")
            return abs(value)
    notes.append("it is one slice without a thickness; 1 mm is assumed, so volumes in mm³ are areas in mm²")
    return 1.0
