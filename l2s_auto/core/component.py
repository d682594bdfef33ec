"""A replaceable part: its name and options in a recipe, and the object made of them."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from l2s_auto.core.errors import Offence, UserError, shortened
from l2s_auto.core.option_values import require_options, wrong_type
from l2s_auto.core.trust import OPTION, is_import_path, trusted_paths


class Component(BaseModel):
    """A part by name: a key of its package's registry, or an import path `package.module:Class`.

    An import path is used only where the user trusts it on the call (`core.trust`). Options are plain values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: Annotated[dict[str, Any], AfterValidator(require_options)] = Field(default_factory=dict)


def resolve(name: str, registry: Mapping[str, Callable[..., Any]], *, kind: str) -> Callable[..., Any]:
    """The class or function that `name` stands for: one of the registry, or code that the user trusts on this call.

    Raises UserError if it is neither, or cannot be imported. Nothing is imported that the user has not named.
    """
    if name in registry:
        return registry[name]
    if problem := problem_of(name, registry, where=kind):
        summary = f"The {kind} cannot be used." if is_import_path(name) else f"There is no {kind} of that name."
        raise UserError(summary, [problem])
    module_name, _, attribute = name.partition(":")
    try:
        found = functools.reduce(getattr, attribute.split("."), importlib.import_module(module_name))
        if not callable(found):
            raise ImportError(f"a {type(found).__name__}, not a class")
        return found
    except (ImportError, AttributeError) as error:
        raise UserError.single(
            f"The {kind} cannot be imported.",
            where=kind,
            found=f"{name!r} ({error})",
            expected=f"an importable package.module:Class, or one of {', '.join(sorted(registry))}",
            mend="Install the package, or correct the path.",
        ) from error


def problem_of(name: str, registered: Collection[str], *, where: str) -> Offence | None:
    """Why a part of that name may not be used; None where it is registered, or code that the user trusts.

    Whether it can be imported is not tried.
    """
    if name in registered or name in trusted_paths():
        return None
    known = ", ".join(sorted(registered))
    if is_import_path(name):
        return Offence(
            where,
            f"{name!r}, code outside of l2s_auto",
            f"one of {known}, or an import path that you trust on this call",
            f"If you know this code, add {OPTION} {name} (in Python, trust_code): it will be imported and run.",
        )
    close = difflib.get_close_matches(name, registered, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return Offence(
        where,
        f"the unknown name {shortened(name)}",
        f"one of {known}, or an import path package.module:Class with {OPTION}",
        f"{hint}Correct the name.",
    )


def build(component: Component, registry: Mapping[str, Callable[..., Any]], *, kind: str, **given: Any) -> Any:
    """Make the part: `given` comes from the program, `component.options` from the user or a file.

    A misspelt option is an error that names the options there are, and so is one that the program decides (those in
    `given`), or a value of another type than a registered part takes. An argument in `given` that the part does not
    take is left out, so that a simple part need not accept what it does not use.
    """
    factory = resolve(component.name, registry, kind=kind)
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError as error:  # built into Python, without a signature
        raise _unusable(component, error, kind=kind) from error
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    own = ", ".join(name for name in parameters if name not in given) or "(none)"
    unknown = {} if takes_any else {o: "an unknown option" for o in component.options if o not in parameters}
    _refuse_options(component, unknown, "has no such option.", expected=f"options among {own}", kind=kind)
    decided = {option: "what the program decides" for option in component.options if option in given}
    _refuse_options(component, decided, "has another value there.", expected=f"options among {own}", kind=kind)
    if component.name in registry:
        for option, value in component.options.items():
            if expected := wrong_type(factory, option, value):
                wrong = {option: shortened(value)}
                _refuse_options(component, wrong, "cannot have such an option.", expected=expected, kind=kind)
    passed = {name: value for name, value in given.items() if takes_any or name in parameters}
    try:
        return factory(**{**component.options, **passed})
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise _unusable(component, error, kind=kind) from error


def _refuse_options(component: Component, wrong: Mapping[str, str], why: str, *, expected: str, kind: str) -> None:
    """UserError that names each option that is wrong, and what was found."""
    if wrong:
        where = f"{kind} {component.name}, option"
        mend = "Correct or remove the option."
        raise UserError(
            f"The {kind} {component.name!r} {why}",
            [Offence(f"{where} {option!r}", found, expected, mend) for option, found in wrong.items()],
        )


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
    options = shortened(", ".join(f"{name}={value!r}" for name, value in component.options.items()), quoted=False)
    return UserError.single(
        f"The {kind} {component.name!r} cannot be made.",
        where=f"{kind} {component.name}",
        found=f"{type(error).__name__}: {error}",
        expected=f"a class of that kind, which can be called with {options or 'no options'}",
        mend="Correct the options, or name another class.",
    )
