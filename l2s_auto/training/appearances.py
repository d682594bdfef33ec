"""How a cross-validated fold bears changes of its held-out scans' appearance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from l2s_auto.core.types import Case
from l2s_auto.evaluation.appearance import APPEARANCES, STRUCTURAL
from l2s_auto.evaluation.metrics import summarise
from l2s_auto.io.json_files import write_json
from l2s_auto.training.build import Parts
from l2s_auto.training.validate import Choose, evenly, segment_and_compare

#: Held-out scans of a fold that are looked at, at most: each is segmented once for each appearance.
LOOKED_AT = 8


def validate_appearances(
    parts: Parts, choose: Choose, cases: Sequence[Case], folder: Path, *, progress: Callable[[int, int], None]
) -> None:
    """Write validation/appearances.json below the fold's folder: {"dice": {appearance: mean}, "structural":
    {change: mean}, "cases": [names]}; the second are changes that are no function of intensity alone.

    The processes of a team share the scans; the leader writes. Nothing is written where there are none.
    """
    seen = evenly([case for case in cases if case.images and case.label is not None], LOOKED_AT)
    mine, results = parts.team.some_of(seen), []
    for number, case in enumerate(mine):
        for appearance in (*APPEARANCES, *STRUCTURAL):
            scores, _, _ = segment_and_compare(parts, choose, case, appearance=appearance)
            results.append((appearance, {"case": case.id, "labels": scores}))
        progress(number + 1, len(mine))
    results = parts.team.gather(results)
    if not parts.team.leader or not results:
        return
    own = {
        name: summarise([scores for other, scores in results if other == name]) for name in (*APPEARANCES, *STRUCTURAL)
    }
    dice = {name: summary["mean"]["dice"] for name, summary in own.items()}
    content = {
        "dice": {name: dice[name] for name in APPEARANCES},
        "structural": {name: dice[name] for name in STRUCTURAL},
        "cases": [case.id for case in seen],
    }
    write_json(folder / "validation" / "appearances.json", content)
