"""What there is in a run folder, read for the report. What is missing or damaged becomes a note, never an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from l2s_auto.core.dial import DIAL, Dial
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Fingerprint, Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.json_files import read_model
from l2s_auto.io.recipes import read_recipe
from l2s_auto.io.run_files import parse_line, read_metrics

T = TypeVar("T")


@dataclass(frozen=True)
class FoldData:
    """One fold: the objects of history.jsonl, validation/metrics.json, and dial.json where the method has one."""

    name: str
    history: tuple[dict[str, Any], ...]
    metrics: dict[str, Any] | None
    trained: bool
    dial: Dial | None = None


@dataclass(frozen=True)
class RunData:
    """A run folder; None for what is not there, and notes that say so."""

    path: Path
    fingerprint: Fingerprint | None
    plan: Plan | None
    recipe: Recipe | None
    folds: tuple[FoldData, ...]
    preview: bytes | None
    notes: tuple[str, ...]


def read_run(path: Path) -> RunData:
    """A run folder -> all that the report can show. UserError if it is not a folder."""
    if not path.is_dir():
        raise UserError.single(
            "There is no run to report on.",
            where=str(path),
            found="a file" if path.exists() else "no such folder",
            expected="a run folder",
            mend="Name the folder that l2s_plan_and_train wrote.",
        )
    notes: list[str] = []
    fingerprint = _read(path / "fingerprint.json", lambda file: read_model(file, Fingerprint), notes)
    plan = _read(path / "plan.json", lambda file: read_model(file, Plan), notes)
    recipe = _read(path / "recipe.json", read_recipe, notes)
    folds = tuple(_fold(folder, notes) for folder in sorted(path.glob("fold_*")) if folder.is_dir())
    if not folds:
        notes.append("Nothing is trained yet: there is no fold_* folder.")
    previews = sorted(path.glob("*preview*.png"))
    return RunData(path, fingerprint, plan, recipe, folds, previews[0].read_bytes() if previews else None, tuple(notes))


def _fold(folder: Path, notes: list[str]) -> FoldData:
    history = _history(folder / "history.jsonl", notes)
    metrics = _read(folder / "validation" / "metrics.json", read_metrics, notes)
    trained = (folder / "weights.safetensors").is_file()
    if not trained:
        notes.append(f"{folder.name} has no weights.safetensors: its training did not end.")
    dial = _read(folder / DIAL, lambda file: read_model(file, Dial), notes) if (folder / DIAL).is_file() else None
    return FoldData(folder.name, history, metrics, trained, dial)


def _history(path: Path, notes: list[str]) -> tuple[dict[str, Any], ...]:
    """Whole lines; the last may be cut short if the training was killed."""
    if not path.is_file():
        notes.append(f"{path.parent.name}/{path.name} is missing.")
        return ()
    lines, damaged = [], 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if (line := parse_line(text)) is not None:
            lines.append(line)
        elif text.strip():
            damaged += 1
    if damaged:
        notes.append(f"{path.parent.name}/{path.name}: {damaged} damaged lines are left out.")
    return tuple(lines)


def _read(path: Path, reader: Callable[[Path], T], notes: list[str]) -> T | None:
    name = "/".join(path.parts[-3:]) if path.parent.name == "validation" else path.name
    if not path.is_file():
        notes.append(f"{name} is missing.")
        return None
    try:
        return reader(path)
    except (ValueError, OSError) as error:
        notes.append(f"{name} cannot be used: {error}")
        return None
