"""Which method a cross-validated run recommends, beside the other runs on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from l2s_auto.evaluation.appearance import CHANGES
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
        "Means over the folds' held-out scans. Changed: contrast inverted, contrast not monotone, gamma, bias field, "
        "noise; the mean over these."
    )
    return section(
        "Which method for these data?",
        paragraph(sentence),
        table(["Method", "Dice as they are", "Dice, appearance changed"], rows),
        paragraph(explained),
    )


def beside(path: Path) -> dict[str, Scores]:
    """Cross-validated runs on the same data in folders beside this one, by method; of several, the best."""
    data = _data(path)
    found: dict[str, Scores] = {}
    for other in sorted(path.resolve().parent.iterdir()):
        if other == path.resolve() or not (other / "recipe.json").is_file() or _data(other) != data:
            continue
        for name, score in (cross_validated(other) or {}).items():
            if name not in found or score.mean > found[name].mean:
                found[name] = score
    return found


def cross_validated(path: Path) -> dict[str, Scores] | None:
    """{method: means over all folds}; None where there is one fold alone, or one without appearances."""
    folds = sorted(folder for folder in path.glob("fold_[0-9]*") if folder.is_dir())
    if len(folds) < 2:
        return None
    own, changed = [], []
    for folder in folds:
        metrics = _read(folder / "validation" / "metrics.json")
        appearances = _read(folder / "validation" / "appearances.json").get("dice")
        dice = metrics.get("mean", {}).get("dice") if isinstance(metrics.get("mean"), Mapping) else None
        if not isinstance(appearances, Mapping) or not isinstance(dice, (int, float)):
            return None
        values = [value for name in CHANGES if isinstance(value := appearances.get(name), (int, float))]
        if len(values) < len(CHANGES):
            return None
        own.append(float(dice))
        changed.append(fmean(values))
    return {_method(path): Scores(fmean(own), fmean(changed))}


def _method(path: Path) -> str:
    """The method's name, with an augmenter that is not the usual one."""
    recipe = _read(path / "recipe.json")
    method, augmenter = (str((recipe.get(part) or {}).get("name", "?")) for part in ("method", "augmenter"))
    return method if augmenter == "parametric" or not method.startswith("learn2synth") else f"{method}:{augmenter}"


def _data(path: Path) -> object:
    """What the data of a run are known by."""
    return _read(path / "fingerprint.json").get("content")


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        value = read_json(path) if path.is_file() else {}
    except (ValueError, OSError):
        return {}
    return value if isinstance(value, dict) else {}
