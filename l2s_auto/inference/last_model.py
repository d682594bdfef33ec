"""The model that was trained last on this machine: what prediction uses when none is named."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.io.json_files import write_json

LOGGER = logging.getLogger(__name__)


def state_file() -> Path:
    """Where this user's state is kept: the platform's own folder for it."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "l2s_auto" / "last_model.json"


def remember_model(path: Path | str) -> bool:
    """Note a model as the one trained last. False, with a warning in the log, where the note cannot be written."""
    try:
        file = state_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"model": str(Path(path).resolve())})
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home folder
        LOGGER.warning("The model cannot be remembered as the last one (%s); name it with -m when predicting.", error)
        return False
    return True


def last_model() -> Path:
    """The model trained last on this machine. UserError if there is none, or if it is gone."""
    try:
        file = state_file()
        path = Path(json.loads(file.read_text(encoding="utf-8"))["model"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UserError.single(
            "No model was named, and none that was trained on this machine is known.",
            where="-m",
            found=f"nothing ({type(error).__name__}: {error})",
            expected="a run folder, a fold folder or an exported zip",
            mend="Name the model with -m, or train one with l2s_plan_and_train.",
        ) from error
    if not path.exists():
        raise UserError.single(
            "The model that was trained last on this machine is gone.",
            where=str(path),
            found="no such file or folder",
            expected="a run folder",
            mend="Name a model with -m.",
        )
    return path
