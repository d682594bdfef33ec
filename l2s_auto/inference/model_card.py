"""What an exported model says of itself: what it is, how to use it, and what it reached in validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from l2s_auto import __version__
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.surface_dice import TOLERANCE, WITHIN_1MM, WITHIN_VOXEL, surface_dice
from l2s_auto.inference.aim import setting_of
from l2s_auto.inference.load import ModelFiles
from l2s_auto.inference.model_zip import METRICS, SUMS
from l2s_auto.io.run_files import read_metrics
from l2s_auto.report.verdict import LEFT_OUT, SYNTHETIC

#: Metrics of the table, and its headings.
SHOWN = {
    "dice": "Dice",
    "hd95_mm": "HD95 mm",
    "nsd_1mm": "NSD 1 mm",
    "nsd": "NSD 1 voxel",
    "volume_error": "volume error",
}


def nameless_metrics(path: Path) -> dict[str, Any] | None:
    """A fold's metrics without those of single cases, whose names may tell who they are; None where there are none."""
    if not path.is_file():
        return None
    metrics = read_metrics(path)
    count = len(metrics.get("cases", []))
    left = f"over {count} case{'s' * (count > 1)}, whose names and figures are left out"
    notes = [left] if count else metrics.get("notes", [])
    tolerance = {TOLERANCE: metrics[TOLERANCE]} if TOLERANCE in metrics else {}
    kept = {"mean": metrics.get("mean", {}), **tolerance, "labels": metrics.get("labels", {})}
    kept |= {"cases": [], "notes": notes}
    before = metrics.get(LEFT_OUT)  # of a model that was imported
    kept |= {LEFT_OUT: count or before} if count or isinstance(before, int) else {}
    return kept | ({"images": SYNTHETIC} if metrics.get("images") == SYNTHETIC else {})


def model_card(plan: Plan, recipe: Recipe, files: ModelFiles) -> str:
    """The text of README.txt."""
    labels = "\n".join(f"  {label.value:>5}  {label.name}" for label in plan.labels)
    channels = ", ".join(plan.channels) or "one, of any contrast (trained on label maps alone)"
    spacing = " x ".join(f"{s:.3g}" for s in plan.spacing)
    found = [nameless_metrics(weights.parent / METRICS) for weights in files.weights]
    return f"""\
A segmentation model of l2s_auto {__version__}

Dataset    {plan.dataset}
Method     {recipe.method.name}
Channels   {channels}
Spacing    {spacing} mm (scans of any spacing and orientation are accepted)
Networks   {len(files.weights)} ({", ".join(files.folds)})
{_dial(files)}
Labels (value in the segmentation, name)
{labels}

{_reached([metrics for metrics in found if metrics is not None])}

To segment a scan, or a folder of scans:
  l2s_predict -i IN -o OUT -m THIS_FILE.zip

To check the files once they are unpacked, which l2s_predict and l2s_import also do:
  sha256sum -c {SUMS}

What to mind: the figures above are of cases from the same dataset; on other scanners and patients expect less, and
look at qc.csv and the overlays. Research software: it is not a medical device, and its output needs the eyes of
somebody qualified.
"""


def _dial(files: ModelFiles) -> str:
    """For what the weights were chosen, and their point between both ends; nothing where there is one end."""
    setting = setting_of(files.folders, None)
    if not setting.points:
        return ""
    points = ", ".join(f"{a:.3g}" for a in setting.points)
    return (
        f"Aim        {setting.aim or 'of each fold its own'}; point of each network from 0 (general) to 1 (home): "
        f"{points}\n           l2s_predict --aim home, both, anywhere or each chooses another\n"
    )


def _reached(folds: Sequence[Mapping[str, Any]]) -> str:
    """A table of the mean over the folds."""
    known = [fold for fold in folds if fold["labels"]]
    if not known:
        return "Not validated: no labelled scan was held out."
    names = list(dict.fromkeys(name for fold in known for name in fold["labels"]))
    width = max(len("mean"), *map(len, names))
    others = {WITHIN_1MM, WITHIN_VOXEL} - {surface_dice(known[0])[0]}
    columns = {metric: title for metric, title in SHOWN.items() if metric not in others}
    lines = [f"  {'':<{width}}  " + "  ".join(f"{title:>12}" for title in columns.values())]
    for name, rows in [
        *((name, [fold["labels"].get(name, {}) for fold in known]) for name in names),
        ("mean", [fold["mean"] for fold in known]),
    ]:
        cells = [_cell([row.get(metric) for row in rows]) for metric in columns]
        lines.append(f"  {name:<{width}}  " + "  ".join(f"{cell:>12}" for cell in cells))
    cases = "synthetic images of label maps" if any("images" in fold for fold in known) else "cases"
    many = f"each of {len(known)} folds by {cases} it never saw" if len(known) > 1 else f"{cases} it never saw"
    return f"Reached in validation ({many})\n" + "\n".join(lines)


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3f}" if known else "-"
