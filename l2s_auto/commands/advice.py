"""What a command advises when it could not end: what can be used already, and the whole command to go on with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from l2s_auto.core.shell import command_line, quoted

Advice = str | Callable[[], str]
_WEIGHTS, _LOW_RESOLUTION = "weights.safetensors", "low_resolution"


def advised(advice: Advice) -> str:
    """The advice as it is now; it never stands in the way of the message that it belongs to."""
    if isinstance(advice, str):
        return advice
    try:
        return advice()
    except (OSError, ValueError):
        return ""


def after_training(arguments: Sequence[str] | None, log: Path) -> str:
    """Of a training that was stopped.

    log  in its run folder
    """
    run = log.parent
    if folds := trained_folds(run):
        said = f"What is trained so far predicts ({', '.join(folds)})."
    elif folds := trained_folds(run / _LOW_RESOLUTION):
        said = f"Only the first network of the cascade predicts so far:\n  {_predict(run / _LOW_RESOLUTION)}"
    else:
        said = "Nothing is trained yet that could be used."
    return f"{said}{go_on('l2s_plan_and_train', arguments, add='--resume', leave_out=('--overwrite',))}"


def trained_folds(run: Path) -> list[str]:
    """Names of the folds of a run folder that predict."""
    if not all((run / name).is_file() for name in ("plan.json", "recipe.json")):
        return []
    weights = (fold / _WEIGHTS for fold in sorted(run.glob("fold_*")))
    return [path.parent.name for path in weights if path.is_file() and path.stat().st_size > 0]


def go_on(
    command: str, arguments: Sequence[str] | None, *, add: str | None = None, leave_out: Sequence[str] = ()
) -> str:
    """To append: the whole command, on a line of its own; of torchrun, whose options are not known here, in words."""
    if "RANK" in os.environ:
        return f" Go on with the same command{f' and {add}' if add else ''}."
    given = [word for word in (sys.argv[1:] if arguments is None else arguments) if word not in leave_out]
    extra = [add] if add is not None and add not in given else []
    return f"\nTo go on:\n  {command_line([command, *given, *extra])}"


def _predict(model: Path) -> str:
    return f"l2s_predict -i IN -o OUT -m {quoted(model)}"
