"""Means, spreads and paired tests over the experiment's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

Row = Mapping[str, Any]
#: The mean over all kinds of test scans but the first.
CHANGED = "changed"


def groups(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """(variant, cases to learn from) -> its rows, a seed each, in the order of the rows."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["variant"], row["cases"]), []).append(row)
    return found


def summaries(rows: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each variant and number of cases: mean and standard deviation over the seeds of the mean Dice of each kind of
    test scans, and of the mean over all kinds but the first ("changed"); and how it compares with the first variant on
    the same test scans.

    names  the kinds of test scans; the first is like those that were learned from
    """
    found = groups(rows)
    result = []
    first = next(iter(found))[0]
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
                "own": compared(own, other, names[:1]),
                "changed": compared(own, other, names[1:]),
            }
        summary["iterations"] = [row["iterations"] for row in own]
        summary["seconds"] = [row["seconds"] for row in own]
        result.append(summary)
    adjust(result)
    return result


def figure(row: Row, name: str, names: Sequence[str]) -> float:
    """Mean Dice of a kind of test scans, or of the mean over all but the first."""
    if name == CHANGED:
        return float(np.mean([row["dice"][change] for change in names[1:]]))
    return float(row["dice"][name])


def compared(own: Sequence[Row], other: Sequence[Row], names: Sequence[str]) -> dict[str, float | None]:
    """Mean difference of the test scans' Dice, each averaged over seeds and kinds, and Wilcoxon's p of it.

    The scans are the pairs: p tells of other scans, not of other trainings.
    """
    scans = sorted(set(own[0]["scans"]) & set(other[0]["scans"]))
    differences = np.array([of_scan(own, scan, names) - of_scan(other, scan, names) for scan in scans])
    if len(differences) < 2 or not differences.any():
        return {"difference": float(differences.mean()) if len(differences) else None, "p": None}
    return {"difference": float(differences.mean()), "p": float(wilcoxon(differences).pvalue)}


def of_scan(rows: Sequence[Row], scan: str, names: Sequence[str]) -> float:
    """Mean over seeds and kinds of a scan's Dice."""
    return float(np.mean([row["scans"][scan][name] for row in rows for name in names]))


def adjust(results: Sequence[dict[str, Any]]) -> None:
    """Holm's correction over all tests of the table (Scandinavian Journal of Statistics 1979)."""
    tests = [s["against"][kind] for s in results if "against" in s for kind in ("own", "changed")]
    tests = sorted((test for test in tests if test["p"] is not None), key=lambda test: test["p"])
    highest = 0.0
    for number, test in enumerate(tests):
        highest = max(highest, min(1.0, test["p"] * (len(tests) - number)))
        test["p_holm"] = highest
