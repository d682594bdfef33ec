"""JSON on disk: written atomically for people to read, checked on reading with errors that name the field."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.atomic import atomic_path

Model = TypeVar("Model", bound=BaseModel)

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


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a UTF-8 JSON file. Raises UserError if it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError.single(
            "A file cannot be read.",
            where=str(path),
            found=error.strerror or str(error),
            expected="a JSON file",
            mend="Check the path and your rights to read it.",
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError.single(
            "A JSON file is broken.",
            where=str(path),
            found=str(error),
            expected="valid JSON in UTF-8",
            mend="Correct the file at that place, or write it again.",
        ) from error


def read_model(path: str | os.PathLike[str], model: type[Model]) -> Model:
    """The pydantic model stored in a JSON file. Raises UserError naming every field that is wrong."""
    value = read_json(path)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        offences = [
            Offence(
                where=f"{path}, field {'.'.join(_place(problem)) or '(whole file)'}",
                found="nothing" if problem["type"] == "missing" else _short(_at(value, _place(problem))),
                expected=_EXPECTED.sub("", str(problem["msg"])),
                mend="Correct the field, or let the program that wrote the file write it again.",
            )
            for problem in error.errors()
        ]
        raise UserError(f"{Path(path).name} is not a valid {model.__name__}.", offences) from error


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


def _short(value: Any, *, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
