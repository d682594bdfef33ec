"""Left and right partners among labels: from their names, or because they are mirror images of each other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from l2s_auto.core.plan import CaseFingerprint
from l2s_auto.planning.mirror import mirrored_pairs

_SIDES = {"left": "right", "l": "r", "lh": "rh", "lt": "rt"}
_OTHER = {**_SIDES, **{right: left for left, right in _SIDES.items()}}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


def determine_pairs(labels: Mapping[int, str], cases: Sequence[CaseFingerprint] = ()) -> tuple[tuple[int, int], ...]:
    """Label value -> name, background included: the values (left, right) of each pair, by the left value.

    Names come first: a label whose name tells its side is paired by name or not at all. The others are pairs if they
    are mirror images of each other in the cases.
    """
    told = {value for value, name in labels.items() if tells_side(name)}
    others = [value for value in labels if value != 0 and value not in told]
    mirrored = mirrored_pairs(cases, [value for value in labels if value != 0]) if others else ()
    return tuple(sorted([*named_pairs(labels), *(pair for pair in mirrored if not told & set(pair))]))


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def tells_side(name: str) -> bool:
    """Whether a label's name says that it is on one side."""
    return any(word in _OTHER for word in _words(name))


def named_pairs(labels: Mapping[int, str]) -> tuple[tuple[int, int], ...]:
    """Label value -> name, background included: the values (left, right) of each pair.

    Two labels are a pair if their names differ in nothing but their sides: "left x" and "right x", "x_l" and "x_r",
    "ctx-lh-x" and "ctx-rh-x", "LeftX" and "RightX".
    """
    words = {value: _words(name) for value, name in labels.items() if value != 0}
    by_words: dict[tuple[str, ...], list[int]] = {}
    for value, name in words.items():
        by_words.setdefault(name, []).append(value)
    pairs = []
    for value, name in sorted(words.items()):
        side = next((word for word in name if word in _OTHER), None)
        if side not in _SIDES:
            continue
        partners = by_words.get(tuple(_OTHER.get(word, word) for word in name), [])
        if len(partners) == 1 and len(by_words[name]) == 1:
            pairs.append((value, partners[0]))
    return tuple(pairs)
