"""Preprocessed cases on disk, opened as memory maps; what is still valid is used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import GenerationPlan, Plan, Triple
from l2s_auto.core.types import Case, Dataset
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.parallel import Progress, map_cases
from l2s_auto.io.volumes import read_label_map
from l2s_auto.preprocessing.geometry import Geometry
from l2s_auto.preprocessing.pipeline import prepare, prepare_grid, prepare_labels
from l2s_auto.preprocessing.read import read_image

FORMAT = 2  # raise it when preprocessing or enrichment itself changes, so that older stores are made again

Enrich = Callable[["np.ndarray | None", np.ndarray, GenerationPlan, Triple], np.ndarray]


@dataclass(frozen=True)
class StoredCase:
    """One preprocessed case.

    image     (C, *S) float32 memory map, normalised; None for a label map without an image
    enriched  (*S) memory map, index into plan.generation.enriched
    geometry  the way back to the case's own grid; None for a case made in memory
    """

    id: str
    image: np.ndarray | None
    enriched: np.ndarray
    geometry: Geometry | None = None


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
    make = partial(_store_case, plan=plan, folder=folder, enrich=enrich)
    map_cases(make, dataset.cases, name=lambda case: case.id, workers=workers, progress=progress)
    return [open_case(case.id, folder) for case in dataset.cases]


def bytes_a_voxel(plan: Plan) -> int:
    """Of a stored case: its channels, and its enriched labels."""
    return 4 * len(plan.channels) + (1 if len(plan.generation.enriched) <= 256 else 2)


def open_case(case_id: str, folder: Path) -> StoredCase:
    """A case that `store_cases` has stored."""
    place = folder / case_id
    image = place / "image.npy"
    geometry = json.loads((place / "geometry.json").read_text(encoding="utf-8"))
    return StoredCase(
        id=case_id,
        image=np.load(image, mmap_mode="r") if image.exists() else None,
        enriched=np.load(place / "enriched.npy", mmap_mode="r"),
        geometry=Geometry.from_json(geometry),
    )


def key_of(case: Case, plan: Plan) -> str:
    """What a stored case depends on, as one word: the plan's parts that preprocessing reads, and the source files."""
    assert case.label is not None, f"case {case.id} has no label map"
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in (*case.images, case.label)]
    parts = plan.model_dump(mode="json", include={"labels", "spacing", "normalisation", "generation", "channels"})
    text = json.dumps([FORMAT, parts, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _store_case(case: Case, *, plan: Plan, folder: Path, enrich: Enrich) -> None:
    """Write one case; its key last, so that an interrupted write is never taken for a whole one."""
    assert case.label is not None, f"case {case.id} has no label map"
    place = folder / case.id
    key_file = place / "key"
    key = key_of(case, plan)
    if key_file.exists() and key_file.read_text(encoding="utf-8") == key:
        return
    place.mkdir(parents=True, exist_ok=True)
    key_file.unlink(missing_ok=True)
    labels, affine = read_label_map(case.label)
    if case.images:
        prepared = prepare(read_image(case), plan)
        image, geometry = prepared.image, prepared.geometry
        _save(place / "image.npy", image)
    else:
        x, y, z = labels.shape
        image, geometry = None, prepare_grid((x, y, z), affine, plan)
        (place / "image.npy").unlink(missing_ok=True)
    try:
        target = prepare_labels(labels, geometry, plan)
    except UserError as error:
        raise UserError(f"{case.label}: {error.summary}", error.offences) from error
    _save(place / "enriched.npy", enrich(image, target, plan.generation, plan.spacing))
    _write(place / "geometry.json", json.dumps(geometry.to_json()))
    _write(key_file, key)


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
