"""Values as a user types them: durations, shares of a work list, folds, positive numbers. For argparse's `type=`."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2s_auto.core.composition import parsed
from l2s_auto.core.limits import MAX_SECONDS, MIN_SPACING, MOST_FEATURES, WIDEST

#: Largest whole number that every library takes as a seed or a count.
MOST = 2**31 - 1
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Part:
    """This job's share of a list of cases: number `index` of `count`, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class Tuple(argparse.Action):
    """Several values of an option as a tuple."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, tuple(values))


def path(text: str) -> Path:
    """A path; not the empty one of a shell's variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("found nothing; expected a path. Is a variable of the shell empty?")
    return Path(text)


def families(text: str) -> dict[str, float]:
    """Fractions of the families of training images."""
    try:
        return parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}; {error}") from error


def duration(text: str) -> float:
    """Seconds in `90s`, `10m`, `1.5h` or `1h30m`; more than zero. A number without a unit is asked about."""
    compact = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", compact):
        shown = compact if len(compact) <= 20 else f"{compact[:19]}…"
        raise argparse.ArgumentTypeError(
            f"found {shown!r}, a time without a unit; expected a duration such as 10m. {shown}s, {shown}m or {shown}h?"
        )
    terms = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smh])", compact)
    if not terms or "".join(n + u for n, u in terms) != compact:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a duration such as 90s, 10m, 1.5h or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in terms)
    if seconds > MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"found {text[:40]!r}; expected at most {MAX_SECONDS:g} seconds")
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a duration of more than zero, such as 10m")
    return seconds


def part(text: str) -> Part:
    """`2/4`: the second of four shares."""
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(
            f"found {text!r}; expected I/N with I from 1 to N, such as 1/4 (first of four)"
        )
    return Part(int(match[1]), int(match[2]))


def fold(text: str) -> int | str:
    """`all`, or the number of a fold, counted from 0; with `fold_` before it, as its folder is called, too."""
    name = text.removeprefix("fold_")
    if name == "all":
        return name
    if not name.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a fold number (0, 1, 2, …) or all")
    return int(name)


def counts(text: str) -> list[int | None]:
    """`2,5,10,all`: whole numbers of 1 or more, and None for all."""
    return [None if term.strip() == "all" else _whole(term, least=1) for term in text.split(",")]


def count(text: str) -> int:
    """A whole number, at least 1."""
    return _whole(text, least=1)


def count_or_zero(text: str) -> int:
    """A whole number, at least 0."""
    return _whole(text, least=0)


def positive(text: str) -> float:
    """A finite number greater than 0."""
    value = _number(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number greater than 0")
    return value


def edge(text: str) -> float:
    """mm of a voxel's edge."""
    value = positive(text)
    if not MIN_SPACING <= value <= WIDEST:
        expected = f"millimetres, at least {MIN_SPACING:g}, at most {WIDEST:g}"
        raise argparse.ArgumentTypeError(f"found {text!r}; expected {expected}")
    return value


def features(text: str) -> int:
    """Features of a network's first stage."""
    value = count(text)
    if value > MOST_FEATURES:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from 1 to {MOST_FEATURES}")
    return value


def overlap(text: str) -> float:
    """A share in [0, 1)."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number from 0 to less than 1, such as 0.5")
    return value


def share(text: str) -> float:
    """A share in (0, 1]."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number greater than 0 and at most 1, such as 0.5")
    return value


def share_or_zero(text: str) -> float:
    """A fraction in [0, 1)."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number from 0 on and below 1, such as 0.1")
    return value


def _whole(text: str, *, least: int) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number, at least {least}")
    if int(text) > MOST:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number, at most {MOST}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a finite number")
    return value
