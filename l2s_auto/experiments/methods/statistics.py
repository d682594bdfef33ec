"""Means, spreads and paired tests over the experiment's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student
from scipy.stats import wilcoxon

Row = Mapping[str, Any]
#: The mean over all kinds of test scans but the first.
CHANGED = "changed"
#: How sure it has to be that a method is not the best of a column, for it not to be tied with the best.
CONFIDENCE = 0.95


def groups(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """(variant, cases to learn from) -> its rows, a seed each, in the order of the rows."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["variant"], row["cases"]), []).append(row)
    return found


def summaries(
    rows: Sequence[Row], names: Sequence[str], subjects: Mapping[str, str], *, first: str
) -> list[dict[str, Any]]:
    """For each variant and number of cases: mean and standard deviation over the seeds of the mean Dice of each kind of
    test scans, and of the mean over all kinds but the first ("changed"); how far each is from the best of as many cases
    (`from_best`, `tied`); and how it compares with the variant `first` on the same test scans.

    names     the kinds of test scans; the first is like those that were learned from
    subjects  test scan -> whose it is
    first     the variant that the others are tested against
    """
    found = groups(rows)
    result = []
    for (variant, cases), own in found.items():
        summary: dict[str, Any] = {"variant": variant, "cases": cases, "seeds": len(own)}
        for name in (*names, CHANGED):
            values = [figure(row, name, names) for row in own]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
            summary[name] = {"mean": float(np.mean(values)), "sd": sd}
        other = found.get((first, cases))
        if other is not None and variant != first:
            summary["against"] = {
                "variant": first,
                "own": compared(own, other, names[:1], subjects),
                "changed": compared(own, other, names[1:], subjects),
            }
        summary["iterations"] = [row["iterations"] for row in own]
        summary["seconds"] = [row["seconds"] for row in own]
        result.append(summary)
    adjust(result)
    for cases in {summary["cases"] for summary in result}:
        beside = [summary for summary in result if summary["cases"] == cases]
        for name in (*names, CHANGED):
            best = max(beside, key=lambda summary: summary[name]["mean"])
            for summary in beside:
                own, theirs = (found[s["variant"], cases] for s in (summary, best))
                differences = differences_of(own, theirs, kinds_of(name, names), subjects)
                summary[name] |= {"tied": True} if summary is best else from_best(differences)
    return result


def kinds_of(name: str, names: Sequence[str]) -> Sequence[str]:
    """The kinds of test scans that a column is about."""
    return names[1:] if name == CHANGED else [name]


def from_best(differences: np.ndarray) -> dict[str, Any]:
    """How far a method is from the best: the interval (95 %, Student's t over the subjects) of the mean difference, and
    whether that leaves room for none, so that the two are tied. The fewer subjects, the wider it is: of one, nothing
    can be told.
    """
    if len(differences) < 2:
        return {"tied": True, "from_best": None}
    half = student.ppf((1 + CONFIDENCE) / 2, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    interval = [float(differences.mean() - half), float(differences.mean() + half)]
    return {"tied": interval[1] >= 0, "from_best": interval}


def figure(row: Row, name: str, names: Sequence[str]) -> float:
    """Mean Dice of a kind of test scans, or of the mean over all but the first."""
    return float(np.mean([row["dice"][kind] for kind in kinds_of(name, names)]))


def compared(
    own: Sequence[Row], other: Sequence[Row], names: Sequence[str], subjects: Mapping[str, str]
) -> dict[str, float | None]:
    """Mean difference of the subjects' Dice, each averaged over scans, seeds and kinds, and Wilcoxon's p of it.

    The subjects are the pairs: p tells of other subjects, not of other trainings.
    """
    differences = differences_of(own, other, names, subjects)
    if len(differences) < 2 or not differences.any():
        return {"difference": float(differences.mean()) if len(differences) else None, "p": None}
    return {"difference": float(differences.mean()), "p": float(wilcoxon(differences).pvalue)}


def differences_of(
    own: Sequence[Row], other: Sequence[Row], names: Sequence[str], subjects: Mapping[str, str]
) -> np.ndarray:
    """Difference of each subject's Dice, averaged over scans, seeds and kinds: (subjects that both have,)."""
    ours, theirs = (of_subjects(rows, names, subjects) for rows in (own, other))
    return np.array([ours[name] - theirs[name] for name in sorted(set(ours) & set(theirs))])


def of_subjects(rows: Sequence[Row], names: Sequence[str], subjects: Mapping[str, str]) -> dict[str, float]:
    """Mean over scans, seeds and kinds of each subject's Dice, where there is one."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for scan, reached in row["scans"].items():
            values.setdefault(subjects[scan], []).extend(reached[name] for name in names if name in reached)
    return {subject: float(np.mean(own)) for subject, own in values.items() if own}


def adjust(results: Sequence[dict[str, Any]]) -> None:
    """Holm's correction over all tests of the table (Scandinavian Journal of Statistics 1979)."""
    tests = [s["against"][kind] for s in results if "against" in s for kind in ("own", "changed")]
    tests = sorted((test for test in tests if test["p"] is not None), key=lambda test: test["p"])
    highest = 0.0
    for number, test in enumerate(tests):
        highest = max(highest, min(1.0, test["p"] * (len(tests) - number)))
        test["p_holm"] = highest
