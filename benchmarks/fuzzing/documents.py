"""Mutants of JSON documents: plans, recipes, calibrations, descriptions of datasets, splits."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

#: Written by a payload that ran: a mutant that makes this file appear in the working folder is a hole.
MARKER = "l2s_fuzz_payload_ran"


class Literal:
    """JSON text that json.dumps would not write."""

    def __init__(self, text: str) -> None:
        self.text = text


LITERALS = (
    "1e308", "-1e308", "1e400", "NaN", "Infinity", "-Infinity", "9" * 5000, "-" + "9" * 400, "1e-320", "0.0000001",
    "1E5",
    "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, '"\\ud800"', '"\\u0000"', "tru", "",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 255, 256, 4096, 65535, 65536, 10**6, 10**9, 2**31, 2**63, -(2**31), 2**64,
    1e-300,
    0.5, 1.5, 1e30, "", "x", "0", "1", "../../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "nul\x00", "\x1b[2J", "\n",
    "é" * 300,
    "x" * 10_000, "=1+1", [], [[]], {}, [None], [1, 2], [1, 2, 3], [0, 0, 0], [1e9] * 3, [2] * 50, [[3, 3, 3]] * 40,
    list(range(5000)), {"name": "os:system", "options": {"command": f"touch {MARKER}"}},
    {"name": "l2s_auto.io.json_files:write_json", "options": {"path": MARKER, "value": 1}},
    {"name": "pathlib:Path.touch", "options": {}}, {"name": "unet", "options": {"channels": 10**6}},
    {"name": "unet", "options": {"topology": None}}, {"name": "unet", "options": {"activation": "os:system"}},
    {"name": "builtins:exec", "options": {"object": f"open('{MARKER}','w')"}}, {"name": "unet"}, "os:system",
    "subprocess:run",
)  # fmt: skip


def mutated(rng: random.Random, document: Any) -> tuple[bytes, str]:
    """A document with one to three changes, as the bytes of a file, and what was changed."""
    value = copy.deepcopy(document)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        way = rng.choice(("value", "value", "value", "value", "literal", "literal", "scale", "drop", "add", "repeat"))
        if not places:
            break
        holder, key, path = rng.choice(places)
        done.append(f"{way} {path}")
        if way == "value":
            holder[key] = copy.deepcopy(rng.choice(VALUES))
            done[-1] += f" = {repr(holder[key])[:30]}"
        elif way == "literal":
            holder[key] = Literal(rng.choice(LITERALS))
            done[-1] += f" = {holder[key].text[:20]}"
        elif way == "scale" and isinstance(holder[key], int | float):
            holder[key] = holder[key] * rng.choice((-1, 0, 2, 10, 1000, 10**6, 10**9, 0.5))
        elif way == "drop":
            del holder[key]
        elif way == "add" and isinstance(holder, dict):
            holder[rng.choice(("x", "", "name", "options", "version", "../x", key))] = copy.deepcopy(rng.choice(VALUES))
        elif way == "repeat" and isinstance(holder[key], list):
            holder[key] = holder[key] * rng.choice((2, 3, 100))
    text = _text(value)
    return _bytes(rng, text, done), ", ".join(done) or "nothing"


def _places(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Every entry of every dict and list: its holder, its key, and where it is."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key, f"{path}.{key}"
        yield from _places(value[key], f"{path}.{key}")


def _text(value: Any) -> str:
    """JSON text in which each Literal stands as it is; by a loop, since values may be nested deeply."""
    literals: list[str] = []

    def shown(other: Any) -> Any:
        literals.append(other.text)
        return f"@@{len(literals) - 1}@@"

    text = json.dumps(value, default=shown)
    for number, literal in enumerate(literals):
        text = text.replace(f'"@@{number}@@"', literal)
    return text


def _bytes(rng: random.Random, text: str, done: list[str]) -> bytes:
    """The text in UTF-8; one in ten is damaged as a file."""
    content = bytearray(text.encode("utf-8", errors="surrogatepass"))
    if rng.random() > 0.1 or not content:
        return bytes(content)
    way = rng.choice(("cut", "byte", "latin-1", "doubled", "empty", "mark", "utf-16", "zeros"))
    done.append(f"file: {way}")
    if way == "cut":
        del content[rng.randrange(len(content)) :]
    elif way == "byte":
        content[rng.randrange(len(content))] = rng.randrange(256)
    elif way == "latin-1":
        content += b'"\xe9\xff"'
    elif way == "doubled":
        content += bytes(content)
    elif way == "empty":
        content.clear()
    elif way == "mark":
        content[:0] = b"\xef\xbb\xbf"
    elif way == "utf-16":
        content = bytearray(text.encode("utf-16", errors="surrogatepass"))
    else:
        content[:] = bytes(len(content))
    return bytes(content)
