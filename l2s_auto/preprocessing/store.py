"""Preprocessed cases on disk, compressed, read box by box; what is still valid is used again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import Offence, UserError, some_of
from l2s_auto.core.plan import GenerationPlan, Plan, Triple
from l2s_auto.core.types import Case, Dataset
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.content import hash_of
from l2s_auto.io.ownership import UNFINISHED, discard, remove
from l2s_auto.io.parallel import Progress, map_cases
from l2s_auto.io.volumes import read_label_map
from l2s_auto.preprocessing.compressed import CompressedArray, open_array, write_array
from l2s_auto.preprocessing.geometry import Geometry
from l2s_auto.preprocessing.intensities import class_intensities
from l2s_auto.preprocessing.pipeline import prepare, prepare_grid, prepare_labels
from l2s_auto.preprocessing.places import Places, as_table, from_table, some_voxels
from l2s_auto.preprocessing.read import read_image

LOGGER = logging.getLogger("l2s_auto")
FORMAT = 8  # raise it when preprocessing or enrichment itself changes, so that older stores are made again

IMAGE, ENRICHED, PLACES = "image.b2nd", "enriched.b2nd", "places.npy"
ABOUT, KEY = "about.json", "key.json"
FILES = (IMAGE, ENRICHED, PLACES, ABOUT, KEY)
Enrich = Callable[["np.ndarray | None", np.ndarray, GenerationPlan, Triple], np.ndarray]


@dataclass(frozen=True)
class StoredCase:
    """One preprocessed case.

    image     (C, *S) float32, normalised; None for a label map without an image
    enriched  (*S) index into plan.generation.enriched
    geometry  the way back to the case's own grid; None for a case made in memory
    intensities  (3, C, G) what `class_intensities` gives; None where there is no image, or the case was made in memory
    places       what `some_voxels` gives; None for a case made in memory
    """

    id: str
    image: np.ndarray | CompressedArray | None
    enriched: np.ndarray | CompressedArray
    geometry: Geometry | None = None
    intensities: np.ndarray | None = None
    places: Places | None = None


def store_cases(
    dataset: Dataset,
    plan: Plan,
    folder: Path,
    *,
    enrich: Enrich,
    workers: int = 0,
    progress: Progress | None = None,
) -> list[StoredCase]:
    """Preprocess each case into `<folder>/<case id>/`, unless what is there is valid.

    enrich    `synthesis.classes.enrich`, or a function like it; importable by name if workers > 0
    workers   processes; 0 = all in this one
    progress  called with (cases done, cases in all)
    """
    require_own(dataset, folder)
    make = partial(_store_case, plan=plan, folder=folder, enrich=enrich)
    made = map_cases(make, dataset.cases, name=lambda case: case.id, workers=workers, progress=progress)
    if not all(made):
        LOGGER.info("%d of %d cases were preprocessed already", made.count(False), len(made))
    return [open_case(case.id, folder) for case in dataset.cases]


def bytes_a_voxel(plan: Plan) -> int:
    """Of a stored case, where nothing can be compressed: its channels, and its enriched labels."""
    return 4 * len(plan.channels) + (1 if len(plan.generation.enriched) <= 256 else 2)


def open_case(case_id: str, folder: Path) -> StoredCase:
    """A case that `store_cases` has stored."""
    place = folder / case_id
    image = place / IMAGE
    about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
    return StoredCase(
        id=case_id,
        image=open_array(image) if image.exists() else None,
        enriched=open_array(place / ENRICHED),
        geometry=Geometry.from_json(about["geometry"]),
        intensities=None if about["intensities"] is None else np.array(about["intensities"], dtype=np.float64),
        places=from_table(np.load(place / PLACES)),
    )


def key_of(case: Case, plan: Plan) -> dict[str, Any]:
    """What a stored case depends on: a hash of the plan's parts that preprocessing reads, and the source files.

    -> {"plan": hash, "files": [{"name", "size", "time", "hash"}]}, images first, the label map last; a file is read for
    its hash.
    """
    return {"plan": _plan_hash(plan), "files": [_described(path, hashed=True) for path in _sources(case)]}


def _plan_hash(plan: Plan) -> str:
    names = {"labels", "spacing", "normalisation", "generation", "channels", "ignore", "orientation", "resampling"}
    read = plan.model_dump(mode="json", include=names)
    del read["generation"]["priors"], read["generation"]["measured"]
    text = json.dumps([FORMAT, read], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(case: Case) -> list[Path]:
    assert case.label is not None, f"case {case.id} has no label map"
    return [*case.images, case.label]


def _described(path: Path, *, hashed: bool) -> dict[str, Any]:
    found = path.stat()
    about = {"name": path.name, "size": found.st_size, "time": found.st_mtime_ns}
    return {**about, "hash": hash_of(path)} if hashed else about


def _is_valid(case: Case, plan: Plan, key_file: Path) -> bool:
    """Whether what is stored is of this plan and of files with this content, though they were copied."""
    try:
        known = json.loads(key_file.read_text(encoding="utf-8"))
        stored, sources = known["files"], _sources(case)  # an image and its label map may have the same name
        if known["plan"] != _plan_hash(plan) or [about["name"] for about in stored] != [path.name for path in sources]:
            return False
        if known["stored"] != _sizes(key_file.parent):  # after a power failure a file may be shorter than it was
            return False
        now = [_described(path, hashed=False) for path in sources]
        if now == [{name: about[name] for name in ("name", "size", "time")} for about in stored]:
            return True
        found = key_of(case, plan)
        if [about["hash"] for about in found["files"]] != [about["hash"] for about in stored]:
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    _write(key_file, {**found, "stored": known["stored"]})
    return True


def _sizes(place: Path) -> dict[str, int]:
    """Bytes of each file of a stored case; what others put there is not looked at."""
    paths = [place / name for name in sorted(FILES) if name != KEY]
    return {path.name: path.stat().st_size for path in paths if path.exists()}


def require_own(dataset: Dataset, folder: Path) -> None:
    """UserError that names every folder that a case would be stored in, and that holds what is not of a stored case.

    Such a folder is the user's, unless our key is in it; then only our own files are replaced.
    """
    offences = []
    for case in dataset.cases:
        place = folder / case.id
        others = _others(place)
        found = "a file" if place.exists() and not place.is_dir() else some_of(others, most=5)
        if found and not _has_key(place):
            mend = "Choose another folder with -o, or move this one."
            offences.append(Offence(str(place), found, "no such folder, or a stored case", mend))
        elif found:
            LOGGER.info("%s holds %s, which is no file of a stored case and stays", place, found)
    if offences:
        raise UserError("Preprocessed cases would be stored in folders that hold something else.", offences)


def _others(place: Path) -> list[str]:
    """Names of what is not a file of a stored case, finished or not."""
    if not place.is_dir():
        return []
    return sorted(p.name for p in place.iterdir() if p.name not in FILES and not p.name.startswith(UNFINISHED))


def _has_key(place: Path) -> bool:
    """Whether there is a key that the program wrote."""
    try:
        known = json.loads((place / KEY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(known, dict) and {"plan", "files"} <= known.keys()


def _clear(place: Path) -> None:
    """Remove the files of a stored case, the key last, so that a kill leaves the folder known as ours."""
    for path in sorted(place.iterdir(), key=lambda path: path.name == KEY):
        if path.name.startswith(UNFINISHED):
            discard(path)
        elif path.name in FILES:
            remove(path)


def _store_case(case: Case, *, plan: Plan, folder: Path, enrich: Enrich) -> bool:
    """Write one case; its key last, so that an interrupted write is never taken for a whole one.

    Returns whether there was anything to do.
    """
    assert case.label is not None, f"case {case.id} has no label map"
    place = folder / case.id
    key_file = place / KEY
    if _is_valid(case, plan, key_file):
        return False
    key = key_of(case, plan)
    if place.exists():
        _clear(place)
    _write(key_file, key)  # without the sizes of what is stored it is not valid, yet it tells whose the folder is
    image, geometry = None, None
    if case.images:
        scan = read_image(case)
        try:
            prepared = prepare(scan, plan)
        except UserError as error:
            raise error.of_case(str(case.images[0]), scan.notes) from error
        image, geometry = prepared.image, prepared.geometry
        write_array(place / IMAGE, image)
    labels, affine = read_label_map(case.label)  # behind the image, whose preparation takes the most memory
    if geometry is None:
        x, y, z = labels.shape
        geometry = prepare_grid((x, y, z), affine, plan)
    try:
        target = prepare_labels(labels, geometry, plan)
    except UserError as error:
        raise UserError(f"{case.label}: {error.summary}", error.offences) from error
    del labels
    with atomic_path(place / PLACES, durable=False) as temporary:
        np.save(temporary, as_table(some_voxels(target * (target < len(plan.labels)), np.random.default_rng(0))))
    enriched = enrich(image, target, plan.generation, plan.spacing)
    write_array(place / ENRICHED, enriched)
    about: dict[str, Any] = {"geometry": geometry.to_json(), "intensities": None}
    if image is not None:
        found = class_intensities(image, enriched, plan.generation).round(6).astype(object)
        found[found != found] = None  # JSON knows no NaN
        about["intensities"] = found.tolist()
    _write(place / ABOUT, about)
    _write(key_file, {**key, "stored": _sizes(place)})
    return True


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path, durable=False) as temporary:
        Path(temporary).write_text(json.dumps(content), encoding="utf-8")
