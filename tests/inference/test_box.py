"""The part of a scan in which both ends are compared, and a look at it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from l2s_auto.inference.box import (
    LEAST_MARGIN,
    MARGIN,
    OVERLAP,
    Classes,
    agreement,
    box_of,
    count_of_windows,
    is_complete,
    look,
    of_a_look,
)
from l2s_auto.inference.sliding_window import Windowing, sliding_window_classes, sliding_window_slabs
from tests.inference.tiny_models import Doubting, Threshold, blocks, bright

WINDOWING = Windowing(patch=(8, 8, 8), classes=3)


def classes_with(shape, box, labels: int = 2) -> np.ndarray:
    """0 outside of the box, in it all classes but background."""
    classes = np.zeros(shape, dtype=np.uint8)
    classes[box] = 1
    classes[box].flat[: labels - 1] = range(1, labels)
    return classes


def test_a_box_holds_the_structures_in_few_windows():
    random = np.random.default_rng(0)
    for _ in range(200):
        shape = random.integers(3, 90, 3)
        patch = [int(n) for n in 8 * random.integers(1, 5, 3)]
        corner = [int(random.integers(n)) for n in shape]
        sides = [slice(c, int(random.integers(c, n)) + 1) for c, n in zip(corner, shape, strict=True)]
        box = box_of(classes_with(shape, tuple(sides)), patch, labels=2)
        for found, side, size, extent in zip(sides, box, patch, shape, strict=True):
            length, least = side.stop - side.start, found.stop - found.start
            assert 0 <= side.start <= found.start < found.stop <= side.stop <= extent
            assert length >= min(size, extent), "a patch at least, where the scan has it"
            assert length <= max(size, math.ceil(least + 2 * MARGIN * size))
            assert math.ceil(length / size) <= max(1, math.ceil((least + 2 * LEAST_MARGIN * size) / size))
            if side.start > 0 and side.stop < extent:
                assert abs((found.start - side.start) - (side.stop - found.stop)) <= 1, "in the middle"
                assert found.start - side.start >= LEAST_MARGIN * size - 1


def test_the_box_is_the_scan_where_a_label_was_not_found():
    classes = classes_with((30, 31, 32), (slice(3, 6),) * 3, labels=3)
    small, whole = box_of(classes, (8, 8, 8), labels=3), tuple(slice(0, n) for n in classes.shape)
    assert small == (slice(0, 8),) * 3
    assert box_of(classes, (8, 8, 8), labels=4) == whole == box_of(np.zeros_like(classes), (8, 8, 8), labels=3)


@pytest.mark.parametrize("shape", [(5, 8, 3), (12, 9, 12), (8, 8, 8)])
def test_in_all_of_a_scan_the_agreement_is_that_of_complete_segmentations(shape):
    image = torch.from_numpy(bright((12, 13, 14)))[None, : shape[0], : shape[1], : shape[2]]
    home = sliding_window_classes([Doubting()], image, WINDOWING).numpy()
    general = sliding_window_classes([Threshold()], image, WINDOWING).numpy()
    whole = tuple(slice(0, n) for n in shape)
    assert is_complete(whole, shape, WINDOWING)
    seen = look([Threshold()], image, WINDOWING, whole).values
    assert np.array_equal(seen, general)
    assert agreement(home, seen, labels=3) == agreement(home, general, labels=3)
    if min(shape) == 12:
        assert not is_complete((slice(0, 8), slice(0, 9), slice(0, 12)), shape, WINDOWING)
    assert not is_complete((slice(0, 20),) * 3, (20, 20, 20), WINDOWING), "fewer windows than in a complete pass"


def test_a_look_has_few_windows_and_sees_the_box_alone():
    image = torch.from_numpy(blocks((30, 31, 32)))[None]
    box = (slice(5, 21), slice(0, 16), slice(16, 32))
    done: list[tuple[int, int]] = []
    seen = look([Threshold()], image, WINDOWING, box, progress=lambda *counts: done.append(counts))
    assert done[-1] == (8, 8) and count_of_windows((16, 16, 16), of_a_look(WINDOWING)) == 8
    assert np.array_equal(seen.values, sliding_window_classes([Threshold()], image, WINDOWING).numpy()[box])
    image[:, :5] = torch.nan
    assert look([Threshold()], image, WINDOWING, box).is_finite
    image[:, 6] = torch.nan
    assert not look([Threshold()], image, WINDOWING, box).is_finite
    assert of_a_look(replace(WINDOWING, overlap=0.0)).overlap == 0 <= OVERLAP == of_a_look(WINDOWING).overlap


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_classes_are_kept_and_slabs_pass_as_they_are(axis):
    image = torch.from_numpy(blocks((20, 21, 22)))[None]
    kept = Classes(image.shape[1:], 3)
    slabs = list(kept.noting(sliding_window_slabs([Threshold()], image, WINDOWING, axis=axis), axis=axis))
    expected = torch.cat([logits for _, logits in slabs], axis + 1).argmax(0).numpy()
    assert np.array_equal(kept.values, expected) and kept.values.dtype == np.uint8 and kept.is_finite
    assert Classes((2, 2, 2), 300).values.dtype == np.int16
