"""A trained model from a run folder, a fold folder or an exported zip."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from l2s_auto.core.dial import DIAL, ENDS
from l2s_auto.core.errors import Offence, UserError, shortened
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.inference.aim import Setting, check_aim, refuse_one_end, setting_of, setting_of_first
from l2s_auto.inference.calibration import Calibration, read_calibration
from l2s_auto.inference.ends import read_ends
from l2s_auto.inference.from_nnunet import DATASET, PLANS, checkpoints_in, is_nnunet, read_nnunet
from l2s_auto.inference.last_model import last_model, remember_model
from l2s_auto.inference.model_files import ModelFiles, ensemble_note, find_model, refuse_model
from l2s_auto.inference.model_zip import LOW_RESOLUTION, PLAN, WEIGHTS, extract_model
from l2s_auto.io.json_files import LARGEST_MODEL, read_json, read_model
from l2s_auto.io.recipes import read_recipe
from l2s_auto.networks import load_weights, network_for, put_weights
from l2s_auto.networks.device import choose_device
from l2s_auto.networks.precision import keep_first_block_precise
from l2s_auto.report.verdict import Verdict, verdict_of_all

KNOWN_VERSION = Plan.model_fields["version"].default

__all__ = ["Model", "ModelFiles", "find_model", "last_model", "load_model", "remember_model"]


@dataclass(frozen=True)
class Model:
    """Networks that predict together (one a fold), in evaluation mode, and all that prediction needs beside them.

    source  what the user named
    hash    SHA-256 over plan, recipe and weights, and over aim, dial and ends where the weights are made of these: two
            models with the same hash predict the same
    folds   names of the folds, in the order of the networks
    notes   what a user should know, such as folds without weights
    low_resolution  the first networks of a cascade, of the same folds; None: there is no cascade
    calibration  what the networks were found to be like on the cases that they were validated on
    verdict      how good they were on these; None where that is not known
    setting      for what the weights were chosen, and the point of each network on its dial
    general      the networks with general weights, of the same folds, where each scan chooses; else none
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
    setting: Setting = field(default_factory=Setting)
    general: tuple[torch.nn.Module, ...] = ()


def load_model(
    path: Path | str,
    device: torch.device | str = "cpu",
    *,
    aim: str | None = None,
    trust_code: Iterable[str] = (),
) -> Model:
    """Run folder, fold folder or exported zip -> Model on the device. UserError if it is none of them.

    aim         home, both, anywhere or each; None: what the model was trained for
    trust_code  import paths MODULE:CLASS of parts outside of l2s_auto: if the model names them, their code runs
    """
    check_aim(aim)
    with trusting(trust_code):
        return _load_any(Path(path), choose_device(device), aim)


def load_first(path: Path, device: torch.device | str = "cpu") -> Model:
    """Run or fold folder of a cascade's first network -> the weights that it has in the cascade: never of each scan."""
    return _load(find_model(path), source=path, device=choose_device(device), first=True)


def _load_any(path: Path, device: torch.device, aim: str | None) -> Model:
    if path.is_dir() and is_nnunet(path):
        if aim is not None:
            refuse_one_end(path, aim)
        return _from_nnunet(path, device)
    if not path.is_file():
        return _load(find_model(path), source=path, device=device, aim=aim)
    if path.name == WEIGHTS and path.parent.name.startswith("fold_"):
        return _load(find_model(path.parent), source=path, device=device, aim=aim)
    with tempfile.TemporaryDirectory(prefix="l2s_model_") as folder:
        extract_model(path, Path(folder))
        try:
            return _load(find_model(Path(folder)), source=path, device=device, aim=aim)
        except UserError as error:
            raise error.with_path(folder, path) from error


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


def _load(
    files: ModelFiles, *, source: Path, device: torch.device, aim: str | None = None, first: bool = False
) -> Model:
    """first: whether it is the first network of a cascade, which predicts as it can where the aim is not there."""
    plan = read_plan(files.plan)
    recipe = read_recipe(files.recipe)
    setting = (setting_of_first if first else setting_of)(files.folders, aim)
    low = None
    if plan.low_resolution is not None:
        if files.low_resolution is None:
            refuse_model(files.plan.parent, f"a cascade without {LOW_RESOLUTION}/{PLAN}")
        first_run = files.low_resolution.plan.parent
        low = _load(files.low_resolution, source=first_run, device=device, aim=setting.aim, first=True)
        _require_together(plan, low, path=files.low_resolution.plan)
    networks, general = _networks(files, setting, plan, recipe)
    return Model(
        plan=plan,
        recipe=recipe,
        networks=tuple(_frozen(network, device) for network in networks),
        source=source,
        hash=_hash_of(files, setting, low),
        folds=files.folds,
        notes=tuple(dict.fromkeys((*files.notes, *setting.notes, *(() if low is None else low.setting.notes)))),
        low_resolution=low,
        calibration=read_calibration(files.calibrations),
        verdict=verdict_of_all(files.folders),
        setting=setting,
        general=tuple(_frozen(network, device) for network in general),
    )


def _networks(
    files: ModelFiles, setting: Setting, plan: Plan, recipe: Recipe
) -> tuple[list[torch.nn.Module], list[torch.nn.Module]]:
    """A network a fold at its point, and one with general weights where each scan chooses."""
    networks, general = [], []
    for number, weights in enumerate(files.weights):
        network = network_for(plan, recipe.network, empty=True)
        networks.append(network)
        if setting.as_stored:
            load_weights(network, weights)
            continue
        ends = read_ends(weights.parent / ENDS)
        put_weights(network, ends.at(setting.points[number]), source=ends.path)
        if setting.threshold is not None:
            other = network_for(plan, recipe.network, empty=True)
            put_weights(other, ends.at(0.0), source=ends.path)
            general.append(other)
    return networks, general


def check_ends(files: ModelFiles) -> None:
    """UserError that names a file of ends which does not fit the network, or a damaged dial, of any fold."""
    plan, recipe = read_plan(files.plan), read_recipe(files.recipe)
    for folder in files.folders:
        if (path := folder / ENDS).is_file():
            ends, network = read_ends(path), network_for(plan, recipe.network, empty=True)
            for end in (0.0, 1.0):
                put_weights(network, ends.at(end), source=path)
    if files.low_resolution is not None:
        check_ends(files.low_resolution)


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
        notes=("A model of nnU-Net.", *ensemble_note(checkpoints)),
    )


def _all_of(files: ModelFiles) -> list[Path]:
    """Every file that the prediction depends on."""
    first = [] if files.low_resolution is None else _all_of(files.low_resolution)
    return [files.plan, files.recipe, *files.weights, *files.calibrations, *first]


def _hash_of(files: ModelFiles, setting: Setting, low: Model | None) -> str:
    """The hash of a model; where all weights are as they are stored, that which it has without a dial."""
    hashes = [_hash(*_all_of(files))]
    if not setting.as_stored:
        made_of = [folder / name for folder in files.folders for name in (DIAL, ENDS)]
        hashes += [str(setting.aim), _hash(*made_of)]
    if low is not None and not low.setting.as_stored:
        hashes.append(low.hash)
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _hash(*paths: Path) -> str:
    """SHA-256 over the contents of files, each preceded by its length."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
