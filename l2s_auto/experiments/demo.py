"""The embedded default: phantoms, a training with default options, prediction and evaluation in two contrasts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.core.folding import say
from l2s_auto.core.recipe import Recipe
from l2s_auto.experiments.phantoms import DESCRIPTION, LABELS, write_dataset
from l2s_auto.io.places import contents, kind_of, mark, refuse_folder, require_outside_of_datasets

if TYPE_CHECKING:
    from l2s_auto.experiments.demo_figure import Row

#: Kind of folder, as its mark tells.
KIND = "demo"
TRAINING_SECONDS = 420.0
"""Training time that lets the whole demo end in about eight minutes on two CPU cores."""

#: Mean Dice on scans as in training, below which the demo has not worked.
POOR = 0.5

_FOCUS = (LABELS["left deep nuclei"], LABELS["right deep nuclei"])
_CONTRASTS = {"as in training": "imagesTs", "inverted": "imagesTs_inverted"}


def run_demo(
    output: Path = Path("l2s_demo"),
    *,
    seed: int = 0,
    time_budget: float = TRAINING_SECONDS,
    device: str = "cpu",
    overwrite: bool = False,
) -> Path:
    """Run the demo below `output` and return the picture `demo.png`.

    Writes phantoms/ (the dataset), run/ (the model and its report), predictionsTs/ and predictionsTs_inverted/
    (segmentations, with metrics.json), and demo.png (a row a contrast: image, reference, prediction).

    time_budget  seconds of training
    overwrite    replace the files of a demo that is there; other files stay
    Raises UserError if a demo, or anything else, is in that folder already.
    """
    from l2s_auto.evaluation import evaluate_folders
    from l2s_auto.experiments.demo_figure import draw_comparison
    from l2s_auto.inference.predict import predict
    from l2s_auto.io.json_files import write_json
    from l2s_auto.training.run import plan_and_train

    output = Path(output)
    if any(place.exists() and not place.is_dir() for place in (output, *output.parents)):
        raise UserError.single(
            "The demo's folder cannot be made.",
            where=str(output),
            found="a file of that name, or above it",
            expected="a new or empty folder",
            mend="Choose another one with -o.",
        )
    _require_free(output, overwrite=overwrite)
    mark(output, KIND)
    say(f"Making phantoms in {output / 'phantoms'}", whole=[output / "phantoms"])
    dataset = write_dataset(output / "phantoms", seed=seed)
    recipe = Recipe(time_budget=time_budget, seed=seed)
    run = plan_and_train(dataset=dataset, output=output / "run", recipe=recipe, device=device, overwrite=overwrite)
    names = {value: name for name, value in LABELS.items() if value != 0}
    results: dict[str, Any] = {}
    for contrast, images in _CONTRASTS.items():
        predictions = output / images.replace("images", "predictions")
        summary = predict(dataset / images, predictions, model=run, device=device, overwrite=overwrite)
        if summary.failures:
            raise RuntimeError(f"phantoms could not be segmented: {summary.failures}")
        results[contrast] = evaluate_folders(predictions, dataset / "labelsTs", names)
        write_json(predictions / "metrics.json", results[contrast])
    picture = draw_comparison(_first_case(dataset, output), output / "demo.png", focus=_FOCUS)
    print(format_results(results))
    report = run / "report.html"
    say(f"Picture: {picture}\nReport: {report}", whole=[picture, report])
    if warning := poor_result(results, time_budget):
        say(f"Warning: {warning}", error=True)
    return picture


def poor_result(results: dict[str, Any], time_budget: float) -> str:
    """What to say of a demo that does not show what the program can do; empty where all is well.

    results  as for `format_results`
    """
    dice = results[next(iter(_CONTRASTS))]["mean"]["dice"]
    if dice is None or dice >= POOR:
        return ""
    longer = " Give it more time, such as --time-budget 7m." if time_budget < TRAINING_SECONDS else ""
    return f"this demo has not worked: mean Dice {dice:.3f} on scans as in training, where 0.8 is usual.{longer}"


def _require_free(output: Path, *, overwrite: bool) -> None:
    """UserError unless the folder is new or empty or, where the user wishes it, an earlier demo's."""
    require_outside_of_datasets(output)
    is_demo = kind_of(output) == KIND or _has_phantoms(output)
    if not contents(output) or (overwrite and is_demo):
        return
    if not is_demo:
        refuse_folder(output, kind="a demo", mend="Choose another folder with -o.")
    raise UserError.single(
        "The folder holds a demo already.",
        where=str(output),
        found=some_of(contents(output), most=5),
        expected="a new or empty folder",
        mend="Choose another one with -o, or replace the demo with --overwrite.",
    )


def _has_phantoms(output: Path) -> bool:
    """Whether a demo of an earlier version, which left no mark, made the folder."""
    try:
        about = json.loads((output / "phantoms" / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.get("description") == DESCRIPTION


def format_results(results: dict[str, Any]) -> str:
    """A small table of Dice: a row a label, a column a contrast, the mean last.

    results  contrast -> what evaluate_folders gives (`mean` and `labels`, each metric a number or None)
    """
    names = [name for name in LABELS if name != "background"]
    width = max(map(len, names))
    lines = ["Dice".ljust(width) + "".join(f"  {contrast:>16}" for contrast in results)]
    for name in names:
        row = [metrics["labels"].get(name, {}).get("dice") for metrics in results.values()]
        lines.append(name.ljust(width) + "".join(f"  {_number(dice):>16}" for dice in row))
    means = [metrics["mean"]["dice"] for metrics in results.values()]
    lines.append("mean".ljust(width) + "".join(f"  {_number(dice):>16}" for dice in means))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _first_case(dataset: Path, output: Path) -> list[Row]:
    """The first test case in each contrast."""
    from l2s_auto.experiments.demo_figure import Row
    from l2s_auto.io.volumes import read_label_map, read_volume

    label_file = min((dataset / "labelsTs").iterdir())
    case = label_file.name.removesuffix(".nii.gz")
    reference, affine = read_label_map(label_file)
    rows: list[Row] = []
    for contrast, images in _CONTRASTS.items():
        image = read_volume(dataset / images / f"{case}_0000.nii.gz").data[0]
        prediction, _ = read_label_map(output / images.replace("images", "predictions") / label_file.name)
        rows.append(Row(contrast, image, reference, prediction, affine))
    return rows
