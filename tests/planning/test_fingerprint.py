from __future__ import annotations

import os
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.fingerprint import take_fingerprint


@dataclass(frozen=True)
class Made:
    image: np.ndarray
    raw: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]
    orientation: str = "LPS"


def read(case: Case) -> Made:
    """A case whose labels are two boxes; importable by name."""
    rng = np.random.default_rng(int(case.id))
    labels = np.zeros((20, 18, 16), dtype=np.int32)
    labels[4:8, 4:8, 4:8], labels[10:15, 4:8, 4:8] = 3, 9
    raw = np.stack([rng.normal(100, 10, labels.shape) + labels, rng.normal(-5, 1, labels.shape)]).astype(np.float32)
    return Made(image=raw / 200, raw=raw, labels=labels, spacing=(1.0, 2.0, 0.5))


def read_bare(case: Case) -> Made:
    made = read(case)
    return Made(made.image[:0], made.raw[:0], made.labels, made.spacing)


def die(case: Case) -> Made:
    os._exit(1)


def dataset(channels=("a", "b")) -> Dataset:
    cases = tuple(Case(str(i), (Path(f"{i}.nii.gz"),), Path(f"{i}.nii.gz"), subject="s") for i in range(3))
    return Dataset("made", Path("."), cases, channels, {0: "background", 3: "three", 9: "nine"})


def test_measures_what_brute_force_measures() -> None:
    seen: list[tuple[int, int]] = []
    fingerprint = take_fingerprint(dataset(), read=read, progress=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    parts = [read(case) for case in dataset().cases]
    for case, data in zip(fingerprint.cases, parts, strict=True):
        assert case.shape == (20, 18, 16) and case.spacing == (1.0, 2.0, 0.5) and case.subject == "s"
        assert case.label_volume == {0: (20 * 18 * 16 - 64 - 80), 3: 64.0, 9: 80.0}
        for value in (0, 3, 9):
            inside = data.image[:, data.labels == value]
            assert case.label_mean[value] == pytest.approx(inside.mean(axis=1), abs=1e-6)
            assert case.label_std[value] == pytest.approx(inside.std(axis=1), abs=1e-6)
    for channel, summary in enumerate(fingerprint.intensity):
        values = np.concatenate([data.raw[channel][data.labels != 0] for data in parts])
        assert summary.count == values.size == 3 * 144
        assert (summary.mean, summary.std) == pytest.approx((values.mean(), values.std()), rel=1e-4)
        assert (summary.minimum, summary.maximum) == (values.min(), values.max())
        assert summary.median == pytest.approx(np.median(values), rel=0.05)
    sample = np.array(fingerprint.unlabelled_sample)
    assert 1000 < sample.size <= 200_000 and sample.mean() == pytest.approx(0.5, abs=0.01)
    assert sample.std() < 0.05, "smoothed"


def test_is_the_same_for_one_seed_whatever_the_workers(monkeypatch) -> None:
    assert take_fingerprint(dataset(), read=read, seed=4, workers=2) == take_fingerprint(dataset(), read=read, seed=4)
    monkeypatch.setattr("l2s_auto.planning.fingerprint._UNLABELLED", 300)
    one = take_fingerprint(dataset(), read=read, seed=4)
    assert len(one.unlabelled_sample) == 300
    assert take_fingerprint(dataset(), read=read, seed=5).unlabelled_sample != one.unlabelled_sample


def test_label_maps_without_images() -> None:
    fingerprint = take_fingerprint(dataset(channels=()), read=read_bare)
    assert fingerprint.intensity == () and fingerprint.unlabelled_sample == ()
    assert fingerprint.cases[0].label_mean == {} and set(fingerprint.cases[0].label_volume) == {0, 3, 9}


def test_empty_and_full_label_maps_pass() -> None:
    def empty(case: Case) -> Made:
        made = read(case)
        return Made(made.image, made.raw, made.labels * 0, made.spacing)

    def full(case: Case) -> Made:
        made = read(case)
        return Made(made.image, made.raw, made.labels * 0 + 3, made.spacing)

    assert take_fingerprint(dataset(), read=empty).intensity[0].count == 0
    assert take_fingerprint(dataset(), read=full).unlabelled_sample == ()


def test_a_killed_worker_is_reported() -> None:
    with pytest.raises(UserError, match=r"(?s)case 0.*--workers 0"):
        take_fingerprint(dataset(), read=die, workers=1)


def test_memory_does_not_grow_with_the_number_of_cases() -> None:
    """Beyond the record of each case, which is the result."""

    def peak(count: int) -> int:
        cases = tuple(Case(str(i), (Path(f"{i}.nii.gz"),), Path(f"{i}.nii.gz")) for i in range(count))
        made = Dataset("made", Path("."), cases, ("a", "b"), {0: "background", 3: "three", 9: "nine"})
        tracemalloc.start()
        try:
            fingerprint = take_fingerprint(made, read=read)
            kept = len(fingerprint.model_dump_json())
            return tracemalloc.get_traced_memory()[1] - 10 * kept
        finally:
            tracemalloc.stop()

    assert peak(1000) < 1.2 * peak(10) + 2_000_000


def test_pieces_neighbours_orientation_and_modality_are_measured() -> None:
    fingerprint = take_fingerprint(dataset(), read=read)
    case = fingerprint.cases[0]
    assert case.label_pieces == {3: 1, 9: 1} and case.label_piece == {3: 64.0, 9: 80.0}
    assert case.touching == () and case.orientation == "LPS"
    assert fingerprint.modalities == ("MRI", "other") and 0 < fingerprint.percentile_error < 0.05
