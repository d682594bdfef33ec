"""Units of length in headers: how many millimetres each is, whatever way it is spelt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

_METRE = ("meter", "metre")
_PREFIXES = {"": 1e3, "deci": 1e2, "centi": 10.0, "milli": 1.0, "micro": 1e-3, "nano": 1e-6}
_SHORT = {"m": 1e3, "dm": 1e2, "cm": 10.0, "mm": 1.0, "um": 1e-3, "nm": 1e-6}
_OTHERS = {"micron": 1e-3, "in": 25.4, "inch": 25.4, "inches": 25.4, "angstrom": 1e-7}
_MM = {
    **_SHORT, **_OTHERS, **{f"{unit}s": size for unit, size in (_OTHERS | _SHORT).items()},
    **{prefix + base + end: size for prefix, size in _PREFIXES.items() for base in _METRE for end in ("", "s")},
}  # fmt: skip
#: What headers hold that give no unit.
_NONE = ("", "?", "??", "???", "none", "unknown", "n/a", "undefined")
#: mm of a voxel's edge beyond which a header without a unit, or with a rare one, is doubted.
LEAST_USUAL, MOST_USUAL = 0.005, 50.0
#: What messages call a unit.
NAMES = {1e3: "metres", 10.0: "centimetres", 1.0: "millimetres", 1e-3: "micrometres", 1e-6: "nanometres"}


def is_none(text: str) -> bool:
    """Whether a header's text for the unit says that there is none."""
    return _plain(text) in _NONE


def millimetres(text: str) -> float | None:
    """Millimetres of one unit, by its symbol or name in any spelling; None for a text that is no unit of length."""
    return _MM.get(_plain(text))


def doubts(edges: Sequence[float], factor: float | None) -> tuple[str, ...]:
    """A sentence where the unit, or that there is none, makes voxels of a size that is rarely met.

    edges   of a voxel, in mm
    factor  millimetres of the header's unit; None: it gives none, so that millimetres were assumed
    """
    if factor == 1.0 or all(LEAST_USUAL <= edge <= MOST_USUAL for edge in edges):
        return ()
    size = " x ".join(f"{edge:.4g}" for edge in edges)
    if factor is None:
        given = "The header gives no unit of length. Millimetres were assumed"
    else:
        given = f"The header gives distances in {NAMES.get(factor, f'units of {factor:g} mm')}"
    return (f"{given}, so a voxel is {size} mm. Check this size.",)


def readable(text: str) -> str:
    """A unit as a header spells it: headers are read as Latin-1, and the sign for micro may be UTF-8."""
    with suppress(UnicodeError):
        return text.encode("latin-1").decode("utf-8")
    return text


def _plain(text: str) -> str:
    """In lower case, without quotes, points and blanks; both signs for micro become u, whatever the encoding was."""
    return readable(text).replace("µ", "u").replace("μ", "u").strip(" \t\"'.[]()\0").lower()
