from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Normalisation
from l2s_auto.core.types import Case, Dataset
from l2s_auto.preprocessing import store
from l2s_auto.preprocessing.compressed import CompressedArray
from l2s_auto.preprocessing.pipeline import prepare, prepare_labels
from l2s_auto.preprocessing.read import read_for_fingerprint, read_image
from l2s_auto.preprocessing.store import store_cases


def plain(image, target, generation, spacing) -> np.ndarray:
    """A stand-in for label enrichment; importable by name."""
    return target.astype(np.uint8)


@pytest.fixture
def dataset(tmp_path, scan, label_map) -> Dataset:
    cases = []
    for name in ("à b", "c"):
        image, label = tmp_path / f"{name}_0000.nii.gz", tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(scan.data[0], scan.affine), image)
        nib.save(nib.Nifti1Image(label_map, scan.affine), label)
        cases.append(Case(name, (image,), label))
    return Dataset("made", tmp_path, tuple(cases), ("MRI",), {0: "background", 2: "two", 77: "many"})


@pytest.mark.parametrize("workers", [0, 2])
def test_stored_cases_equal_prepared_ones(dataset, plan_at, tmp_path, workers) -> None:
    plan = plan_at((1.0, 1.0, 1.5))
    seen: list[tuple[int, int]] = []
    stored = store_cases(
        dataset, plan, tmp_path / "store", enrich=plain, workers=workers, progress=lambda *now: seen.append(now)
    )
    assert [case.id for case in stored] == ["à b", "c"] and seen == [(1, 2), (2, 2)]
    for case, source in zip(stored, dataset.cases, strict=True):
        prepared = prepare(read_image(source), plan)
        labels = np.asarray(nib.load(source.label).dataobj)
        assert isinstance(case.image, CompressedArray) and isinstance(case.enriched, CompressedArray)
        assert case.image.dtype == np.float32 and case.enriched.dtype == np.uint8
        assert np.array_equal(case.image, prepared.image)
        assert np.array_equal(case.enriched, prepare_labels(labels, prepared.geometry, plan))
        assert case.geometry == prepared.geometry


def test_what_is_valid_is_used_again_and_what_is_not_is_made_again(dataset, plan_at, tmp_path) -> None:
    made: list[int] = []

    def counting(image, target, generation, spacing) -> np.ndarray:
        made.append(1)
        return plain(image, target, generation, spacing)

    again = partial(store_cases, dataset, folder=tmp_path / "store", enrich=counting)
    first = again(plan=plan_at())
    assert len(made) == 2
    again(plan=plan_at(iterations=99))
    assert len(made) == 2, "the number of iterations does not matter to preprocessing"
    again(plan=plan_at(resampling="spline"))
    again(plan=plan_at())
    assert len(made) == 6, "how scans are resampled does"
    made.clear()
    made += [1, 1]
    second = again(plan=plan_at((2.0, 2.0, 2.0)))
    assert len(made) == 4 and second[0].image.shape != first[0].image.shape
    source = dataset.cases[1].images[0]
    os.utime(source, ns=(1, 1))
    again(plan=plan_at((2.0, 2.0, 2.0)))
    assert len(made) == 4, "one source file was copied, and holds the same"
    changed = nib.load(source)
    nib.save(nib.Nifti1Image(np.asarray(changed.dataobj) * 2, changed.affine), source)
    os.utime(source, ns=(1, 1))
    again(plan=plan_at((2.0, 2.0, 2.0)))
    assert len(made) == 5, "one source file has another content"
    (tmp_path / "store" / "c" / "key.json").unlink()
    again(plan=plan_at((2.0, 2.0, 2.0)))
    assert len(made) == 6, "an interrupted write has no key"
    (tmp_path / "store" / "c" / "key.json").write_text("[]")
    again(plan=plan_at((2.0, 2.0, 2.0)))
    assert len(made) == 7, "a damaged key is none"
    place = tmp_path / "store" / "c"
    (place / "image.b2nd").write_bytes((place / "image.b2nd").read_bytes()[:-100])
    (place / ".partial-left.b2nd").write_bytes(b"of a killed process")
    again(plan=plan_at((2.0, 2.0, 2.0)))
    assert len(made) == 8, "a file is shorter than it was written"
    assert {path.name for path in place.iterdir()} == {
        "image.b2nd",
        "enriched.b2nd",
        "places.npy",
        "about.json",
        "key.json",
    }


def test_an_image_and_a_label_map_of_the_same_name_are_told_apart(dataset, plan_at, tmp_path, caplog) -> None:
    cases = []
    for case in dataset.cases:
        (tmp_path / "labels").mkdir(exist_ok=True)
        image, label = tmp_path / f"{case.id}.nii.gz", tmp_path / "labels" / f"{case.id}.nii.gz"
        label.write_bytes(case.label.read_bytes())
        image.write_bytes(case.images[0].read_bytes())
        cases.append(Case(case.id, (image,), label))
    again = partial(store_cases, replace(dataset, cases=tuple(cases)), plan_at(), tmp_path / "store", enrich=plain)
    again()
    keys = [place.stat().st_mtime_ns for place in sorted((tmp_path / "store").glob("*/key.json"))]
    with caplog.at_level("INFO", logger="l2s_auto"):
        again()
    assert [place.stat().st_mtime_ns for place in sorted((tmp_path / "store").glob("*/key.json"))] == keys
    assert "2 of 2 cases were preprocessed already" in caplog.text


def test_label_maps_without_images(dataset, plan_at, tmp_path) -> None:
    cases = tuple(Case(case.id, (), case.label) for case in dataset.cases)
    bare = Dataset("bare", tmp_path, cases, (), dataset.labels)
    stored = store_cases(bare, plan_at(channels=(), normalisation=()), tmp_path / "store", enrich=plain)
    assert stored[0].image is None and set(np.unique(stored[0].enriched)) == {0, 1, 2}
    assert not (tmp_path / "store" / "c" / "image.b2nd").exists()
    data = read_for_fingerprint(cases[0], normalisation=())
    assert data.image.shape == (0, *data.labels.shape)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_label_map_is_named(dataset, plan_at, tmp_path, workers) -> None:
    bad = dataset.cases[1].label
    data = np.asarray(nib.load(bad).dataobj).copy()
    data[9, 9, 9] = 5
    nib.save(nib.Nifti1Image(data, nib.load(bad).affine), bad)
    with pytest.raises(UserError, match=r"c\.nii\.gz: A label map holds values .*\n.*found 5"):
        store_cases(dataset, plan_at(), tmp_path / "store", enrich=plain, workers=workers)


def die(image, target, generation, spacing) -> np.ndarray:
    os._exit(1)


def test_a_killed_worker_is_reported(dataset, plan_at, tmp_path) -> None:
    with pytest.raises(UserError, match="--workers 0"):
        store_cases(dataset, plan_at(), tmp_path / "store", enrich=die, workers=1)


def test_channels_on_different_grids_are_named(dataset, tmp_path) -> None:
    other = tmp_path / "small.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), dtype=np.float32), np.eye(4)), other)
    case = Case("x", (dataset.cases[0].images[0], other), dataset.cases[0].label)
    with pytest.raises(UserError, match=r"small\.nii\.gz: found shape \(3, 3, 3\)"):
        read_image(case)


def test_case_for_the_fingerprint_is_normalised_as_for_training(dataset, plan_at) -> None:
    scheme = (Normalisation(scheme="percentile", lower=0.5, upper=99.5),)
    plan = plan_at(tuple(np.linalg.norm(read_image(dataset.cases[0]).affine[:3, :3], axis=0)))
    data = read_for_fingerprint(dataset.cases[0], normalisation=scheme)
    assert np.array_equal(data.image, prepare(read_image(dataset.cases[0]), plan).image)
    assert data.raw.max() > 100 and set(np.unique(data.labels)) == {0, 2, 77}


class Killed(BaseException):
    """As if the process were killed."""


def test_preprocessing_that_is_killed_and_run_again_gives_the_same_store(
    dataset, plan_at, tmp_path, monkeypatch
) -> None:
    def content(folder):
        return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    whole = tmp_path / "whole"
    store_cases(dataset, plan_at(), whole, enrich=plain)
    original = store.write_array
    for kill_at in range(1, 5):
        written = []

        def save(path, array, *, kill_at=kill_at, written=written):
            written.append(path)
            if len(written) == kill_at:
                raise Killed
            original(path, array)

        monkeypatch.setattr(store, "write_array", save)
        folder = tmp_path / str(kill_at)
        with pytest.raises(Killed):
            store_cases(dataset, plan_at(), folder, enrich=plain)
        monkeypatch.setattr(store, "write_array", original)
        store_cases(dataset, plan_at(), folder, enrich=plain)
        assert content(folder) == content(whole)
