"""A model as one file that can be sent to somebody, and back."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from l2s_auto.core.dial import DIAL, ENDS
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.inference.aim import read_dials
from l2s_auto.inference.calibration import read_calibration
from l2s_auto.inference.export_nnunet import export_to_nnunet
from l2s_auto.inference.load import ModelFiles, check_ends, find_model, load_model, read_plan
from l2s_auto.inference.model_card import model_card, nameless_metrics
from l2s_auto.inference.model_zip import (
    CALIBRATION,
    LICENSE,
    LOW_RESOLUTION,
    MEMBER,
    METRICS,
    PLAN,
    README,
    RECIPE,
    SUMS,
    WEIGHTS,
    extract_model,
    sums_of,
)
from l2s_auto.inference.written import check_zip
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.content import hash_of
from l2s_auto.io.json_files import json_text
from l2s_auto.io.ownership import require_free
from l2s_auto.io.places import replace_folder, require_outside_of_datasets, require_replaceable_folder
from l2s_auto.io.recipes import read_recipe

FORMATS = ("l2s", "nnunet")
LICENSE_NOTE = """\
The program that reads this model, l2s_auto, is under the Apache License 2.0
(https://www.apache.org/licenses/LICENSE-2.0).

The weights were learnt from the dataset named in README.txt. Whoever shares this file decides under which terms, in
agreement with the terms of that dataset. This note grants no rights to either.
"""
#: Fixed, so that the same model gives the same bytes: the earliest time that a zip can hold.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)


def export_model(
    model_path: Path | str,
    zip_path: Path | str,
    *,
    format: str = "l2s",
    overwrite: bool = False,
    trust_code: Iterable[str] = (),
) -> Path:
    """Run folder or fold folder -> one zip with weights, plan, recipe, a licence note and a text that explains it.

    format     "nnunet": a folder that nnU-Net predicts with, or, where the name ends with .zip, what it installs
    overwrite  also replace a zip, or a folder that holds nothing but such a model
    The zip, or folder, appears whole or not at all. Raises UserError for what is not a model, and for a format that is
    not there.

    trust_code  import paths MODULE:CLASS of the user's own parts: if the model names them, their code may run
    """
    _check_format(format)
    model_path, zip_path = Path(model_path), Path(zip_path)
    with trusting(trust_code):
        if format == "nnunet":
            return export_to_nnunet(model_path, zip_path, overwrite=overwrite)
        return _export(model_path, zip_path, overwrite=overwrite)


def _export(model_path: Path, zip_path: Path, *, overwrite: bool) -> Path:
    _check_target(zip_path)
    require_outside_of_datasets(zip_path, option="OUT.zip")
    require_free([zip_path], overwrite=overwrite)
    if zipfile.is_zipfile(model_path):
        raise UserError.single(
            "The model is a zip already.",
            where=str(model_path),
            found="a zip",
            expected="a run folder or one of its fold folders",
            mend="Share the zip as it is; l2s_import unpacks it.",
        )
    files = find_model(model_path)
    plan, recipe = _check(files)
    zip_path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(zip_path) as temporary:
        hashes: dict[str, str] = {}
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            _add_text(archive, LICENSE, LICENSE_NOTE, hashes)
            _add_text(archive, README, model_card(plan, recipe, files), hashes)
            _add_model(archive, files, hashes)
            if files.low_resolution is not None:
                _add_model(archive, files.low_resolution, hashes, folder=f"{LOW_RESOLUTION}/")
            _add_text(archive, SUMS, sums_of(hashes), {})
        check_zip(temporary, {*hashes, SUMS}, target=zip_path)
    return zip_path


def _check(files: ModelFiles) -> tuple[Plan, Recipe]:
    """The plan and the recipe, once all that the zip will hold is known to be what an import accepts."""
    plan, recipe = read_plan(files.plan), read_recipe(files.recipe)
    read_calibration(files.calibrations)
    read_dials(files.folders)
    for weights in files.weights:
        if not MEMBER.fullmatch(f"{weights.parent.name}/{WEIGHTS}"):
            raise UserError.single(
                "The fold cannot be exported.",
                where=str(weights.parent),
                found=repr(weights.parent.name),
                expected="fold_ and ASCII letters, digits and _",
                mend="Rename the folder.",
            )
    if files.low_resolution is not None:
        _check(files.low_resolution)
    return plan, recipe


def _add_model(archive: zipfile.ZipFile, files: ModelFiles, hashes: dict[str, str], *, folder: str = "") -> None:
    _add_text(archive, folder + PLAN, files.plan.read_text(encoding="utf-8"), hashes)
    _add_text(archive, folder + RECIPE, files.recipe.read_text(encoding="utf-8"), hashes)
    for weights in files.weights:
        fold = f"{folder}{weights.parent.name}"
        if (calibration := weights.parent / CALIBRATION).is_file():
            _add_text(archive, f"{fold}/{CALIBRATION}", calibration.read_text(encoding="utf-8"), hashes)
        if (metrics := nameless_metrics(weights.parent / METRICS)) is not None:
            _add_text(archive, f"{fold}/{METRICS}", json_text(metrics), hashes)
        if (dial := weights.parent / DIAL).is_file():
            _add_text(archive, f"{fold}/{DIAL}", dial.read_text(encoding="utf-8"), hashes)
        for tensors in (weights, weights.parent / ENDS):
            if tensors.is_file():
                _add_file(archive, f"{fold}/{tensors.name}", tensors, hashes)


def import_model(
    zip_path: Path | str, folder: Path | str, *, overwrite: bool = False, trust_code: Iterable[str] = ()
) -> Path:
    """Exported zip -> a new run folder that predicts. The folder appears whole or not at all.

    overwrite  also replace a folder that holds nothing but an imported model
    trust_code  import paths MODULE:CLASS of the user's own parts: if the model names them, their code runs
    Raises UserError if the zip is not a model that loads, or if the folder exists and is not empty.
    """
    zip_path, folder = Path(zip_path), Path(folder)
    if not zip_path.is_file():
        raise UserError.single(
            "There is no zip to import.",
            where=str(zip_path),
            found="a folder" if zip_path.is_dir() else "no such file",
            expected="a zip written by l2s_export",
            mend="Correct the path.",
        )
    require_outside_of_datasets(folder)
    require_replaceable_folder(folder, lambda name: bool(MEMBER.fullmatch(name)), overwrite=overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import_", dir=folder.parent) as temporary:
        unpacked = Path(temporary) / folder.name
        extract_model(zip_path, unpacked)
        try:
            load_model(unpacked, trust_code=trust_code)  # a model that does not load is refused before it has a name
            with trusting(trust_code):
                check_ends(find_model(unpacked))
        except UserError as error:
            raise error.with_path(unpacked, zip_path) from error
        replace_folder(unpacked, folder)
    return folder


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise UserError.single(
            "There is no such format of export.",
            where="--format",
            found=repr(format),
            expected=f"one of {', '.join(FORMATS)}",
            mend="Use --format l2s.",
        )


def _check_target(zip_path: Path) -> None:
    if zip_path.suffix.lower() != ".zip" or zip_path.is_dir():
        raise UserError.single(
            "The model is exported to a zip file.",
            where=str(zip_path),
            found="a folder" if zip_path.is_dir() else f"the suffix {zip_path.suffix!r}",
            expected="a file name that ends with .zip",
            mend="Name the file, such as model.zip.",
        )


def _add_file(archive: zipfile.ZipFile, name: str, path: Path, hashes: dict[str, str]) -> None:
    """Add a file as it is, piece by piece, and its hash to the hashes."""
    with path.open("rb") as source, archive.open(zipfile.ZipInfo(name, TIMESTAMP), "w", force_zip64=True) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    hashes[name] = hash_of(path)


def _add_text(archive: zipfile.ZipFile, name: str, text: str, hashes: dict[str, str]) -> None:
    """Add a text, and its hash to the hashes."""
    member = zipfile.ZipInfo(name, TIMESTAMP)
    member.compress_type = zipfile.ZIP_DEFLATED
    data = text.encode("utf-8")
    archive.writestr(member, data)
    hashes[name] = hashlib.sha256(data).hexdigest()
