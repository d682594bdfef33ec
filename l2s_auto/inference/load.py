"""A trained model from a run folder, a fold folder or an exported zip."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch

from l2s_auto.core.errors import Offence, UserError, shortened
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.inference.calibration import Calibration, read_calibration
from l2s_auto.inference.from_nnunet import DATASET, PLANS, checkpoints_in, is_nnunet, read_nnunet
from l2s_auto.inference.last_model import last_model, remember_model
from l2s_auto.inference.model_zip import CALIBRATION, LOW_RESOLUTION, PLAN, RECIPE, WEIGHTS, extract_model
from l2s_auto.io.json_files import LARGEST_MODEL, read_json, read_model
from l2s_auto.io.recipes import read_recipe
from l2s_auto.networks import load_weights, network_for, put_weights
from l2s_auto.networks.device import choose_device
from l2s_auto.networks.precision import keep_first_block_precise
from l2s_auto.report.verdict import Verdict, verdict_of_all

KNOWN_VERSION = Plan.model_fields["version"].default
#: Runs that are named to who named a folder around them.
SHOWN = 3

__all__ = ["Model", "ModelFiles", "find_model", "last_model", "load_model", "remember_model"]


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model lie.

    weights  one file a fold, sorted
    notes    what a user should know, such as folds without weights
    low_resolution  those of a cascade's first networks
    """

    plan: Path
    recipe: Path
    weights: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    low_resolution: ModelFiles | None = None

    @property
    def calibrations(self) -> tuple[Path, ...]:
        """Of the folds that were validated."""
        paths = [weights.parent / CALIBRATION for weights in self.weights]
        return tuple(path for path in paths if path.is_file())

    @property
    def folds(self) -> tuple[str, ...]:
        return tuple(path.parent.name for path in self.weights)


@dataclass(frozen=True)
class Model:
    """Networks that predict together (one a fold), in evaluation mode, and all that prediction needs beside them.

    source  what the user named
    hash    SHA-256 over plan, recipe and weights: two models with the same hash predict the same
    folds   names of the folds, in the order of the networks
    notes   what a user should know, such as folds without weights
    low_resolution  the first networks of a cascade, of the same folds; None: there is no cascade
    calibration  what the networks were found to be like on the cases that they were validated on
    verdict      how good they were on these; None where that is not known
    """

    plan: Plan
    recipe: Recipe
    networks: tuple[torch.nn.Module, ...]
    source: Path
    hash: str
    folds: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    low_resolution: Model | None = None
    calibration: Calibration = field(default_factory=Calibration)
    verdict: Verdict | None = None


def load_model(path: Path | str, device: torch.device | str = "cpu", *, trust_code: Iterable[str] = ()) -> Model:
    """Run folder, fold folder or exported zip -> Model on the device. UserError if it is none of them.

    trust_code  import paths MODULE:CLASS of parts outside of l2s_auto: if the model names them, their code runs
    """
    with trusting(trust_code):
        return _load_any(Path(path), choose_device(device))


def _load_any(path: Path, device: torch.device) -> Model:
    if path.is_dir() and is_nnunet(path):
        return _from_nnunet(path, device)
    if not path.is_file():
        return _load(find_model(path), source=path, device=device)
    if path.name == WEIGHTS and path.parent.name.startswith("fold_"):
        return _load(find_model(path.parent), source=path, device=device)
    with tempfile.TemporaryDirectory(prefix="l2s_model_") as folder:
        extract_model(path, Path(folder))
        try:
            return _load(find_model(Path(folder)), source=path, device=device)
        except UserError as error:
            raise error.with_path(folder, path) from error


def find_model(path: Path) -> ModelFiles:
    """The files of the model in a run folder or a fold folder. UserError if there is no model."""
    if not path.is_dir():
        _refuse(path, "a file" if path.exists() else "no such file or folder")
    if (path / PLAN).is_file():
        run, folds = path, sorted(fold for fold in path.glob("fold_*") if fold.is_dir())
    elif (path.parent / PLAN).is_file() and path.name.startswith("fold_"):
        run, folds = path.parent, [path]
    else:
        _refuse(path, f"a folder without {PLAN}", runs_below(path))
    weights = tuple(fold / WEIGHTS for fold in folds if (fold / WEIGHTS).is_file())
    if not weights:
        _refuse(path, f"no fold_*/{WEIGHTS}" if path is run else f"no {WEIGHTS}")
    if not (run / RECIPE).is_file():
        _refuse(run, f"a folder without {RECIPE}")
    without = [fold.name for fold in folds if fold / WEIGHTS not in weights]
    notes = (f"No weights in {', '.join(without)}: predicting with {len(weights)} of {len(folds)} folds.",)
    low = run / LOW_RESOLUTION if path is run else run / LOW_RESOLUTION / path.name
    return ModelFiles(
        run / PLAN,
        run / RECIPE,
        weights,
        notes if without else _ensemble_note(weights),
        find_model(low) if (run / LOW_RESOLUTION / PLAN).is_file() else None,
    )


def _ensemble_note(weights: tuple[Path, ...]) -> tuple[str, ...]:
    if len(weights) < 2:
        return ()
    names = ", ".join(path.parent.name for path in weights)
    return (f"Predicting with {len(weights)} models together: {names}.",)


def read_plan(path: Path) -> Plan:
    """A plan of a version that this program knows; UserError otherwise."""
    raw = read_json(path, largest=LARGEST_MODEL)
    version = raw.get("version", KNOWN_VERSION) if isinstance(raw, dict) else None
    if isinstance(version, int) and version > KNOWN_VERSION:
        raise UserError.single(
            "The model was made by a newer version of l2s_auto.",
            where=str(path),
            found=f"plan version {version}",
            expected=f"at most version {KNOWN_VERSION}",
            mend="Update l2s_auto.",
        )
    return read_model(path, Plan)


def _load(files: ModelFiles, *, source: Path, device: torch.device) -> Model:
    plan = read_plan(files.plan)
    recipe = read_recipe(files.recipe)
    low = None
    if plan.low_resolution is not None:
        if files.low_resolution is None:
            _refuse(files.plan.parent, f"a cascade without {LOW_RESOLUTION}/{PLAN}")
        low = _load(files.low_resolution, source=files.low_resolution.plan.parent, device=device)
        _require_together(plan, low, path=files.low_resolution.plan)
    networks = []
    for weights in files.weights:
        network = network_for(plan, recipe.network, empty=True)
        load_weights(network, weights)
        networks.append(_frozen(network, device))
    return Model(
        plan=plan,
        recipe=recipe,
        networks=tuple(networks),
        source=source,
        hash=_hash(*_all_of(files)),
        folds=files.folds,
        notes=files.notes,
        low_resolution=low,
        calibration=read_calibration(files.calibrations),
        verdict=verdict_of_all([weights.parent for weights in files.weights]),
    )


def _require_together(plan: Plan, low: Model, *, path: Path) -> None:
    """UserError unless the first network of a cascade reads and finds what the second was trained with."""
    expected, found = plan.first_stage, low.plan
    fields = ("label_values", "input_channels", "spacing", "orientation")
    wrong = [
        Offence(
            f"{path}, {name}",
            shortened(getattr(found, name)),
            f"{shortened(getattr(expected, name))}, as in the plan of the cascade",
            "Use the two plans of one training.",
        )
        for name in fields
        if getattr(found, name) != getattr(expected, name)
    ]
    if wrong:
        raise UserError("The two networks of the cascade do not belong together.", wrong)


def _frozen(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    return keep_first_block_precise(network.to(device).eval().requires_grad_(False))


def _from_nnunet(path: Path, device: torch.device) -> Model:
    folder = path if (path / PLANS).is_file() else path.parent
    checkpoints = checkpoints_in(path)
    plan, recipe, weights = read_nnunet(folder, checkpoints)
    networks = []
    for own, checkpoint in zip(weights, checkpoints, strict=True):
        network = network_for(plan, recipe.network, empty=True)
        put_weights(network, own, source=checkpoint)
        networks.append(_frozen(network, device))
    return Model(
        plan=plan,
        recipe=recipe,
        networks=tuple(networks),
        source=path,
        hash=_hash(folder / PLANS, folder / DATASET, *checkpoints),
        folds=tuple(checkpoint.parent.name for checkpoint in checkpoints),
        notes=("A model of nnU-Net.", *_ensemble_note(checkpoints)),
    )


def _all_of(files: ModelFiles) -> list[Path]:
    """Every file that the prediction depends on."""
    first = [] if files.low_resolution is None else _all_of(files.low_resolution)
    return [files.plan, files.recipe, *files.weights, *files.calibrations, *first]


def _hash(*paths: Path) -> str:
    """SHA-256 over the contents of files, each preceded by its length."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def runs_below(folder: Path, depth: int = 3) -> list[Path]:
    """Run folders with weights inside a folder, such as an experiment's; the first half of a cascade is none."""
    runs = sorted(plan.parent for levels in range(1, depth + 1) for plan in folder.glob("*/" * levels + PLAN))
    return [run for run in runs if run.name != LOW_RESOLUTION and any(run.glob(f"fold_*/{WEIGHTS}"))]


def _refuse(path: Path, found: str, runs: Sequence[Path] = ()) -> NoReturn:
    mend = "Name the folder that l2s_plan_and_train wrote, or the zip that l2s_export wrote."
    if runs:
        more = f" or another of the {len(runs)} there" if len(runs) > SHOWN else ""
        mend = f"Name a run inside it: {', '.join(shlex.quote(str(run)) for run in runs[:SHOWN])}{more}."
    raise UserError.single(
        "This is not a model.",
        where=str(path),
        found=found,
        expected=f"a run folder ({PLAN}, {RECIPE}, fold_K/{WEIGHTS}), one of its fold folders, an exported "
        "zip, or a model folder of nnU-Net 2",
        mend=mend,
    )
