"""Which method a cross-validated run recommends, beside the other runs on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE, mean_of_changed
from l2s_auto.evaluation.recommendation import Scores, recommendation
from l2s_auto.io.json_files import read_json
from l2s_auto.report.run_data import RunData
from l2s_auto.report.sections import number, paragraph, section, table


def choice_section(run: RunData) -> str:
    """The recommendation, and the figures that it rests on; empty where the run was not cross-validated."""
    own = cross_validated(run.path)
    if own is None:
        return ""
    methods = {**own, **{name: score for name, score in beside(run.path).items() if name not in own}}
    rows = [[name, number(score.own), number(score.changed)] for name, score in methods.items()]
    sentence = recommendation(methods)
    if len(methods) == 1:
        other = "supervised" if "supervised" not in methods else "learn2synth"
        sentence += f" Cross-validate others into folders beside this one to compare, such as --method {other} --cv."
    explained = (
        "Means over the folds, of at most eight held-out scans each. Changed: contrast inverted, contrast not "
        "monotone, gamma, bias field, noise; the mean over these. How long each was trained is in its own report."
    )
    return section(
        "Which method for these data?",
        paragraph(sentence),
        table(["Method", "Dice as they are", "Dice, appearance changed"], rows),
        paragraph(explained),
    )


def beside(path: Path) -> dict[str, Scores]:
    """Cross-validated runs on the same data and folds in folders beside this one, by method; of several, the best."""
    found: dict[str, Scores] = {}
    for other in sorted(path.resolve().parent.iterdir()):
        if other == path.resolve() or not (other / "recipe.json").is_file() or not _same(path, other):
            continue
        for name, score in (cross_validated(other) or {}).items():
            if name not in found or score.mean > found[name].mean:
                found[name] = score
    return found


def cross_validated(path: Path) -> dict[str, Scores] | None:
    """{method: means over all folds}; None where a fold is missing, or was not looked at under changes."""
    splits = _json(path / "splits.json")
    folds = len(splits) if isinstance(splits, list) else 0
    own, changed = [], []
    for fold in range(folds):
        appearances = _read(path / f"fold_{fold}" / "validation" / "appearances.json").get("dice")
        if not isinstance(appearances, Mapping):
            return None
        if not all(isinstance(appearances.get(name), (int, float)) for name in APPEARANCES):
            return None
        own.append(float(appearances[AS_THEY_ARE]))
        changed.append(mean_of_changed(appearances))
    return {_method(path): Scores(fmean(own), fmean(changed))} if own else None


def _method(path: Path) -> str:
    """The method's name, with an augmenter that is not the usual one."""
    recipe = _read(path / "recipe.json")
    method, augmenter = (str((recipe.get(part) or {}).get("name", "?")) for part in ("method", "augmenter"))
    return method if augmenter == "parametric" or not method.startswith("learn2synth") else f"{method}:{augmenter}"


def _same(path: Path, other: Path) -> bool:
    """Whether two runs are on the same data, in the same folds."""
    fingerprints = [_read(run / "fingerprint.json").get("content") for run in (path, other)]
    return fingerprints[0] == fingerprints[1] and _json(path / "splits.json") == _json(other / "splits.json")


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    value = _json(path)
    return value if isinstance(value, dict) else {}


def _json(path: Path) -> Any:
    """What a JSON file holds; None where it cannot be read."""
    try:
        return read_json(path) if path.is_file() else None
    except (ValueError, OSError):
        return None
