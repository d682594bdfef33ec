"""The model that prediction uses when none is named: the newest in `./l2s_runs`, else the one that this user has last.

Nothing here loads PyTorch, so that a command can say at once which model it uses.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError, some_of
from l2s_auto.core.printable import printable
from l2s_auto.inference.model_zip import WEIGHTS
from l2s_auto.inference.usable import Weights, why_unusable
from l2s_auto.io.json_files import write_json

LOGGER = logging.getLogger("l2s_auto")
#: Where runs stand, below the working folder.
RUNS = Path("l2s_runs")
#: Folders in a run folder, in which there are no others.
_INSIDE = ("preprocessed", "low_resolution")
#: Folders that are passed over and named, and other models that are.
SHOWN = 3


@dataclass(frozen=True)
class Choice:
    """A model, and what a user should know of the choice.

    others  run folders with weights that could have been meant, the newest first
    """

    path: Path
    notes: tuple[str, ...] = ()
    others: tuple[Path, ...] = ()

    def lines(self) -> list[str]:
        """The notes, and which others there are, for a terminal."""
        if not self.others:
            return list(self.notes)
        count = len(self.others)
        names = some_of([printable(path.name) for path in self.others], most=SHOWN)
        return [*self.notes, f"{count} other model{'s' * (count > 1)} in {RUNS}: {names}. Name one with -m."]


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
    """The model of `choose_model`; what a user should know of the choice goes to the log."""
    choice = choose_model()
    for note in choice.notes:
        LOGGER.warning("%s", note)
    return choice.path


def choose_model(folder: Path | None = None) -> Choice:
    """The newest model in `folder` (default: RUNS), else this user's last one, wherever it is.

    The newest is the one whose weights were written last. Run folders without usable weights are passed over, and
    noted; so is a model of another user. UserError if there is none.
    """
    found = sorted(_runs(RUNS if folder is None else folder), key=lambda run: run.time, reverse=True)
    passed_over: list[tuple[Path, str]] = []
    for number, run in enumerate(found):
        if reason := why_unusable(run):
            passed_over.append((run.path, reason))
            continue
        others = tuple(other.path for other in found[number + 1 :] if other.files)
        passed_over += [(other.path, "no weights") for other in found[number + 1 :] if not other.files]
        notes = [*_passed_over(passed_over), *_of_another_user(run), *_newer_elsewhere(run)]
        return Choice(run.path, tuple(notes), others)
    return _remembered(_passed_over(passed_over))


def _remembered(notes: Sequence[str]) -> Choice:
    """The model that the state file names. UserError if there is none, or if it is gone or cannot be used."""
    try:
        path = _noted()
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "No model was named, and none that was trained on this machine is known.",
            [
                Offence(
                    "-m",
                    f"no model in {RUNS}, and no other that is remembered ({type(error).__name__}: {error})",
                    "a run folder, a fold folder or an exported zip",
                    " ".join([*notes, "Name the model with -m, or train one with l2s_plan_and_train."]),
                )
            ],
        ) from error
    run = _run(path)
    reason = "no such file or folder" if not path.exists() else why_unusable(run)
    if reason:
        gone = not path.exists()
        raise UserError.single(
            f"The model that was trained last on this machine {'is gone' if gone else 'cannot be used'}.",
            where=str(path),
            found=reason,
            expected="a run folder" if gone else "a run folder with a trained model",
            mend="Name a model with -m.",
        )
    elsewhere = f"There is no model in {RUNS} here: this is your last one, from another folder."
    return Choice(path, (*notes, elsewhere, *_of_another_user(run)))


def _noted() -> Path:
    """What the state file names. UserError where it is another user's, who could choose the model."""
    file = state_file()
    with file.open(encoding="utf-8") as opened:
        owner = _stranger(os.fstat(opened.fileno()).st_uid)
        if owner:
            raise UserError.single(
                "The note of the model that was trained last is another user's.",
                where=str(file),
                found=f"a file of {owner}",
                expected="your own file",
                mend="Name the model with -m.",
            )
        return Path(json.loads(opened.read())["model"])


def _newer_elsewhere(run: Weights) -> list[str]:
    """Whether this user's last model is another one, and newer."""
    try:
        other = _run(_noted())
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return []
    if other.time <= run.time or other.path.resolve() == run.path.resolve():
        return []
    return [f"Your last model is another one, which -m takes: {printable(other.path)}"]


def _of_another_user(run: Weights) -> list[str]:
    owners = {owner for file in run.files if (owner := _stranger(file.stat().st_uid))}
    return [f"The model is one of another user ({', '.join(sorted(owners))})."] if owners else []


def _stranger(owner: int) -> str:
    """The name of a user, if it is not this one; empty where it is, or where users are not told apart."""
    if not hasattr(os, "getuid") or owner == os.getuid():
        return ""
    try:
        import pwd

        return pwd.getpwuid(owner).pw_name
    except (ImportError, KeyError):
        return f"user {owner}"


def _passed_over(found: Sequence[tuple[Path, str]]) -> list[str]:
    if not found:
        return []
    names = [f"{printable(path)} ({printable(reason)})" for path, reason in found]
    return [f"Passed over: {some_of(names, most=SHOWN)}."]


def _runs(folder: Path, depth: int = 3) -> Iterator[Weights]:
    """The run folders in a folder, trained or not; those that cannot be listed are none."""
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return
    for path in inner:
        run = _run(path)
        if run.files or (path / "plan.json").is_file() or (path / "log.txt").is_file():
            yield run
        elif depth > 1 and path.name not in _INSIDE:
            yield from _runs(path, depth - 1)


def _run(path: Path) -> Weights:
    """The weights of a run folder's folds, and when the last of them was written."""
    try:
        files = tuple(file for file in sorted(path.glob(f"fold_*/{WEIGHTS}")) if file.is_file())
        return Weights(path, files, max((file.stat().st_mtime for file in files), default=0.0))
    except OSError:
        return Weights(path, (), 0.0)
