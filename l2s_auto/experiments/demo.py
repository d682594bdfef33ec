"""The embedded default: phantoms, a training with default options, prediction and evaluation in two contrasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.experiments.phantoms import LABELS, write_dataset

TRAINING_SECONDS = 240.0
"""Training time that lets the whole demo end in about six minutes on two CPU cores."""

_CONTRASTS = {"as in training": "imagesTs", "inverted": "imagesTs_inverted"}


def run_demo(
    output: Path = Path("l2s_demo"), *, seed: int = 0, time_budget: float = TRAINING_SECONDS, device: str = "cpu"
) -> Path:
    """Run the demo below `output` and return the picture `demo.png`.

    Writes phantoms/ (the dataset), run/ (the model and its report), predictions/ and inverted/ (segmentations with
    metrics.json), demo.png (a row a contrast: image, reference, prediction).

    time_budget  seconds of training
    Raises UserError if a demo is in that folder already.
    """
    from l2s_auto.evaluation.metrics import evaluate_folders
    from l2s_auto.inference.predict import predict
    from l2s_auto.training.run import plan_and_train

    output = Path(output)
    if (output / "run").exists():
        raise UserError.single(
            "The folder holds a demo already.",
            where=str(output),
            found="run/",
            expected="a new or empty folder",
            mend="Choose another one with -o, or remove it.",
        )
    print(f"Making phantoms in {output / 'phantoms'}", flush=True)
    dataset = write_dataset(output / "phantoms", seed=seed)
    recipe = Recipe(time_budget=time_budget, seed=seed)
    run = plan_and_train(dataset=dataset, output=output / "run", recipe=recipe, device=device)
    results: dict[str, Any] = {}
    for contrast, images in _CONTRASTS.items():
        predictions = output / images.replace("images", "predictions")
        predict(dataset / images, predictions, model=run, device=device)
        results[contrast] = evaluate_folders(
            predictions, dataset / "labelsTs", model=run, output=predictions / "metrics.json"
        )
    picture = _draw(dataset, output)
    print(format_results(results))
    print(f"Picture: {picture}\nReport: {run / 'report.html'}")
    return picture


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


def _draw(dataset: Path, output: Path) -> Path:
    """demo.png of the first test case: a row a contrast."""
    raise NotImplementedError
