"""A file under the name of another format is told to be renamed."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.io.first_bytes import content_of
from l2s_auto.io.volumes import read_stored

IMAGE = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".nii", "NIfTI"), (".nii.gz", "NIfTI"), (".nrrd", "NRRD"), (".mha", "MetaImage"), (".dcm", "DICOM")],
)
def test_each_format_is_known_by_its_first_bytes(tmp_path: Path, suffix: str, content: str) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(IMAGE[0] if suffix == ".dcm" else IMAGE), str(path))
    assert content_of(path.rename(tmp_path / "b")) == content


@pytest.mark.parametrize("content", [b"", b"abc", b"\x1f\x8bno gzip", bytes(400)])
def test_other_files_are_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert content_of(tmp_path / "a") == "" and content_of(tmp_path) == ""


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mgz"])
def test_nifti_under_another_name_is_to_be_renamed(tmp_path: Path, suffix: str) -> None:
    nib.save(nib.Nifti1Image(IMAGE, np.eye(4)), tmp_path / "a.nii.gz")
    path = (tmp_path / "a.nii.gz").rename(tmp_path / f"b{suffix}")
    with pytest.raises(UserError, match=rf"found NIfTI under a name that ends with \{suffix}.*Rename the file"):
        read_stored(path)


def test_nrrd_under_the_name_of_nifti_is_to_be_renamed(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(IMAGE), str(tmp_path / "a.nrrd"))
    with pytest.raises(UserError, match=r"found NRRD under a name that ends with \.nii; .*\.nrrd or \.nhdr"):
        read_stored((tmp_path / "a.nrrd").rename(tmp_path / "b.nii"))


def test_the_table_of_contents_of_a_cd_is_no_scan(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(UserError, match=r"the table of contents of a CD; expected a scan\. Give the folder: ") as it:
        read_stored(tmp_path / "DICOMDIR")
    assert str(tmp_path) in str(it.value)
