"""What the public options name but this version does not have yet: said in one line, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from l2s_auto.commands import parsers
from l2s_auto.core.errors import UserError


def require_method(name: str) -> None:
    """Raise UserError if the method is announced but not built; other names are resolved where they are used."""
    from l2s_auto.training.methods import METHODS

    if name in parsers.METHODS and name not in METHODS:
        raise _not_available("method", name, METHODS)


def find_experiment(name: str) -> Callable[..., Path]:
    """The experiment of that name. Raises UserError if it is not built or does not exist."""
    from l2s_auto.experiments import EXPERIMENTS

    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    if name in parsers.EXPERIMENTS:
        raise _not_available("experiment", name, EXPERIMENTS)
    raise UserError.single(
        "There is no such experiment.",
        where="NAME",
        found=repr(name),
        expected=f"one of {', '.join(parsers.EXPERIMENTS)}",
        mend="Correct the name.",
    )


def _not_available(kind: str, name: str, available: Iterable[str]) -> UserError:
    names = ", ".join(sorted(available)) or "none"
    return UserError(f"The {kind} {name!r} is not available in this version; available: {names}.")
