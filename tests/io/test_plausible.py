"""Cases whose images are of another kind than the others' are named in one message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.dataset import find_dataset, verify_dataset
from l2s_auto.io.json_files import write_json
from tests.io.scans_of_kinds import BRAIN, OUTSIDE, ct, mri, organs

Make = Callable[[int], np.ndarray]


def _dataset(folder: Path, image: Make, *, channel: str = "CT", labels: Make = lambda case: organs(), cases: int = 6):
    for name, make in (("imagesTr", image), ("labelsTr", labels)):
        (folder / name).mkdir()
        for case in range(cases):
            file = f"c{case}_0000.nii.gz" if name == "imagesTr" else f"c{case}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(make(case), np.eye(4)), folder / name / file)
    declared = {"channel_names": {"0": channel}, "labels": {"background": 0, "organ": 1, "spine": 2}}
    write_json(folder / "dataset.json", {**declared, "file_ending": ".nii.gz"})
    return find_dataset(folder)


def _offences(folder: Path, image: Make, **options) -> tuple[Offence, ...]:
    with pytest.raises(UserError) as caught:
        verify_dataset(_dataset(folder, image, **options))
    return caught.value.offences


def _said(folder: Path, caplog: pytest.LogCaptureFixture, image: Make, **options) -> str:
    verify_dataset(_dataset(folder, image, **options))
    return caplog.text


def test_some_scans_with_a_scanners_offset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two = _offences(tmp_path, lambda n: (ct(n) + 1024).astype(np.uint16) if n in (2, 5) else ct(n))
    assert [Path(o.where).name for o in two] == ["c2_0000.nii.gz", "c5_0000.nii.gz"]
    for offence in two:
        assert "1024 above Hounsfield units" in offence.found and "intensities from 0 to" in offence.found
        assert offence.expected == "Hounsfield units (air -1000, water 0), as in the other 4 cases"
        assert "Subtract 1024" in offence.mend
    assert "was subtracted" not in caplog.text


def test_some_scans_in_a_window(tmp_path: Path) -> None:
    windowed = lambda n: np.rint(((ct(n) + 160) / 400).clip(0, 1) * 255).astype(np.uint8)  # noqa: E731
    (one,) = _offences(tmp_path, lambda n: windowed(n) if n == 3 else ct(n))
    assert "c3_0000" in one.where and "intensities from 0 to 255, which are not Hounsfield units" in one.found


def test_all_with_an_offset_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = _said(tmp_path, caplog, lambda n: (ct(n) + 1024).astype(np.uint16))
    assert "6 scans (c0, c1, c2 and 3 more): intensities are 1024 above Hounsfield units" in said


def test_one_in_hounsfield_units_among_others(tmp_path: Path) -> None:
    (one,) = _offences(tmp_path, lambda n: ct(n) if n == 1 else ct(n) / 1000, channel="CT (other units)")
    assert "c1_0000" in one.where and "which are Hounsfield units" in one.found


@pytest.mark.parametrize("channel", ["MR", "T1", "CTA", "PET"])
def test_other_channels_may_differ_as_they_like(tmp_path: Path, caplog, channel: str) -> None:
    assert _said(tmp_path, caplog, lambda n: mri(n) * np.float32(10.0 ** (n - 3)), channel=channel) == ""


def test_good_ct_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _said(tmp_path, caplog, lambda n: np.where(OUTSIDE, -3024, ct(n)).astype(np.int16)) == ""


def test_fill_values_and_nan_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = _said(
        tmp_path,
        caplog,
        lambda n: np.where(BRAIN, mri(n), np.nan if n < 2 else -32768).astype(np.float32),
        channel="MR",
    )
    assert "2 scans (c0, c1): NaN or infinity around the image was taken as outside of it, and set to 0." in said
    assert "4 scans (c2, c3, c4 and 1 more): voxels with the value -32768" in said
    assert len(caplog.records) == 2


def test_a_label_map_among_the_images(tmp_path: Path) -> None:
    (one,) = _offences(tmp_path, lambda n: 3 * organs() + (organs() == 1) if n == 4 else mri(n), channel="MR")
    assert "c4_0000" in one.where and one.found == "a label map: 3 integer values, each in connected regions"


def test_a_label_map_among_ct_is_named_once(tmp_path: Path) -> None:
    assert len(_offences(tmp_path, lambda n: 3 * organs() if n == 4 else ct(n))) == 1


def test_images_that_are_all_drawn_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "all images look like label maps" in _said(tmp_path, caplog, lambda n: 50 + 3 * organs(), channel="MR")


def test_an_image_that_is_its_label_map(tmp_path: Path) -> None:
    (one,) = _offences(tmp_path, lambda n: organs() if n == 4 else mri(n), channel="MR")
    assert "c4_0000" in one.where and one.found == "the same numbers as in the label map c4.nii.gz"


def test_one_image_with_two_label_maps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = _said(
        tmp_path,
        caplog,
        lambda n: mri(1 if n == 2 else n),
        channel="MR",
        labels=lambda n: np.roll(organs(), n, axis=0),
    )
    assert "c1, c2 have the same image, and different label maps" in said and len(caplog.records) == 1


def test_a_channel_that_is_a_mask_in_all_cases_passes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _dataset(tmp_path, mri, channel="MR")
    for case in range(6):
        mask = nibabel.Nifti1Image((organs() > 0).astype(np.uint8), np.eye(4))
        nibabel.save(mask, tmp_path / "imagesTr" / f"c{case}_0001.nii.gz")
    declared = {"channel_names": {"0": "MR", "1": "mask"}, "labels": {"background": 0, "organ": 1, "spine": 2}}
    write_json(tmp_path / "dataset.json", {**declared, "file_ending": ".nii.gz"})
    verify_dataset(find_dataset(tmp_path))
    assert "all images look like label maps" in caplog.text and len(caplog.records) == 1
