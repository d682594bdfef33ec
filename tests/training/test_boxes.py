"""Boxes of cases: a box that leaves its case goes on with the border, in memory and on disk alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from l2s_auto.preprocessing.compressed import open_array, write_array
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.training.data import BoxSampler, _read
from l2s_auto.training.resident import Resident

SHAPE = (9, 14, 5)


def test_a_box_is_what_clipped_indices_give(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    write_array(tmp_path / "image.b2nd", image)
    for _ in range(20):
        ranges = tuple((int(rng.integers(-6, n)), int(rng.integers(n + 6))) for n in SHAPE)
        ranges = tuple((low, max(low, 0) + 1 + high) for low, high in ranges)
        index = np.ix_(*(np.clip(np.arange(*r), 0, n - 1) for r, n in zip(ranges, SHAPE, strict=True)))
        expected = image[(slice(None), *index)]
        assert np.array_equal(_read(image, ranges), expected)
        assert np.array_equal(_read(open_array(tmp_path / "image.b2nd"), ranges), expected)


def test_the_same_boxes_from_memory_and_from_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cases, stored = [], []
    for name in ("a", "b", "c"):
        image = rng.normal(size=(1, *SHAPE)).astype(np.float32)
        enriched = rng.integers(0, 3, SHAPE).astype(np.uint8)
        write_array(tmp_path / f"{name}-image.b2nd", image)
        write_array(tmp_path / f"{name}-labels.b2nd", enriched)
        cases.append(StoredCase(name, image, enriched))
        stored.append(
            StoredCase(name, open_array(tmp_path / f"{name}-image.b2nd"), open_array(tmp_path / f"{name}-labels.b2nd"))
        )
    drawn = []
    for source in (cases, stored):
        sampler = BoxSampler(
            source, target_of=np.array([0, 1, 2]), rng=np.random.default_rng(3), device=torch.device("cpu")
        )
        drawn.append([sampler.sample(2, (6, 6, 6), margin=0.5, images_from=0) for _ in range(4)])
    for one, two in zip(*drawn, strict=True):
        assert torch.equal(one.enriched, two.enriched) and torch.equal(one.image, two.image)
        assert one.image.shape == (2, 1, 9, 9, 9) and one.enriched.dtype == torch.int64


def test_boxes_of_cases_on_the_device_are_those_of_the_cases(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    write_array(tmp_path / "image.b2nd", image)
    resident = Resident(torch.device("cpu"), room=image.nbytes)
    for _ in range(20):
        ranges = tuple((int(rng.integers(-6, n)), int(rng.integers(n, n + 6))) for n in SHAPE)
        found = resident.box("image", open_array(tmp_path / "image.b2nd"), ranges)
        assert found is not None and np.array_equal(found.numpy(), _read(image, ranges))
    assert resident.box("another", image, ranges) is None, "there is room for one"
    assert resident.box("image", image, ranges) is not None


def test_a_cpu_keeps_no_case_twice() -> None:
    image = np.zeros((1, *SHAPE), np.float32)
    assert Resident(torch.device("cpu")).box("image", image, ((0, 2), (0, 2), (0, 2))) is None
