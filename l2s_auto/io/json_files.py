"""JSON on disk: written atomically for people to read, checked on reading with errors that name the field."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from l2s_auto.core.errors import Offence, UserError, shortened
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.folders import require_no_pipe

Model = TypeVar("Model", bound=BaseModel)
#: Bytes of a JSON file that is read, at most; of a plan, a recipe, or another record of bounded length.
LARGEST, LARGEST_MODEL = 1 << 24, 1 << 22
#: Values within values; digits of an integer (64 bits have 19); wrong fields that a message names.
MAX_DEPTH, MAX_DIGITS, MOST_PROBLEMS = 40, 30, 50
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# json.dumps puts real line breaks between items only (in strings they are escaped), so no string can match.
_EXPECTED = re.compile(r"^(Input should be|Value error,) ")  # how pydantic begins what our sentence has begun
_SURROGATES = re.compile("[\ud800-\udfff]")
_NUMBERS = re.compile(r"\[\n\s*([-+.\deE,\s]+?)\n\s*\]")


def write_json(path: str | os.PathLike[str], value: Any, *, durable: bool = True) -> None:
    """Write a dict, list, dataclass or pydantic model; lists of numbers stand on one line.

    durable  as of `atomic_path`
    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    text = json_text(value)
    try:
        with atomic_path(path, durable=durable) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError.single(
            "A file cannot be written.",
            where=str(path),
            found=str(error),
            expected="a place where a file of that name can be written",
            mend="Choose another place, or free the name.",
        ) from error


def json_text(value: Any) -> str:
    """The text that `write_json` writes."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    text = _SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)  # names of files that are not UTF-8
    return _NUMBERS.sub(lambda match: "[" + re.sub(r"\s*\n\s*", " ", match[1]) + "]", text) + "\n"


def _plain(value: Any) -> Any:
    """What json.dumps understands, for the values that it does not know."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict | list | tuple | str | int | float | None):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_json(path: str | os.PathLike[str], *, largest: int = LARGEST) -> Any:
    """The value in a UTF-8 JSON file. Raises UserError if it is missing, broken, or too much to be what it should.

    largest  bytes of the file, at most

    Refused too: values more than MAX_DEPTH deep, integers of more than MAX_DIGITS digits, a key twice in an object,
    and texts that are no Unicode, which could not be written again.
    """
    try:
        require_no_pipe(Path(path))
        with Path(path).open("rb") as file:
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise UserError.single(
            "A file cannot be read.",
            where=str(path),
            found=getattr(error, "strerror", None) or str(error),
            expected="a JSON file",
            mend="Check the path and your rights to read it.",
        ) from error
    if len(content) > largest:
        raise _broken(path, f"more than {largest:,} bytes", f"at most {largest:,} bytes")
    try:
        return parse_json(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of which errors of JSON and of UTF-8 are kinds
        raise _broken(path, str(error), "valid JSON in UTF-8") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, or RecursionError, for what `read_json` refuses."""
    value = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    _require_shallow(value)
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, where at most {MAX_DIGITS} are expected")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {shortened(twice)} twice in one object")
    return found


def _require_shallow(value: Any) -> None:
    """ValueError for values within values within … more than MAX_DEPTH deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"values more than {MAX_DEPTH} deep in each other")


def _broken(path: str | os.PathLike[str], found: str, expected: str) -> UserError:
    return UserError.single(
        "A JSON file is broken.",
        where=str(path),
        found=found,
        expected=expected,
        mend="Correct the file at that place, or write it again.",
    )


def read_model(path: str | os.PathLike[str], model: type[Model]) -> Model:
    """The pydantic model stored in a JSON file. Raises UserError naming every field that is wrong."""
    value = read_json(path, largest=getattr(model, "largest_file", LARGEST_MODEL))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors()
        offences = [
            Offence(
                where=f"{path}, field {shortened('.'.join(_place(problem)) or '(whole file)', quoted=False)}",
                found="nothing" if problem["type"] == "missing" else shortened(_at(value, _place(problem))),
                expected=_EXPECTED.sub("", str(problem["msg"])),
                mend="Correct the field, or let the program that wrote the file write it again.",
            )
            for problem in problems[:MOST_PROBLEMS]
        ]
        more = f" {len(problems) - MOST_PROBLEMS} more fields are wrong." if len(problems) > MOST_PROBLEMS else ""
        raise UserError(f"{Path(path).name} is not a valid {model.__name__}.{more}", offences) from error


def _place(problem: ErrorDetails) -> list[str]:
    """Names of fields and numbers of entries that lead to what is wrong."""
    field = problem.get("ctx", {}).get("field", "") if problem["type"] == "wrong" else ""
    return [*map(str, problem["loc"]), *filter(None, field.split("."))]


def _at(value: Any, place: list[str]) -> Any:
    """What the file has at a place, or at the last on the way that it has."""
    for name in place:
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return value
