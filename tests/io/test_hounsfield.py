"""A CT in Hounsfield units is taken for one whatever was cut off; numbers of another kind are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.io.hounsfield import is_ct, units_of
from l2s_auto.io.repair import repair
from tests.io.scans_of_kinds import BODY, OUTSIDE, SPINE, ct, mri

HU = ct()
CROP = HU[14:27, 6:16, 6:18]
LIVER = np.random.default_rng(0).normal(60, 20, (16, 16, 16)).round()
IN_HOUNSFIELD = {
    "complete": HU,
    "floats": HU + 0.37,
    "without noise": ct(noise=0.0),
    "clipped at -1000": HU.clip(-1000),
    "windowed, in Hounsfield units": HU.clip(-160, 240),
    "crop of an organ": CROP,
    "soft tissue alone": LIVER,
    "windowed crop": LIVER.clip(-160, 240),
    "lungs": HU[10:18, 11:23, 4:20],
    "GE's outside": np.where(OUTSIDE, -2000, HU),
    "a lower outside": np.where(OUTSIDE, -3024, HU),
    "0 outside": np.where(OUTSIDE, 0, HU),
    "very small body": np.where(SPINE, HU, -1000 + HU % 7),
}
CLIPPED = {
    "clipped at 0": HU.clip(0),
    "window of a brain": HU.clip(0, 80),
    "crop, clipped at 0": LIVER.clip(0),
    "bone": np.random.default_rng(0).normal(300, 60, (20, 20, 20)).clip(60),
}
window = ((HU.astype(float) + 160) / 400).clip(0, 1)
stretched = (HU + 1024.0) / (HU.max() + 1024.0)
OTHER = {
    "0 to 255": np.rint(255 * window).astype(np.uint8),
    "0 to 255, floats": 255 * window,
    "0 to 1": window,
    "-1 to 1": 2 * window - 1,
    "z-scores": (HU - HU.mean()) / HU.std(),
    "0 to 1000": 1000 * stretched,
    "0 to 4095": np.rint(4095 * stretched),
    "0 to 65535": np.rint(65535 * stretched),
    "without their sign": HU.astype(np.int32) % 65536,
    "1024 subtracted twice": HU - 1024,
    "times ten": 10.0 * HU,
    "an MRI": mri(),
}


@pytest.mark.parametrize("name", IN_HOUNSFIELD)
def test_hounsfield_units(name: str) -> None:
    image = IN_HOUNSFIELD[name]
    repaired = repair(image, ct=True)
    assert repaired.units.kind == "hounsfield" and repaired.data is image and repaired.notes == ()


@pytest.mark.parametrize("name", CLIPPED)
def test_clipped_ones_pass_and_are_said(name: str) -> None:
    image = CLIPPED[name]
    repaired = repair(image, ct=True)
    assert repaired.units.kind == "clipped" and repaired.data is image and "clipped at 0" in repaired.notes[0]


@pytest.mark.parametrize("name", OTHER)
def test_other_units(name: str) -> None:
    units = repair(OTHER[name], ct=True).units
    assert units.kind == "other" and units.found.startswith("intensities from ") and "not Hounsfield" in units.found


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("crop", [False, True])
def test_a_scanners_offset_is_subtracted(dtype: type, crop: bool) -> None:
    hu = CROP if crop else HU
    repaired = repair((hu + 1024).astype(dtype), ct=True)
    assert repaired.units.offset == 1024 and np.array_equal(repaired.data, hu)
    assert "1024 was subtracted" in repaired.notes[0]


def test_an_offset_of_1000_is_seen_by_the_air() -> None:
    repaired = repair((HU + 1000).clip(0).astype(np.uint16), ct=True)
    assert repaired.units.offset == 1000 and np.array_equal(repaired.data, HU.clip(-1000))


@pytest.mark.parametrize("outside", [0, -2000, 65535])
def test_an_offset_is_seen_beside_a_fill_value(outside: int) -> None:
    repaired = repair(np.where(OUTSIDE, outside, HU.astype(np.int32) + 1024), ct=True)
    assert repaired.units.offset == 1024 and np.array_equal(repaired.data[~OUTSIDE], HU[~OUTSIDE])
    assert (repaired.data[OUTSIDE] <= -1024).all()


def test_nothing_but_a_ct_is_asked_for_its_units() -> None:
    assert repair(HU + 1024, ct=False).units is None
    assert is_ct("CT") and is_ct(" ct ") and not is_ct("CT (other units)") and not is_ct("CTA")


def test_padding_with_0_does_not_count_as_air() -> None:
    raw = HU.astype(np.int32) + 1024
    raw[:3] = 0
    assert units_of(raw).offset == 1024


def test_little_of_a_body_shows_the_offset() -> None:
    few = np.where(BODY & (np.arange(HU.shape[0])[:, None, None] < 8), HU, -1000 + HU % 30) + 1024
    assert units_of(few).kind == "offset"
