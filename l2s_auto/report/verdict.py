"""What a training has become, in a few sentences: whether its model finds anything, and how much that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.io.run_files import parse_line, read_metrics

#: Mean Dice on validation cases below which a model finds (almost) nothing.
ALMOST_NOTHING = 0.1
#: Mean Dice below which a model is poor.
POOR = 0.3
#: Validation cases below which a mean says little.
FEW = 5
#: By how much Dice would rise in as much time as the second half of the training took: more is "still rising".
RISING = 0.03
#: Validations of the second half of a training that a trend is taken from, at least.
POINTS = 3
#: What metrics.json says in `images` where no real scan was segmented.
SYNTHETIC = "synthetic"
#: Field of metrics.json in exported models: how many cases there were, whose names and figures are left out.
LEFT_OUT = "cases_left_out"
LONGER = "Train longer: --resume with a longer --time-budget or more --iterations (report.html has the command)."


@dataclass(frozen=True)
class Verdict:
    """Of one fold.

    dice       mean over labels and validation cases; None where nothing was measured
    cases      how many were validated on
    synthetic  whether they were synthetic images of label maps
    warnings   sentences about a model that is not to be used as it is
    notes      sentences about how much the figures say
    """

    dice: float | None
    cases: int
    synthetic: bool = False
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def useless(self) -> bool:
        """Whether the model finds (almost) nothing."""
        return self.dice is not None and self.dice < ALMOST_NOTHING

    @property
    def poor(self) -> bool:
        """Whether the model finds little, or nothing."""
        return self.dice is not None and self.dice < POOR

    @property
    def measured(self) -> str:
        """The Dice and what it was measured on, for a sentence."""
        if self.dice is None:
            return "not measured"
        kind = "label map" if self.synthetic else "validation case"
        count = f"{self.cases} " if self.cases else ""  # an export of an earlier version does not tell it
        what = "synthetic images of " if self.synthetic else ""
        return f"{self.dice:.3f} on {what}{count}{kind}{'s' * (self.cases != 1)}"


def judge(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()) -> Verdict:
    """What metrics.json and the lines of history.jsonl say of a model.

    A label or a mean whose Dice is undefined is not judged.
    """
    dice = _number(_mapping(metrics.get("mean")).get("dice"))
    cases = len(metrics.get("cases") or []) or int(_number(metrics.get(LEFT_OUT)) or 0)
    synthetic = metrics.get("images") == SYNTHETIC
    if dice is None:
        reason = "no case was held out" if not cases else "Dice is undefined on the validation cases"
        note = f"Nothing was measured: {reason}. Nothing is known of how good the model is."
        return Verdict(None, cases, synthetic, notes=(note,))
    where = "the synthetic images of the validation label maps" if synthetic else "the validation cases"
    warnings, notes = [], []
    lost = [str(name) for name, row in _mapping(metrics.get("labels")).items() if _is_lost(row)]
    if dice < ALMOST_NOTHING:
        warnings.append(
            f"The model finds (almost) nothing on {where}: mean Dice {dice:.3f}. Do not use it. If it does not get "
            "better, look whether images and labels fit together (preview.png of --dry-run)."
        )
    elif lost:
        warnings.append(f"The model finds (almost) nothing of {some_of(lost)}: Dice below {ALMOST_NOTHING}.")
    if ALMOST_NOTHING <= dice < POOR:
        warnings.append(f"The model is poor: mean Dice {dice:.3f} on {where}.")
    if still_rising(history):
        warnings.append("Dice on the validation cases was still rising when the training ended.")
    if warnings:
        warnings[-1] += f" {LONGER}"
    if 0 < cases < FEW:
        plural = "s" * (cases != 1)
        kind = f"label map{plural}" if synthetic else f"case{plural}"
        notes.append(f"Dice on {cases} {kind} says little: with others it may be very different.")
    if synthetic:
        notes.append("Dice was measured on synthetic images: on real scans expect less, and look at some.")
    return Verdict(dice, cases, synthetic, tuple(warnings), tuple(notes))


def still_rising(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether Dice on the validation cases was still rising at the end of the training.

    The median of the slopes between all pairs of validations in the second half of the training (Theil and Sen), which
    one odd validation does not change, has to promise more than RISING for as many iterations again, and the last
    validation has to be above the median of the others.
    """
    lines = ((_number(line.get("iteration")), _number(line.get("val_dice"))) for line in history)
    known = [(step, dice) for step, dice in lines if step is not None and dice is not None]
    points = [point for point in known if point[0] >= known[-1][0] / 2]
    points = known[-POINTS:] if len(points) < POINTS else points
    if len(points) < POINTS:
        return False
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1 :] if b[0] > a[0]]
    promised = median(slopes) * (points[-1][0] - points[0][0]) if slopes else 0.0
    return promised > RISING and points[-1][1] > median(dice for _, dice in points[:-1])


def verdict_of(fold: Path) -> Verdict | None:
    """Of a fold's folder; None where it was not validated, or its files cannot be read."""
    try:
        metrics = read_metrics(fold / "validation" / "metrics.json")
    except (UserError, OSError):
        return None
    return judge(metrics, _lines(fold / "history.jsonl"))


def verdict_of_all(folds: Sequence[Path]) -> Verdict | None:
    """Of several folds together: the mean Dice over them, all cases, each fold's warnings by its name."""
    found = [(fold.name, verdict) for fold in folds if (verdict := verdict_of(fold)) is not None]
    if not found:
        return None
    if len(found) == 1:
        return found[0][1]
    known = [verdict.dice for _, verdict in found if verdict.dice is not None]
    return Verdict(
        fmean(known) if known else None,
        sum(verdict.cases for _, verdict in found),
        any(verdict.synthetic for _, verdict in found),
        tuple(f"{name}: {text}" for name, verdict in found for text in verdict.warnings),
    )


def finds_nothing(run: Path) -> bool:
    """Whether the models of a run folder find (almost) nothing on the cases that they were validated on."""
    verdict = verdict_of_all(sorted(run.glob("fold_*")))
    return verdict is not None and verdict.useless


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of history.jsonl; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for row in text.splitlines() if (line := parse_line(row)) is not None]


def _is_lost(row: object) -> bool:
    dice = _number(_mapping(row).get("dice"))
    return dice is not None and dice < ALMOST_NOTHING


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known else None  # type: ignore[arg-type]
