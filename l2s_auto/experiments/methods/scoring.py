"""Rows of an experiment: the test scans segmented by a trained model, and compared with their references."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.dial import Aim
from l2s_auto.core.errors import Offence, UserError
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.experiments.methods.bench import REFERENCES, Bench
from l2s_auto.inference.predict import PredictionSummary, predict
from l2s_auto.io.json_files import read_json
from l2s_auto.io.run_files import parse_line
from l2s_auto.training.run_folder import RunFolder

LOGGER = logging.getLogger("l2s_auto")
AGAIN = "Mend that, and run the command again."


def known(path: Path, bench: Bench) -> dict[str, Any] | None:
    """What a former call found on the same test scans; None where there is nothing, or a file that is broken."""
    try:
        row = read_json(path) if path.exists() else None
    except UserError:
        LOGGER.warning("Warning: %s is broken, and is made again when its method is asked for.", path)
        return None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), dict) for name in ("scans", "dice")):
        return None
    same = set(row["scans"]) == set(bench.scans) and set(row["dice"]) - set(bench.structural) == set(bench.names)
    return row if same else None


def lacks_structural(row: Mapping[str, Any], folder: Path, bench: Bench) -> bool:
    """Whether a row of a former version has no scores of structural changes, and its model is still there."""
    return not set(bench.structural) <= set(row["dice"]) and RunFolder(folder / "run").has_models()


def with_structural(
    row: dict[str, Any], bench: Bench, folder: Path, *, run: Path, aim: Aim | None, device: str
) -> dict[str, Any]:
    """The row with the scores of structural changes that it lacks, by the model that is there."""
    names = [name for name in bench.structural if name not in row["dice"]]
    found = tested(bench, names, folder, run=run, aim=aim, device=device)
    scans = {scan: {**reached, **found["scans"][scan]} for scan, reached in row["scans"].items()}
    return {**row, "dice": {**row["dice"], **found["dice"]}, "scans": scans}


def tested(
    bench: Bench, names: Sequence[str], folder: Path, *, run: Path, aim: Aim | None, device: str
) -> dict[str, Any]:
    """Segment these kinds of test scans with a model, into the folder, and compare -> as `scored`.

    aim  what the model is chosen for; None: what it is by itself
    """
    tests = bench.tests()

    def segmented(name: str) -> Path:
        return folder / "segmented" / f"{tests.name}, {name}"

    for name in names:
        require_segmented(predict(tests / name, segmented(name), model=run, aim=aim, device=device, workers=0))
    return scored(bench, segmented, names)


def require_segmented(summary: PredictionSummary) -> None:
    """UserError that tells why test scans could not be segmented."""
    if summary.failures:
        raise UserError(
            "Test scans could not be segmented.",
            [Offence(failure.file, failure.reason, "its segmentation", AGAIN) for failure in summary.failures],
        )


def scored(bench: Bench, segmented: Callable[[str], Path], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Mean Dice of each kind of test scans and of each scan; `segmented` tells where their label maps are.

    names  the kinds; None: all but the structural ones
    A scan in which no Dice is defined has none. UserError where that is so in all.
    """
    dataset, tests = bench.dataset, bench.tests()
    labels = {value: name for value, name in dataset.labels.items() if value != 0}
    scans: dict[str, dict[str, float]] = {name: {} for name in bench.scans}
    dice = {}
    for name in bench.names if names is None else names:
        metrics = evaluate_folders(
            segmented(name), tests / REFERENCES, labels, regions=dataset.regions, ignore=dataset.ignore
        )
        dice[name] = metrics["mean"]["dice"]
        for case in metrics["cases"]:
            values = [m["dice"] for m in case["labels"].values() if m["dice"] is not None]
            if values:
                scans[case["case"]][name] = float(np.mean(values))
        if dice[name] is None:
            raise UserError(f"In the test scans there is nothing to find, and nothing was found ({name}): no score.")
    return {"dice": dice, "scans": scans}


def last_line(history: Path) -> dict[str, Any]:
    """Iterations, seconds and theta at the end of a training."""
    lines = map(parse_line, reversed(history.read_text(encoding="utf-8").splitlines()))
    line = next(line for line in lines if line is not None)
    return {"iterations": line["iteration"], "seconds": line["seconds"], "theta": line["theta"]}
