"""Which method a cross-validated run recommends, beside the other runs on the same data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

from l2s_auto.core.composition import uniform
from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE, mean_of_changed
from l2s_auto.evaluation.recommendation import Scores, recommendation
from l2s_auto.io.json_files import read_json
from l2s_auto.report.commands import Again, same_again
from l2s_auto.report.run_data import RunData
from l2s_auto.report.sections import number, paragraph, section, table
from l2s_auto.report.verdict import SYNTHETIC

ONE_SCANNER = (
    "Before you change the method for scans that are all like these: choose this model for home (l2s_predict --aim "
    "home), which needs no other training. What it reaches then stands under “At home and abroad”."
)
NOT_LOOKED_AT = (
    "Every fold is trained, but not looked at under changes of appearance, which a recommendation rests on. This "
    "command does that, and trains nothing again:"
)


def choice_section(run: RunData, again: Again | None = None) -> str:
    """The recommendation, and the figures that it rests on; empty where not all folds are trained.

    again  what the training's command was given
    """
    own = cross_validated(run.path)
    if own is None:
        imagined = any(fold.metrics and fold.metrics.get("images") == SYNTHETIC for fold in run.folds)
        missing = all_folds(run.path) and not imagined  # changes of appearance are of real scans
        command = f"<code>{escape(same_again(run, again))}</code>"
        return section("Which method for these data?", paragraph(NOT_LOOKED_AT), command) if missing else ""
    methods = {**own, **beside(run.path, taken=own)}
    rows = [
        [
            name,
            number(score.own),
            number(score.changed),
            number(score.structural) if score.structural is not None else "-",
        ]
        for name, score in methods.items()
    ]
    sentence = recommendation(methods)
    if len(methods) == 1:
        other = "supervised" if "supervised" not in methods else "learn2synth"
        sentence += f" Cross-validate others into folders beside this one to compare, such as --method {other} --cv."
    dials = [fold.dial for fold in run.folds if fold.dial is not None]
    fitting = bool(dials) and any("home" in dial.chosen and dial.a != dial.chosen["home"] for dial in dials)
    explained = (
        "Means over the folds, of at most eight held-out scans each. Changed: contrast inverted, contrast not "
        "monotone, gamma, bias field, noise; the mean over these. Other changes are no function of intensity: two "
        "tissues exchanged, lesions, thick slices, a low-pass filter, ghosts; they are no part of the recommendation. "
        "How long each was trained is in its own report. A method that learns theta has chosen between two of them by "
        "some of these scans, which flatters it a little."
    )
    return section(
        "Which method for these data?",
        paragraph(sentence),
        *([paragraph(ONE_SCANNER)] if fitting else []),
        table(["Method", "Dice as they are", "Dice, appearance changed", "Dice, other changes"], rows),
        paragraph(explained),
    )


def beside(path: Path, *, taken: Collection[str] = ()) -> dict[str, Scores]:
    """Cross-validated runs on the same data and folds in folders beside this one, by method.

    taken  names that others have; a run of such a name has its folder's behind it
    Folders that cannot be read are passed over.
    """
    found: dict[str, Scores] = {}
    try:
        others = sorted(path.resolve().parent.iterdir())
    except OSError:
        return found
    for other in others:
        if other == path.resolve() or not _read(other / "recipe.json") or not _same(path, other):
            continue
        for name, score in (cross_validated(other) or {}).items():
            found[f"{name} in {other.name}" if name in taken or name in found else name] = score
    return found


def folds_of(path: Path) -> list[Path]:
    """Folders of all folds of a run, trained or not."""
    splits = _json(path / "splits.json")
    return [path / f"fold_{fold}" for fold in range(len(splits))] if isinstance(splits, list) else []


def all_folds(path: Path) -> bool:
    """Whether every one of several folds is trained and validated."""
    folds = folds_of(path)
    return len(folds) > 1 and all(_read(fold / "validation" / "metrics.json") for fold in folds)


def cross_validated(path: Path) -> dict[str, Scores] | None:
    """{method: means over the folds}; None where a fold is missing, or was not looked at under changes.

    A fold in whose scans nothing is to be found, or was, has no Dice and is left out.
    """
    own, changed, structural = [], [], []
    for fold in folds_of(path):
        appearances = _read(fold / "validation" / "appearances.json").get("dice")
        if not isinstance(appearances, Mapping) or any(name not in appearances for name in APPEARANCES):
            return None
        if not all(isinstance(appearances[name], (int, float)) for name in APPEARANCES):
            continue
        own.append(float(appearances[AS_THEY_ARE]))
        changed.append(mean_of_changed(appearances))
        structural += _numbers(_read(fold / "validation" / "appearances.json").get("structural"))
    others = fmean(structural) if structural else None  # earlier versions have none
    return {_method(path): Scores(fmean(own), fmean(changed), others)} if own else None


def _numbers(values: object) -> list[float]:
    if not isinstance(values, Mapping):
        return []
    return [float(value) for value in values.values() if isinstance(value, int | float) and not isinstance(value, bool)]


def _method(path: Path) -> str:
    """The method's name, with an augmenter that is not the usual one; -random where contrasts are random alone."""
    recipe = _read(path / "recipe.json")
    parts = [recipe.get(part) for part in ("method", "augmenter")]
    method, augmenter = (str(part.get("name", "?")) if isinstance(part, Mapping) else "?" for part in parts)
    if method == "learn2synth" and _random_contrasts(recipe):
        method = "learn2synth-random"
    return method if augmenter == "parametric" or not method.startswith("learn2synth") else f"{method}:{augmenter}"


def _random_contrasts(recipe: Mapping[str, Any]) -> bool:
    """Whether all images have random contrasts; earlier recipes said so by shares."""
    families = recipe.get("families")
    if isinstance(families, Mapping):
        return set(families) == set(uniform())
    return recipe.get("prior_share") == 0 and recipe.get("reversed_share") == 0


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
