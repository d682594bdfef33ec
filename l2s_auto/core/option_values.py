"""Values of a part's options: plain, of bounded size, and of the type that the part declares."""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError

from l2s_auto.core.limits import MAX_OPTION
from l2s_auto.core.names import MAX_NAME

#: Options of a part within options (of one of several augmenters), and lists within: no deeper.
MAX_DEPTH = 4
#: Entries of a list or an object.
MAX_ENTRIES = 1000
_NO_TYPE = object()


def require_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options; ValueError unless they are numbers, texts, and short lists and objects of such."""
    _require_plain(options, depth=0)
    return options


def _require_plain(value: Any, *, depth: int) -> None:
    if isinstance(value, Mapping | list | tuple):
        if depth >= MAX_DEPTH or len(value) > MAX_ENTRIES:
            raise ValueError(f"options of at most {MAX_ENTRIES} entries, {MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            for name in value:
                _require_text(name)
        for entry in value.values() if isinstance(value, Mapping) else value:
            _require_plain(entry, depth=depth + 1)
    elif isinstance(value, str):
        _require_text(value)
    elif isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= MAX_OPTION):
        raise ValueError(f"numbers from -{MAX_OPTION:g} to {MAX_OPTION:g} in options")


def _require_text(text: Any) -> None:
    if not isinstance(text, str) or not text.isprintable() or len(text) > MAX_NAME:
        raise ValueError(f"texts of printable characters in options, at most {MAX_NAME} of them")


def wrong_type(factory: Callable[..., Any], option: str, value: Any) -> str | None:
    """What the factory's parameter expects, where the value is of another type; None where it fits, or is not known."""
    hint = _hints(factory).get(option, _NO_TYPE)
    if hint is _NO_TYPE:
        return None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError):
        return None
    try:
        adapter.validate_python(list(value) if isinstance(value, tuple) else value)
    except ValidationError:
        return f"a value of type {getattr(hint, '__name__', None) if isinstance(hint, type) else hint}"
    return None


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters that can be resolved."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}
