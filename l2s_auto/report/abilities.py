"""What a model is good at, in plain words: Dice on scans like those of the training, and on others. From dial.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from l2s_auto.core.dial import AIMS, DIAL, Aim, Dial, Difference, Reached
from l2s_auto.core.errors import UserError
from l2s_auto.evaluation.intervals import Interval, pooled
from l2s_auto.io.json_files import read_model
from l2s_auto.report.verdict import FEW

#: What is called home, and what abroad.
HOME = "scans like those of the training"
ABROAD = "scans with another contrast, noise or a bias field"


def dial_of(fold: Path) -> Dial | None:
    """Of a fold's folder; None where there is none that can be read: other methods and older models have none."""
    try:
        return read_model(fold / DIAL, Dial) if (fold / DIAL).is_file() else None
    except (UserError, OSError):
        return None


def dials_of(folds: Iterable[Path]) -> list[Dial]:
    """Of those folds that have one."""
    return [dial for fold in folds if (dial := dial_of(fold)) is not None]


#: What is said of a model for each.
EACH = "Each scan chooses its weights: those for home where both ends of the model agree, else the general ones."


def aim_of(dial: Dial) -> Aim:
    """What the weights that predict were chosen for: where `each` is not to be had, both."""
    return "both" if dial.aim == "each" and dial.threshold is None else dial.aim


def aims_of(dials: Sequence[Dial]) -> list[Aim]:
    """Aims that each fold can be used for."""
    return [aim for aim in AIMS if all(_has(dial, aim) for dial in dials)]


def expected(dials: Sequence[Dial], aim: Aim) -> Reached:
    """What an aim reaches, over all cases of all folds; unmeasured where it is in one of them."""
    rows = [dial.reached.get(aim, Reached()) for dial in dials]
    own, own_interval = _over([(row.own, row.own_interval) for row in rows], dials)
    changed, changed_interval = _over([(row.changed, row.changed_interval) for row in rows], dials)
    return Reached(own=own, own_interval=own_interval, changed=changed, changed_interval=changed_interval)


def measured(dials: Sequence[Dial]) -> list[Dial]:
    """Those in which something was measured, such as folds without the one of all cases; all where nothing was."""
    return [dial for dial in dials if dial.reached] or list(dials)


def abilities(dials: Sequence[Dial]) -> tuple[str, ...]:
    """Sentences about the folds together; nothing where there is no dial."""
    if not dials:
        return ()
    notes = tuple(dict.fromkeys(dial.note for dial in dials if dial.note))
    dials = measured(dials)
    aims = {aim_of(dial) for dial in dials}
    aim = aims.pop() if len(aims) == 1 else "both"
    reached = expected(dials, aim)
    if reached.own is None or reached.changed is None:
        unknown = "How good the model is on other scans than those of the training was not measured."
        return (*notes, unknown)
    cases = sum(dial.cases for dial in dials)
    first = (
        f"On {HOME} expect Dice {_figure(reached.own, reached.own_interval, f' for the mean of {cases} cases')}; on "
        f"{ABROAD} expect {_figure(reached.changed, reached.changed_interval)}."
    )
    few = f"That was measured on {cases} cases: little is known of other scans."
    return (first, *([few] if cases < FEW else []), *_others(dials, aim), *_ends(dials), *notes)


def _others(dials: Sequence[Dial], aim: Aim) -> list[str]:
    """What the model was chosen for, and what it would reach with another aim."""
    told = []
    for other in aims_of(dials):
        reached = expected(dials, other)
        same = "each" not in (other, aim) and all(dial.chosen.get(other) == dial.chosen.get(aim) for dial in dials)
        if other == aim or reached.own is None or reached.changed is None:
            continue
        told.append(f"--aim {other} the same" if same else f"--aim {other} {reached.own:.3f} / {reached.changed:.3f}")
    rest = f" With l2s_predict it would have, on these two kinds of scans: {'; '.join(told)}." if told else ""
    aims = [other for other in AIMS if any(aim_of(dial) == other for dial in dials)]
    differ = f"The folds were chosen for different aims, {' and '.join(aims)}: these figures are for {aim}."
    alike = EACH if aim == "each" else f"The model was chosen for {aim}."
    return [f"{alike if len(aims) == 1 else differ}{rest}"]


def _ends(dials: Sequence[Dial]) -> list[str]:
    """Whether the two ends of the dial differ by more than the noise."""
    own, changed = _gain(dials, [dial.own_gain for dial in dials]), _gain(dials, [dial.changed_gain for dial in dials])
    if own is None or changed is None:
        return []
    if own.is_none and changed.is_none:
        why = "" if own.interval and changed.interval else ", as far as so few cases can tell"
        return [f"There is no difference between the home weights and the general weights{why}: --aim changes little."]
    told = f"{_gained(own)} on {HOME}, and {_gained(changed)} on {ABROAD}"
    return [f"Compared with the general weights, the home weights {told}."]


def _gained(difference: Difference) -> str:
    if difference.is_none or difference.interval is None:
        return "make no difference beyond the noise"
    low, high = sorted(abs(end) for end in difference.interval)
    return f"{'gain' if difference.mean > 0 else 'lose'} {abs(difference.mean):.3f} ({low:.3f} to {high:.3f})"


def _gain(dials: Sequence[Dial], gains: Sequence[Difference | None]) -> Difference | None:
    known = [(gain.mean, gain.interval) for gain in gains if gain is not None]
    if len(known) < len(dials):
        return None
    mean, interval = _over(known, dials)
    return None if mean is None else Difference(mean=mean, interval=interval)


def _over(
    rows: Sequence[tuple[float | None, Interval | None]], dials: Sequence[Dial]
) -> tuple[float | None, Interval | None]:
    """Mean and interval over the folds' cases; None where one has none."""
    known = [
        (mean, interval, dial.cases) for (mean, interval), dial in zip(rows, dials, strict=True) if mean is not None
    ]
    return (None, None) if not known or len(known) < len(rows) else pooled(known)


def _has(dial: Dial, aim: Aim) -> bool:
    return ("home" in dial.chosen and dial.threshold is not None) if aim == "each" else aim in dial.chosen


def _figure(mean: float, interval: Interval | None, of: str = "") -> str:
    """A mean with its interval in brackets."""
    if interval is None:
        return f"{mean:.3f}"
    low, high = (min(1.0, max(0.0, end)) for end in interval)
    return f"{mean:.3f} ({low:.3f} to {high:.3f}{of})"
