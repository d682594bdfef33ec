"""Means, spreads and paired tests over the experiment's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from l2s_auto.experiments.methods.intervals import paired_interval, t_interval

Row = Mapping[str, Any]
#: The mean over all kinds of test scans but the first.
CHANGED = "changed"
#: The mean over the kinds with structural changes, which are no part of `CHANGED`.
STRUCTURAL_MEAN = "structural"


def groups(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """(variant, cases to learn from) -> its rows, a seed each, in the order of the rows."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["variant"], row["cases"]), []).append(row)
    return found


def summaries(
    rows: Sequence[Row],
    names: Sequence[str],
    subjects: Mapping[str, str],
    *,
    first: str,
    structural: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """For each variant and number of cases: mean and standard deviation over the seeds of the mean Dice of each kind of
    test scans, and of the mean over all kinds but the first ("changed"); how far each is from the best of as many cases
    (`from_best`, `tied`); and how it compares with the variant `first` on the same test scans (`against`).

    names       the kinds of test scans; the first is like those that were learned from
    subjects    test scan -> whose it is
    first       the variant that the others are tested against
    structural  further kinds, reported apart with their mean ("structural"). Where a row has no scores of them, mean
                and spread of its variant are None
    """
    found = groups(rows)
    columns = {column: kinds for column, kinds in columns_of(names, structural).items() if kinds}
    result = []
    for (variant, cases), own in found.items():
        summary: dict[str, Any] = {"variant": variant, "cases": cases, "seeds": len(own)}
        summary |= {column: spread(own, kinds) for column, kinds in columns.items()}
        other = found.get((first, cases))
        if other is not None and variant != first:
            summary["against"] = {
                "variant": first,
                "own": compared(own, other, names[:1], subjects),
                "changed": compared(own, other, names[1:], subjects),
            }
            if structural and all(has(rows, structural) for rows in (own, other)):
                apart = compared(own, other, structural, subjects)
                summary["against"]["structural"] = {key: apart[key] for key in apart if key != "p"}
        summary["iterations"] = [row["iterations"] for row in own]
        summary["seconds"] = [row["seconds"] for row in own]
        result.append(summary)
    adjust(result)
    for cases in {summary["cases"] for summary in result}:
        for column, kinds in columns.items():
            beside = [s for s in result if s["cases"] == cases and s[column]["mean"] is not None]
            best = max(beside, key=lambda summary: summary[column]["mean"], default=None)
            for summary in beside:
                own, theirs = (found[s["variant"], cases] for s in (summary, best or summary))
                differences = differences_of(own, theirs, kinds, subjects)
                summary[column] |= {"tied": True} if summary is best else from_best(differences)
    return result


def columns_of(names: Sequence[str], structural: Sequence[str] = ()) -> dict[str, Sequence[str]]:
    """Column of the table -> the kinds of test scans that it is about."""
    own: dict[str, Sequence[str]] = {name: [name] for name in names}
    apart: dict[str, Sequence[str]] = {name: [name] for name in structural}
    return {**own, CHANGED: names[1:], **apart, **({STRUCTURAL_MEAN: structural} if structural else {})}


def spread(rows: Sequence[Row], kinds: Sequence[str]) -> dict[str, float | None]:
    """Mean and standard deviation over the seeds of the mean Dice; None where a row has no score."""
    if not has(rows, kinds):
        return {"mean": None, "sd": None}
    values = [figure(row, kinds) for row in rows]
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def has(rows: Sequence[Row], kinds: Sequence[str]) -> bool:
    """Whether all rows have scores of these kinds; rows of former versions have none of structural changes."""
    return all(kind in row["dice"] for row in rows for kind in kinds)


def from_best(differences: np.ndarray) -> dict[str, Any]:
    """How far a method is from the best: the interval (95 %, Student's t over the subjects) of the mean difference, and
    whether that leaves room for none, so that the two are tied. The fewer subjects, the wider it is: of one, nothing
    can be told.
    """
    interval = t_interval(differences)
    return {"tied": interval is None or interval[1] >= 0, "from_best": interval}


def figure(row: Row, kinds: Sequence[str]) -> float:
    """Mean Dice over these kinds of test scans."""
    return float(np.mean([row["dice"][kind] for kind in kinds]))


def compared(
    own: Sequence[Row], other: Sequence[Row], names: Sequence[str], subjects: Mapping[str, str]
) -> dict[str, Any]:
    """Mean difference of the subjects' Dice, each averaged over scans, seeds and kinds; its 95 % interval over subjects
    and seeds (`intervals.paired_interval`), with the number of seeds in it; and Wilcoxon's p.

    Trainings are paired by their seed: they learned from the same cases. Seeds that only one of the two has are left
    out; where they share none, means over the seeds are compared. The subjects are the pairs of p, which tells of other
    subjects, not of other trainings.
    """
    own, other, seeds = in_pairs(own, other)
    differences = differences_of(own, other, names, subjects)
    if not len(differences):
        return {"difference": None, "interval": None, "seeds": len(seeds), "p": None}
    interval = paired_interval(of_seeds(own, other, names, subjects)) if len(seeds) > 1 else t_interval(differences)
    p = float(wilcoxon(differences).pvalue) if len(differences) > 1 and differences.any() else None
    return {"difference": float(differences.mean()), "interval": interval, "seeds": len(seeds), "p": p}


def in_pairs(own: Sequence[Row], other: Sequence[Row]) -> tuple[list[Row], list[Row], list[int]]:
    """The rows of the seeds that both have, in the same order, and these seeds; all rows where they share none."""
    ours, theirs = ({row["seed"]: row for row in rows} for rows in (own, other))
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return list(own), list(other), []
    return [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds], seeds


def of_seeds(own: Sequence[Row], other: Sequence[Row], names: Sequence[str], subjects: Mapping[str, str]) -> np.ndarray:
    """(seeds, subjects) difference of each subject's Dice, averaged over scans and kinds, of rows in pairs; of the
    subjects that have a Dice in every row.
    """
    dice = [[of_subjects([row], names, subjects) for row in rows] for rows in (own, other)]
    common = sorted(set.intersection(*(set(one) for rows in dice for one in rows)))
    ours, theirs = (np.array([[one[name] for name in common] for one in rows]) for rows in dice)
    return ours - theirs


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
