"""A replaceable part: its name and options in a recipe, and the object made of them."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from l2s_auto.core.errors import UserError


class Component(BaseModel):
    """A part by name: a key of its room's registry, or an import path `package.module:Class`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


def resolve(name: str, registry: Mapping[str, Callable[..., Any]], *, kind: str) -> Callable[..., Any]:
    """The class or function that `name` stands for.

    Raises UserError if it is neither in the registry nor importable.
    """
    if name in registry:
        return registry[name]
    module_name, colon, attribute = name.partition(":")
    known = ", ".join(sorted(registry))
    if not colon:
        close = difflib.get_close_matches(name, registry, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise UserError.single(
            f"There is no {kind} of that name.",
            where=kind,
            found=repr(name),
            expected=f"one of {known}, or an import path package.module:Class",
            mend=f"{hint}Correct the name.",
        )
    try:
        found = getattr(importlib.import_module(module_name), attribute)
        if not callable(found):
            raise ImportError(f"a {type(found).__name__}, not a class")
        return found
    except (ImportError, AttributeError) as error:
        raise UserError.single(
            f"The {kind} cannot be imported.",
            where=kind,
            found=f"{name!r} ({error})",
            expected=f"an importable package.module:Class, or one of {known}",
            mend="Install the package, or correct the path.",
        ) from error


def build(component: Component, registry: Mapping[str, Callable[..., Any]], *, kind: str, **given: Any) -> Any:
    """Make the part: `given` comes from the program, `component.options` from the user.

    A misspelt option is an error that names the options there are. An argument in `given` that the part does not
    take is left out, so that a simple part need not accept what it does not use.
    """
    factory = resolve(component.name, registry, kind=kind)
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError as error:  # built into Python, without a signature
        raise _unusable(component, error, kind=kind) from error
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [] if takes_any else [option for option in component.options if option not in parameters]
    if unknown:
        own = [name for name in parameters if name not in given]
        raise UserError.single(
            f"The {kind} {component.name!r} has no such option.",
            where=f"{kind} {component.name}",
            found=", ".join(map(repr, unknown)),
            expected=f"options among {', '.join(own) or '(none)'}",
            mend="Correct or remove the option.",
        )
    passed = {name: value for name, value in given.items() if takes_any or name in parameters}
    try:
        return factory(**{**passed, **component.options})
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise _unusable(component, error, kind=kind) from error


def require(part: Any, *needed: str, kind: str, name: str) -> None:
    """UserError if the part lacks an attribute that its kind has."""
    lacking = [attribute for attribute in needed if not hasattr(part, attribute)]
    if lacking:
        raise UserError.single(
            f"The {kind} cannot be used.",
            where=f"{kind} {name}",
            found=f"a {type(part).__name__} without {', '.join(lacking)}",
            expected=f"an object with {', '.join(needed)}",
            mend="Name another class, or give it what is lacking.",
        )


def _unusable(component: Component, error: Exception, *, kind: str) -> UserError:
    options = ", ".join(f"{name}={value!r}" for name, value in component.options.items())
    return UserError.single(
        f"The {kind} {component.name!r} cannot be made.",
        where=f"{kind} {component.name}",
        found=f"{type(error).__name__}: {error}",
        expected=f"a class of that kind, which can be called with {options or 'no options'}",
        mend="Correct the options, or name another class.",
    )
