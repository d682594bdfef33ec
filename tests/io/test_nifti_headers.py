"""NIfTI headers as other programs write them: what is read is what nibabel or ITK reads, or it is said what differs."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case
from l2s_auto.io.case_reader import CaseReader
from l2s_auto.io.verify import check_case
from l2s_auto.io.volumes import read_header, read_label_map, read_stored, read_volume, write_label_map

DATA = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
AFFINE = np.array([[-1.6, 1.8, 0, 10], [1.2, 2.4, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])  # edges of 2, 3 and 4 mm
GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
Edit = Callable[[bytearray], None]


def floats(at: int, *values: float) -> Edit:
    return lambda content: struct.pack_into(f"<{len(values)}f", content, at, *values)


def shorts(at: int, *values: int) -> Edit:
    return lambda content: struct.pack_into(f"<{len(values)}h", content, at, *values)


def both(*edits: Edit) -> Edit:
    def edit(content: bytearray) -> None:
        for one in edits:
            one(content)

    return edit


def content_of(
    edit: Edit | None = None, *, data: np.ndarray = DATA, kind: type = nib.Nifti1Image, affine: np.ndarray = AFFINE
) -> bytes:
    image = kind(data, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    content = bytearray(image.to_bytes())
    if edit is not None:
        edit(content)
    return bytes(content)


def save(path: Path, edit: Edit | None = None, **options: object) -> Path:
    content = content_of(edit, **options)  # type: ignore[arg-type]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def of_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine by SimpleITK."""
    image = sitk.ReadImage(str(path))
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1, 1, 1]) @ lps


def turned() -> np.ndarray:
    affine = AFFINE.copy()
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] += (20, -5, 7)
    return affine


QFORM_ONLY = shorts(252, 1, 0)
#: name -> (edit, who reads the right affine (empty: nobody does), what is noted)
HEADERS: dict[str, tuple[Edit | None, str, str]] = {
    "plain": (None, "nibabel", ""),
    "w2": (both(QFORM_ONLY, floats(256, 0.0, 0.000001, 1.000001)), "itk", ""),
    "w2 of a tilted scan": (both(QFORM_ONLY, floats(256, 0.6 * 1.001, 0.0, 0.8 * 1.001)), "itk", ""),
    "w2 as rounded": (both(QFORM_ONLY, floats(256, 0.0, 0.0, 1.0000005)), "itk", ""),
    "nan_slope": (floats(112, float("nan"), float("nan")), "nibabel", ""),
    "slope0": (floats(112, 0.0, 5.0), "nibabel", ""),
    "slope inf": (floats(112, float("inf"), 5.0), "nibabel", ""),
    "inf": (floats(112, 1.0, float("nan")), "itk", "intercept is not a number. 0 was used"),
    "sform0": (floats(280, *[0.0] * 12), "itk", "sform places all voxels at one point or nowhere. Its qform was used"),
    "sform nan": (floats(280, float("nan")), "", "Its qform was used"),
    "codes0": (shorts(252, 0, 0), "nibabel", "gives no orientation (qform_code and sform_code are 0). Assumed: x runs"),
    "disagree": (floats(280, *turned()[:3].ravel()), "nibabel", "sform and qform place the scan differently."),
    "negative": (both(QFORM_ONLY, floats(84, -3.0)), "nibabel", "negative voxel size. Its absolute value"),
    "bad qform": (floats(256, 0.0, 0.3, 1.2), "nibabel", "qform is not valid. Its sform was used"),
    "dims": (shorts(48, 0, 0, 0, 0), "nibabel", ""),
    "vox_offset 0": (floats(108, 0.0), "itk", ""),
    "qfac0": (both(QFORM_ONLY, floats(76, 0.0)), "nibabel", ""),
    "mni and scanner": (both(shorts(252, 1, 4)), "nibabel", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_rare_headers(tmp_path: Path, name: str) -> None:
    edit, reader, note = HEADERS[name]
    for path in (save(tmp_path / "a.nii.gz", edit), save(tmp_path / "a.nii", edit)):
        volume = read_stored(path)
        expected, affine = DATA, AFFINE
        if reader == "nibabel":
            image = nib.load(path)
            expected, affine = np.asarray(image.dataobj), image.affine
        elif reader == "itk":
            expected, affine = of_itk(path)
            expected = DATA if name in ("inf", "vox_offset 0") else expected
        np.testing.assert_array_equal(volume.data[0], expected)
        np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
        assert (len(volume.notes) == 1 and note in volume.notes[0]) if note else volume.notes == ()
        assert all(text.endswith(".") and "a.nii" not in text for text in volume.notes)
        shape, channels, of_header = read_header(path)
        assert (shape, channels) == (DATA.shape, 1)
        np.testing.assert_array_equal(of_header, volume.affine)
        write_label_map(tmp_path / "out.nii.gz", DATA.astype(int), volume.affine, like=path)
        content = gzip.decompress((tmp_path / "out.nii.gz").read_bytes())
        source = nib.Nifti1Header(content_of(edit)[:348], check=False)
        out = nib.Nifti1Header(content[:348], check=False)
        for field in GEOMETRY:
            np.testing.assert_array_equal(out[field], source[field], err_msg=field)
        np.testing.assert_array_equal(np.abs(out["pixdim"][1:4]), np.abs(source["pixdim"][1:4]))
        assert out["pixdim"][0] == (source["pixdim"][0] or 1)  # 0 means 1
        labels, back = read_label_map(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(labels, DATA)
        np.testing.assert_array_equal(back, volume.affine)


BAD = {
    "too long": (both(QFORM_ONLY, floats(256, 0.0, 0.3, 1.2)), "quatern_b, c, d: 0, 0.3"),
    "nan": (both(QFORM_ONLY, floats(256, float("nan"))), "no sform, and no valid qform and voxel size"),
    "pixdim 0": (both(QFORM_ONLY, floats(80, 2.0, 0.0, 3.0)), "no sform, and no valid qform and voxel size"),
    "codes and pixdim 0": (both(shorts(252, 0, 0), floats(80, 2.0, 0.0, 3.0)), "voxel size .*pixdim: 2, 0, 3"),
    "only a bad sform": (both(shorts(252, 0, 1), floats(280, *[0.0] * 12)), "the affine"),
    "both bad": (both(floats(256, 0.0, 3.0, 3.0), floats(280, *[0.0] * 12)), "the affine"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_headers_that_place_nothing_are_refused(tmp_path: Path, name: str) -> None:
    edit, message = BAD[name]
    for read in (read_volume, read_header):
        with pytest.raises(UserError, match=message):
            read(save(tmp_path / "a.nii.gz", edit))


@pytest.mark.parametrize("dtype", ["<i1", "<u2", "<i8", "<f8", ">f8", ">i2", ">u4"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_types_and_byte_orders(tmp_path: Path, dtype: str, kind: type) -> None:
    data = (DATA // 8).astype(dtype)
    header = kind.header_class(endianness=dtype[0])  # type: ignore[attr-defined]
    header.set_data_dtype(np.dtype(dtype))
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(kind(data, AFFINE, header).to_bytes()))
    volume = read_stored(path)
    np.testing.assert_array_equal(volume.data[0], np.asarray(nib.load(path).dataobj))
    np.testing.assert_allclose(volume.affine, nib.load(path).affine)
    write_label_map(tmp_path / "out.nii", DATA.astype(int), volume.affine, like=path)
    out = nib.load(tmp_path / "out.nii")
    assert isinstance(out, kind)
    np.testing.assert_array_equal(out.affine, nib.load(path).affine)


@pytest.mark.parametrize(("shape", "channels"), [((5, 6, 7, 1), 1), ((5, 6, 7, 1, 1), 1), ((5, 6, 7, 4), 4)])
def test_more_axes(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    data = np.broadcast_to(DATA.reshape((5, 6, 7) + (1,) * (len(shape) - 3)), shape)
    volume = read_stored(save(tmp_path / "a.nii.gz", data=data))
    assert volume.data.shape == (channels, 5, 6, 7)
    assert all(np.array_equal(one, DATA) for one in volume.data)


def test_an_axis_of_length_0_behind_the_third_has_length_1(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", shorts(48, 0), data=DATA[..., np.newaxis])
    np.testing.assert_array_equal(read_stored(path).data[0], of_itk_3d(path))


def of_itk_3d(path: Path) -> np.ndarray:
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T
    return array.reshape(array.shape[:3])


def test_compression_and_what_follows_it(tmp_path: Path) -> None:
    content, packed = content_of(), gzip.compress(content_of())
    files = {
        "members.nii.gz": (gzip.compress(content[:500]) + gzip.compress(content[500:]), ""),
        "zeros.nii.gz": (packed + bytes(512), ""),
        "garbage.nii.gz": (packed + b"rsync-tail" * 9, "They were ignored; the voxels are complete."),
        "one.nii.gz": (packed + b"x", "They were ignored; the voxels are complete."),
        "plain.nii.gz": (
            content,
            "not compressed, but its name says otherwise: rename the file so that it ends with .nii.",
        ),
        "packed.nii": (
            packed,
            "compressed, but its name says otherwise: rename the file so that it ends with .nii.gz.",
        ),
        "PLAIN.NII.GZ": (content, "rename the file"),
    }
    for name, (stored, note) in files.items():
        (tmp_path / name).write_bytes(stored)
        volume = read_stored(tmp_path / name)
        np.testing.assert_array_equal(volume.data[0], DATA)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
        assert [note in text for text in volume.notes] == ([True] if note else []), name
        write_label_map(tmp_path / f"out-{name}", DATA.astype(int), volume.affine, like=tmp_path / name)
        np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / f"out-{name}").dataobj), DATA)
        np.testing.assert_array_equal(nib.load(tmp_path / f"out-{name}").affine, volume.affine)
    damaged = {
        "half.nii.gz": gzip.compress(content[:-10]) + b"rsync-tail",
        "cut.nii.gz": packed[:-3],
        "crc.nii.gz": packed[:-8] + b"1234" + packed[-4:] + b"rsync-tail",
        "longer.nii.gz": gzip.compress(content + b"more"),
        "longer.nii": content + b"more",
        "shorter.nii": content[:-1],
    }
    for name, stored in damaged.items():
        (tmp_path / name).write_bytes(stored)
        with pytest.raises(UserError, match="damaged"):
            read_stored(tmp_path / name)


def test_extensions_are_passed_over(tmp_path: Path) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made by somebody" * 9))
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_stored(tmp_path / "a.nii.gz").data[0], DATA)


def test_a_slice_without_thickness(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", both(QFORM_ONLY, floats(88, 0.0)), data=DATA[..., 0])
    volume = read_stored(path)
    assert "no thickness of its single slice. A thickness of 1 was assumed" in volume.notes[0]
    np.testing.assert_allclose(volume.spacing, (2, 3, 1), atol=1e-5)


def test_codes_of_0_mean_what_nibabel_says_whatever_the_size(tmp_path: Path) -> None:
    """The x axis runs from right to left, for ITK too."""
    volume = read_stored(save(tmp_path / "a.nii", shorts(252, 0, 0)))
    assert volume.affine[0, 0] == pytest.approx(-2)
    assert of_itk(tmp_path / "a.nii")[1][0, 0] == pytest.approx(-2)
    np.testing.assert_allclose(volume.affine @ (2, 2.5, 3, 1), (0, 0, 0, 1), atol=1e-5)  # the centre


def test_a_case_of_which_one_file_gives_no_orientation_is_told_so(tmp_path: Path) -> None:
    image = save(tmp_path / "image.nii.gz")
    label = save(tmp_path / "label.nii.gz", shorts(252, 0, 0), data=(DATA > 500).astype(np.uint8))
    case = Case("a", (image,), label)
    (offence,) = check_case(case, channels=1, values=frozenset({0, 1}), files=CaseReader()).offences
    assert "The header of label.nii.gz gives no orientation, so that one was assumed." in offence.mend
    image = save(tmp_path / "other.nii.gz", shorts(252, 0, 0))
    case = Case("a", (image,), label)
    files = CaseReader()
    assert check_case(case, channels=1, values=frozenset({0, 1}), files=files).offences == ()
    assert all("no orientation" in notes[0] for notes in files.notes.values()) and len(files.notes) == 2


def test_nothing_of_what_nibabel_mends_is_told_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read_stored(save(tmp_path / "a.nii", both(floats(76, 0.0, -2.0), shorts(252, 1, 1))))
    out, err = capfd.readouterr()
    assert out == err == ""
