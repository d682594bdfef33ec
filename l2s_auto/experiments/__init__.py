"""Phantoms, the demo, and the experiments of the method's paper (`l2s_experiment NAME`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import UserError
from l2s_auto.planning.choices import Choices

#: Options with which a user decides instead of the planner.
PLANNED = ("spacing", "patch", "batch", "features")


def _recovery(output: Path, **options: Any) -> Path:
    from l2s_auto.experiments.recovery import recovery  # PyTorch is loaded where it is needed

    return _run(recovery, output, options, name="recovery")


def _methods(output: Path, **options: Any) -> Path:
    from l2s_auto.experiments.methods import methods

    return _run(methods, output, options, name="methods")


def _contrast(output: Path, **options: Any) -> Path:
    from l2s_auto.experiments.contrast import contrast

    return _run(contrast, output, options, name="contrast")


def _run(experiment: Callable[..., Path], output: Path, options: dict[str, Any], *, name: str) -> Path:
    """UserError for options that the experiment does not have; those of the plan become its `choices`."""
    known = [parameter for parameter in inspect.signature(experiment).parameters if parameter != "output"]
    if "choices" in known:
        known.remove("choices")
        known += PLANNED
    unknown = [option for option in options if option not in known]
    if unknown:
        raise UserError.single(
            f"The experiment {name} has no such option.",
            where=", ".join(_told(option) for option in unknown),
            found="an option of another experiment",
            expected=f"among {', '.join(_told(option) for option in known)}",
            mend="Leave it out.",
        )
    chosen = {option: options.pop(option) for option in PLANNED if option in options}
    return experiment(output, **options, **({"choices": Choices(**chosen)} if chosen else {}))


def _told(option: str) -> str:
    return "--" + option.replace("_", "-")


EXPERIMENTS: dict[str, Callable[..., Path]] = {"recovery": _recovery, "methods": _methods, "contrast": _contrast}
"""Name -> function(output folder, **options) -> path of the figure."""


def find_experiment(name: str) -> Callable[..., Path]:
    """The experiment of that name. Raises UserError if there is none."""
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    raise UserError.single(
        "There is no such experiment.",
        where="NAME",
        found=repr(name),
        expected=f"one of {', '.join(EXPERIMENTS)}",
        mend="Correct the name.",
    )
