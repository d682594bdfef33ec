"""Write-read keeps voxels and affine in every format; what cannot be read says why."""

from __future__ import annotations

import gzip
import os
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.io import nifti
from l2s_auto.io.volumes import (
    SUFFIXES,
    WRITABLE_SUFFIXES,
    case_name,
    read_grid,
    read_header,
    read_label_map,
    read_volume,
    write_label_map,
    write_volume,
)

ORIENTATIONS = [(axes, flips) for axes in permutations(range(3)) for flips in product((1, -1), repeat=3)]
OBLIQUE = np.array(
    [[0.96, -0.24, 0.1, -31.4], [0.28, 0.768, -0.5, 17.0], [0.01, 0.6, 1.7, 250.3], [0, 0, 0, 1]]
)  # columns are not orthogonal: sheared


def _random(shape: tuple[int, ...] = (1, 4, 5, 6)) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def _oriented(axes: tuple[int, ...], flips: tuple[int, ...]) -> np.ndarray:
    affine = np.zeros((4, 4))
    for axis, (world, sign, spacing) in enumerate(zip(axes, flips, (0.8, 1.0, 2.5), strict=True)):
        affine[world, axis] = sign * spacing
    affine[:, 3] = (12.5, -40, 7, 1)
    return affine


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_write_read_keeps_voxels_and_affine(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"scan é{suffix}"
    volume = Volume(_random((channels, 4, 5, 6)), OBLIQUE)
    write_volume(path, volume)
    back = read_volume(path)
    assert back.data.dtype == np.float32
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.affine, OBLIQUE, atol=1e-4)
    shape, found, affine = read_header(path)
    assert shape == (4, 5, 6) and found == channels
    np.testing.assert_array_equal(affine, back.affine)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("axes, flips", ORIENTATIONS)
def test_all_orientations_agree_between_formats(tmp_path: Path, axes: tuple[int, ...], flips: tuple[int, ...]) -> None:
    volume = Volume(_random(), _oriented(axes, flips))
    for suffix in (".nii", ".nrrd", ".mha"):
        write_volume(tmp_path / f"a{suffix}", volume)
        back = read_volume(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(back.data, volume.data)
        np.testing.assert_allclose(back.affine, volume.affine, atol=1e-5)


def test_simple_itk_sees_the_same_world(tmp_path: Path) -> None:
    """An independent check of the signs: both libraries place a voxel at the same point."""
    affine = _oriented((1, 0, 2), (1, -1, 1))
    write_volume(tmp_path / "a.nii.gz", Volume(_random(), affine))
    write_volume(tmp_path / "a.nrrd", Volume(_random(), affine))
    points = [
        sitk.ReadImage(str(tmp_path / name)).TransformIndexToPhysicalPoint((1, 2, 3)) for name in ("a.nii.gz", "a.nrrd")
    ]
    np.testing.assert_allclose(points[0], points[1], atol=1e-4)
    right_anterior_superior = affine @ (1, 2, 3, 1)
    np.testing.assert_allclose(points[0], right_anterior_superior[:3] * (-1, -1, 1), atol=1e-4)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize(
    "values, dtype",
    [((0, 2, 77), np.uint8), ((-1, 3), np.int16), ((0, 40_000), np.uint16), ((0, 70_000), np.int32)],
)
def test_label_maps_keep_values_in_the_smallest_type(
    tmp_path: Path, suffix: str, values: tuple[int, ...], dtype: type
) -> None:
    labels = np.random.default_rng(0).choice(values, size=(4, 5, 6))
    path = tmp_path / f"a{suffix}"
    write_label_map(path, labels, OBLIQUE)
    back, _ = read_label_map(path)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, labels)
    if suffix.startswith(".nii"):
        assert nibabel.load(path).get_data_dtype() == dtype


def test_like_keeps_forms_codes_and_units(tmp_path: Path) -> None:
    source = nibabel.Nifti1Image(_random()[0], None)
    source.header.set_qform(_oriented((0, 1, 2), (-1, 1, 1)), code="aligned")
    source.header.set_sform(OBLIQUE, code="mni")
    source.header.set_xyzt_units("mm", "sec")
    nibabel.save(source, tmp_path / "source.nii.gz")
    source = nibabel.load(tmp_path / "source.nii.gz")
    labels = np.zeros((4, 5, 6), dtype=np.int64)
    _, affine = read_grid(tmp_path / "source.nii.gz")
    write_label_map(tmp_path / "out.nii.gz", labels, affine, like=tmp_path / "source.nii.gz")
    out = nibabel.load(tmp_path / "out.nii.gz")
    for field in ("qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z", "quatern_b", "pixdim"):
        np.testing.assert_array_equal(out.header[field], source.header[field], err_msg=field)
    np.testing.assert_array_equal(out.affine, source.affine)
    assert out.header.get_slope_inter() == (None, None)


def test_like_on_another_grid_keeps_the_given_affine(tmp_path: Path) -> None:
    write_volume(tmp_path / "source.nii.gz", Volume(_random(), np.eye(4)))
    write_label_map(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), int), OBLIQUE, like=tmp_path / "source.nii.gz")
    np.testing.assert_allclose(read_grid(tmp_path / "a.nii.gz")[1], OBLIQUE, atol=1e-4)


@pytest.mark.parametrize(
    "stored, expected",
    [
        ((4, 5), (1, 4, 5, 1)),
        ((4, 5, 6), (1, 4, 5, 6)),
        ((4, 5, 6, 2), (2, 4, 5, 6)),
        ((4, 5, 6, 1, 2), (2, 4, 5, 6)),
        ((4, 5, 6, 1, 1), (1, 4, 5, 6)),
    ],
)
def test_shapes_of_nifti(tmp_path: Path, stored: tuple[int, ...], expected: tuple[int, ...]) -> None:
    array = _random(stored)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.data.shape == expected
    last = array if array.ndim < 4 else array[..., -1]
    np.testing.assert_array_equal(volume.data[-1].squeeze(), last.squeeze())


def test_two_dimensional_input_gives_two_dimensional_output(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(_random((4, 5)), np.eye(4)), tmp_path / "a.nii")
    write_label_map(tmp_path / "b.nii", np.ones((4, 5, 1), int), np.eye(4), like=tmp_path / "a.nii")
    assert nibabel.load(tmp_path / "b.nii").shape == (4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(_random((5, 4))), str(tmp_path / "c.mha"))
    assert read_volume(tmp_path / "c.mha").data.shape == (1, 4, 5, 1)


def test_four_dimensional_itk_file_has_channels(tmp_path: Path) -> None:
    array = _random((3, 6, 5, 4))  # (T, Z, Y, X)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd").data, array.transpose(0, 3, 2, 1))
    assert read_header(tmp_path / "a.nrrd")[:2] == ((4, 5, 6), 3)


def test_scaled_integers_are_scaled(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(2, 10)
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz").data.ravel(), np.arange(8) * 2 + 10)


def write_dicom_series(folder: Path, array: np.ndarray, *, uid: str = "1.2.3") -> None:
    """(Z, Y, X) int16 slices, 2 mm thick, in the sagittal-like direction of a rotated scan."""
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(array):
        image = sitk.GetImageFromArray(plane[np.newaxis])
        image.SetSpacing((0.5, 0.75, 2.0))
        image.SetOrigin((10.0, -20.0, 5.0 + 2.0 * z))
        for key, value in {
            "0008|0060": "MR",
            "0020|000e": uid,
            "0020|000d": "1.2.1",
            "0020|0013": str(z),
            "0020|0032": f"10\\-20\\{5 + 2 * z}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": "2",
        }.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{uid}-{9 - z}.dcm"))
        writer.Execute(image)


def test_dicom_series_and_single_slice(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16)
    write_dicom_series(tmp_path / "series", array)
    volume = read_volume(tmp_path / "series")
    np.testing.assert_array_equal(volume.data[0], array.transpose(2, 1, 0))
    expected = np.array([[-0.5, 0, 0, -10], [0, -0.75, 0, 20], [0, 0, 2, 5], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.affine, expected, atol=1e-5)
    shape, affine = read_grid(tmp_path / "series")
    assert shape == (5, 6, 4)
    np.testing.assert_array_equal(affine, volume.affine)
    slice_ = read_volume(tmp_path / "series" / "1.2.3-9.dcm")
    np.testing.assert_array_equal(slice_.data[0, :, :, 0], array[0].T)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("missing", r"slices of 2\.00 mm distance, but 4\.00 mm from 1\.2\.3-8\.dcm to 1\.2\.3-6\.dcm"),
        ("twice", r"but 0\.00 mm from"),
        ("cut", r"1 DICOM files that are no readable slices: 1\.2\.3-9\.dcm"),
    ],
)
def test_a_series_that_is_not_whole_is_not_stretched(tmp_path: Path, spoil: str, message: str) -> None:
    folder = tmp_path / "series"
    write_dicom_series(folder, np.random.default_rng(0).integers(0, 1000, (6, 6, 5)).astype(np.int16))
    if spoil == "missing":
        (folder / "1.2.3-7.dcm").unlink()
    elif spoil == "twice":
        (folder / "copy.dcm").write_bytes((folder / "1.2.3-7.dcm").read_bytes())
    else:
        (folder / "1.2.3-9.dcm").write_bytes((folder / "1.2.3-9.dcm").read_bytes()[:200])
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(UserError, match=message):
        read_volume(folder)


@pytest.mark.parametrize("name", ["a.MHA", "a.Nrrd"])
def test_suffixes_in_capitals(tmp_path: Path, name: str) -> None:
    data = _random()
    write_volume(tmp_path / name.lower(), Volume(data, np.eye(4)))
    (tmp_path / name.lower()).rename(tmp_path / name)
    np.testing.assert_array_equal(read_volume(tmp_path / name).data, data)
    assert read_grid(tmp_path / name)[0] == data.shape[1:]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_volume(tmp_path / "a.nii.gz", Volume(_random(), np.eye(4)))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(nifti, "read", refuse)
    with pytest.raises(UserError, match="no right to read it"):
        read_volume(tmp_path / "a.nii.gz")


def test_two_series_in_one_folder_are_named(tmp_path: Path) -> None:
    array = np.zeros((2, 4, 4), np.int16)
    write_dicom_series(tmp_path / "series", array, uid="1.2.3")
    write_dicom_series(tmp_path / "series", array, uid="1.2.4")
    with pytest.raises(UserError, match=r"2 DICOM series \(.*1\.2\.4"):
        read_volume(tmp_path / "series")


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    write_volume(tmp_path / "whole.nii.gz", Volume(_random((1, 20, 20, 20)), np.eye(4)))
    whole = (tmp_path / "whole.nii.gz").read_bytes()
    write_volume(tmp_path / "whole.mha", Volume(_random(), np.eye(4)))
    contents = {
        "truncated.nii.gz": (whole[: len(whole) // 2], "damaged"),
        "bit.nii.gz": (whole[:9000] + bytes([whole[9000] ^ 255]) + whole[9001:], "damaged"),
        "text.nii.gz": (b"not an image at all", "damaged"),
        "short.nii": (gzip.decompress(whole)[:2000], "damaged"),
        "header.nii": (gzip.decompress(whole)[:100], "damaged"),
        "empty.nii.gz": (b"", "0 bytes"),
        "empty.nrrd": (b"", "0 bytes"),
        "text.nrrd": (b"NRRD0004\nnonsense", "damaged"),
        "half.mha": ((tmp_path / "whole.mha").read_bytes()[:-200], "damaged"),
        "text.dcm": (b"not DICOM", "damaged"),
        "image.png": (b"png", "the name image.png"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_volume(tmp_path / name)
        assert name in str(caught.value) and reason in str(caught.value), name
        assert len(caught.value.offences) == 1
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(UserError, match=r"folder.nii.gz: found a folder"):
        read_volume(tmp_path / "folder.nii.gz")
    with pytest.raises(UserError, match=r"missing.nii: found nothing"):
        read_grid(tmp_path / "missing.nii")
    with pytest.raises(UserError, match=r"header.nii: found damaged"):
        read_grid(tmp_path / "header.nii")


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_colour_and_complex_are_refused(tmp_path: Path, dtype: np.dtype) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UserError, match="voxels of type"):
        read_volume(tmp_path / "a.nii")


def test_bad_shape_and_affine_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(_random((2, 2, 2, 3, 3)), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UserError, match=r"shape \(2, 2, 2, 3, 3\)"):
        read_volume(tmp_path / "a.nii")
    image = nibabel.Nifti1Image(_random((2, 2, 2)), None)
    image.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    nibabel.save(image, tmp_path / "b.nii")
    with pytest.raises(UserError, match="affine"):
        read_volume(tmp_path / "b.nii")


def test_label_maps_of_whole_floats_only(tmp_path: Path) -> None:
    array = np.zeros((3, 3, 3), np.float32)

    def read(value: float) -> np.ndarray:
        array[1, 1, 1] = value
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
        return read_label_map(tmp_path / "a.nii.gz")[0]

    assert read(77.00001)[1, 1, 1] == 77
    for value, message in ((2.5, "e.g. 2.5"), (np.nan, "nan"), (np.inf, "inf"), (1e12, r"to 1e\+12")):
        with pytest.raises(UserError, match=message):
            read(value)
    write_volume(tmp_path / "two.nii", Volume(_random((2, 3, 3, 3)), np.eye(4)))
    with pytest.raises(UserError, match="2 channels"):
        read_label_map(tmp_path / "two.nii")


def test_dicom_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_label_map(tmp_path / "a.dcm", np.zeros((2, 2, 2), int), np.eye(4))


def test_case_name_strips_the_whole_suffix() -> None:
    assert case_name("x/sub-01.v2.nii.gz") == "sub-01.v2"
    assert case_name("A.NII.GZ") == "A"
    assert case_name("folder") == "folder"
    assert all(case_name(f"a{suffix}") == "a" for suffix in SUFFIXES)


@pytest.mark.parametrize("edge", [4e-6, 1e-4, 0.02, 1.0, 1000.0])
def test_voxels_may_have_any_size(tmp_path: Path, edge: float) -> None:
    """Of 4 nm as well as of 1 m: only voxels on top of each other are refused."""
    affine = OBLIQUE.copy()
    affine[:3] *= edge
    write_volume(tmp_path / "a.nii.gz", Volume(_random(), affine))
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz").affine, affine, rtol=1e-4, atol=1e-4 * edge)
    flat = affine.copy()
    flat[:3, 2] = flat[:3, 1] + 1e-9 * flat[:3, 0]
    nibabel.save(nibabel.Nifti1Image(_random()[0], flat), tmp_path / "b.nii.gz")
    with pytest.raises(UserError, match="on top of each other"):
        read_volume(tmp_path / "b.nii.gz")
