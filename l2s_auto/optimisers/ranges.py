"""The ranges of the update rules' options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

#: Range as a user reads it -> whether a value is in it.
RANGES: dict[str, Callable[[float], bool]] = {
    "> 0": lambda value: 0 < value < math.inf,
    ">= 0": lambda value: 0 <= value < math.inf,
    ">= 0 and < 1": lambda value: 0 <= value < 1,
}


def check(rule: str, options: Mapping[str, tuple[float | None, str]]) -> None:
    """Raise ValueError for the first option, name -> (value, range), that is no number in its range. None passes."""
    for name, (value, wanted) in options.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not RANGES[wanted](value):
            raise ValueError(f"{rule} needs {name} {wanted}, not {value!r}")
