"""Units of length in headers: all become mm, and what is written has the unit of the scan again."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.io import units
from l2s_auto.io.volumes import read_grid, read_stored, write_label_map

AFFINE = np.array([[-1.6, 1.8, 0, 10], [1.2, 2.4, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])  # edges of 2, 3 and 4 mm
DATA = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
UNITS = {"unknown": 1.0, "mm": 1.0, "meter": 1e-3, "micron": 1e3}
#: Of NIfTI, MetaImage and NRRD.
SPELLINGS = {
    "mm": 1.0, "millimeter": 1.0, "Millimetres": 1.0, "MM": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "microns": 1e-3,
    "micrometer": 1e-3, "micrometres": 1e-3, "m": 1e3, "meters": 1e3, "cm": 10.0, "nm": 1e-6, "in": 25.4, "inch": 25.4,
    "furlong": None, "pixel": None, "ms": 1e3,
}  # fmt: skip


def scaled(factor: float, affine: np.ndarray = AFFINE) -> np.ndarray:
    return np.diag([factor] * 3 + [1]) @ affine


def nifti(path: Path, unit: str, *, factor: float | None = None, sform: int = 1, qform: int = 1) -> Path:
    affine = scaled(UNITS[unit] if factor is None else factor)
    image = nib.Nifti1Image(DATA, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, path)
    return path


def nrrd(path: Path, *lines: str, directions: str = "(1,0.1,0) (0,2,0) (0,0,3)") -> Path:
    header = ["NRRD0004", "type: short", "dimension: 3", "space: LPS", "sizes: 2 3 4", "endian: little", *lines]
    if directions:
        header.append(f"space directions: {directions}")
    path.write_bytes("\n".join([*header, "encoding: raw", "\n"]).encode("utf-8") + DATA.tobytes("F"))
    return path


@pytest.mark.parametrize(("text", "factor"), SPELLINGS.items())
def test_spellings(text: str, factor: float | None) -> None:
    if text == "ms":  # of time, not of length: the plural of a symbol is none
        assert units.millimetres("mss") is None
        return
    assert units.millimetres(text) == factor
    latin = text.encode("utf-8").decode("latin-1")  # as a header's bytes are read
    assert units.millimetres(f'"{latin}" ') == factor


def test_no_unit() -> None:
    assert all(units.is_none(text) for text in ("", " ", "???", "None", '""', "unknown"))
    assert not units.is_none("mm")


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (0, 1), (2, 0)])
def test_nifti_is_converted_and_the_result_has_its_unit(tmp_path: Path, unit: str, sform: int, qform: int) -> None:
    reference = nifti(tmp_path / "mm.nii.gz", "mm", sform=sform, qform=qform)
    path = nifti(tmp_path / "a.nii.gz", unit, sform=sform, qform=qform)
    volume, expected = read_stored(path), read_grid(reference)[1]
    np.testing.assert_allclose(volume.affine, expected, rtol=1e-5, atol=1e-5)
    assert volume.notes == ()
    image = sitk.ReadImage(str(path))  # which converts units of NIfTI
    place = np.array(image.TransformIndexToPhysicalPoint((1, 2, 3))) * (-1, -1, 1)
    np.testing.assert_allclose(place, (volume.affine @ (1, 2, 3, 1))[:3], atol=1e-3)
    write_label_map(tmp_path / "out.nii.gz", np.ones((2, 3, 4), int), volume.affine, like=path)
    source, out = nib.load(path), nib.load(tmp_path / "out.nii.gz")
    for field in ("qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(out.header[field], source.header[field], err_msg=field)
    np.testing.assert_array_equal(out.header["pixdim"][:4], source.header["pixdim"][:4])
    np.testing.assert_array_equal(read_grid(tmp_path / "out.nii.gz")[1], volume.affine)


def test_a_result_on_another_grid_is_in_mm(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", "meter")
    write_label_map(tmp_path / "out.nii", np.ones((2, 3, 4), int), 2 * AFFINE, like=path)
    out = nib.load(tmp_path / "out.nii")
    assert out.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(out.affine[:3], 2 * AFFINE[:3], atol=1e-5)


@pytest.mark.parametrize(
    ("unit", "factor", "note"),
    [
        ("unknown", 1e-3, "no unit of length. Millimetres were assumed, so a voxel is 0.002"),
        ("unknown", 30.0, "no unit of length. Millimetres were assumed, so a voxel is 60"),
        ("micron", 1.0, "distances in micrometres, so a voxel is 0.002"),
        ("meter", 0.1, "distances in metres, so a voxel is 200"),
        ("mm", 1e-3, ""),
    ],
)
def test_a_voxel_of_a_rare_size_is_noted(tmp_path: Path, unit: str, factor: float, note: str) -> None:
    notes = read_stored(nifti(tmp_path / "a.nii", unit, factor=factor)).notes
    assert [note in text for text in notes] == ([True] if note else [])


@pytest.mark.parametrize(
    ("unit", "factor", "given"),
    [
        ("meter", 10.0, "gives distances in metres, so a voxel is 2e+04 x 3e+04 x 4e+04 mm"),
        ("unknown", 1e-9, "gives no unit of length. Millimetres were assumed, so"),
        ("mm", 1e5, "1e-07 to 10000 mm. Correct"),
    ],
)
def test_a_voxel_of_an_impossible_size_is_refused(tmp_path: Path, unit: str, factor: float, given: str) -> None:
    path = nifti(tmp_path / "a.nii", unit, factor=factor)
    for read in (read_stored, read_grid):
        with pytest.raises(UserError, match=r"found voxels of .* mm; expected edges from .* its unit of length") as it:
            read(path)
        assert given in str(it.value)


def test_a_single_slice_may_have_any_thickness(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(DATA[..., :1], np.diag([1.0, 1, 999, 1])), tmp_path / "a.nii")
    np.testing.assert_allclose(read_stored(tmp_path / "a.nii").spacing, (1, 1, 999))


def test_small_voxels_are_no_flat_ones(tmp_path: Path) -> None:
    np.testing.assert_allclose(read_grid(nifti(tmp_path / "a.nii", "mm", factor=1e-4))[1], scaled(1e-4), atol=1e-8)
    flat = AFFINE.copy()
    flat[:3, 2] = flat[:3, 1]
    image = nib.Nifti1Image(DATA, None)
    image.set_sform(1e3 * flat, 1)
    nib.save(image, tmp_path / "flat.nii")
    with pytest.raises(UserError, match="affine"):
        read_stored(tmp_path / "flat.nii")


def test_an_unknown_code_of_nifti_is_noted(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", "mm")
    content = bytearray(path.read_bytes())
    content[123] = 5
    path.write_bytes(content)
    assert "code for the unit of length, 5, is unknown. Millimetres" in read_stored(path).notes[0]


@pytest.mark.parametrize(("text", "factor"), [("um", 1e-3), ("µm", 1e-3), ("m", 1e3), ("cm", 10.0), ("", 1.0)])
def test_units_of_nrrd(tmp_path: Path, text: str, factor: float) -> None:
    steps = " ".join(f"({','.join(str(x / factor) for x in step)})" for step in ((1, 0.1, 0), (0, 2, 0), (0, 0, 3)))
    origin = f"space origin: ({5 / factor},{6 / factor},{7 / factor})"
    path = nrrd(tmp_path / "a.nrrd", f'space units: "{text}" "{text}" "{text}"', origin, directions=steps)
    expected = read_stored(nrrd(tmp_path / "mm.nrrd", "space origin: (5,6,7)")).affine
    np.testing.assert_allclose(read_stored(path).affine, expected, rtol=1e-9)
    assert read_stored(path).notes == ()
    write_label_map(tmp_path / "out.nrrd", np.ones((2, 3, 4), int), expected, like=path)
    np.testing.assert_allclose(read_grid(tmp_path / "out.nrrd")[1], expected, rtol=1e-9)
    source, out = (sitk.ReadImage(str(one)) for one in (path, tmp_path / "out.nrrd"))  # without units
    np.testing.assert_allclose(out.GetSpacing(), source.GetSpacing(), rtol=1e-9)
    np.testing.assert_allclose(out.GetOrigin(), source.GetOrigin(), rtol=1e-9)
    np.testing.assert_allclose(out.GetDirection(), source.GetDirection(), atol=1e-9)
    assert ("space units" in _text(tmp_path / "out.nrrd")) == bool(text)
    assert f'"{text}"' in _text(tmp_path / "out.nrrd") or not text


def _text(path: Path) -> str:
    return path.read_bytes().split(b"\n\n")[0].decode("utf-8")


def test_a_result_has_the_space_of_its_nrrd(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"space: LPS", b"space: right-anterior-superior"))
    affine = read_grid(path)[1]
    np.testing.assert_allclose(affine[:3, :3], [[1, 0, 0], [0.1, 2, 0], [0, 0, 3]])
    write_label_map(tmp_path / "out.nrrd", np.ones((2, 3, 4), int), affine, like=path)
    assert "space: right-anterior-superior" in _text(tmp_path / "out.nrrd")
    np.testing.assert_allclose(read_grid(tmp_path / "out.nrrd")[1], affine)
    write_label_map(tmp_path / "out.nhdr", np.ones((2, 3, 4), int), affine, like=path)
    np.testing.assert_allclose(read_grid(tmp_path / "out.nhdr")[1], affine)


def test_axes_of_different_units(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", 'space units: "mm" "um" "m"', directions="(1,0,0) (0,2000,0) (0,0,0.003)")
    np.testing.assert_allclose(read_grid(path)[1], np.diag([-1.0, -2, 3, 1]), atol=1e-12)
    (note,) = read_stored(path).notes
    assert note.startswith("The header gives several units (") and note.endswith("Each axis was converted.")
    write_label_map(tmp_path / "out.nrrd", np.ones((2, 3, 4), int), read_grid(path)[1], like=path)
    np.testing.assert_allclose(read_grid(tmp_path / "out.nrrd")[1], np.diag([-1.0, -2, 3, 1]), atol=1e-12)


def test_units_of_the_axes_of_an_nrrd(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", 'units: "um" "um" "um"', directions="(20,0,0) (0,20,0) (0,0,20)")
    volume = read_stored(path)
    np.testing.assert_allclose(volume.spacing, 0.02)
    assert volume.notes == ("The header gives no units of its space. Those of its axes were used.",)
    path = nrrd(tmp_path / "b.nrrd", 'units: "um" "um" "um"', "spacings: 20 20 20", directions="")
    np.testing.assert_allclose(read_stored(path).spacing, 0.02)


@pytest.mark.parametrize("line", ['space units: "furlong" "mm" "mm"', 'space units: "mm"', 'units: "mm" "um" "mm"'])
def test_units_that_are_not_clear_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"units"):
        read_stored(nrrd(tmp_path / "a.nrrd", line))


@pytest.mark.parametrize(("text", "factor"), [("um", 1e-3), ("mm", 1.0), ("cm", 10.0), ("?", 1.0)])
def test_units_of_metaimage(tmp_path: Path, text: str, factor: float) -> None:
    lines = ["ObjectType = Image", "NDims = 3", f"DistanceUnits = {text}", "TransformMatrix = 1 0 0 0 0 1 0 -1 0",
             f"ElementSpacing = {1 / factor} {2 / factor} {3 / factor}", f"Offset = {4 / factor} 0 {6 / factor}",
             "DimSize = 2 3 4", "ElementType = MET_SHORT", "ElementDataFile = LOCAL\n"]  # fmt: skip
    path = tmp_path / "a.mha"
    path.write_bytes("\n".join(lines).encode() + DATA.tobytes("F"))
    volume = read_stored(path)
    expected = np.array([[-1.0, 0, 0, -4], [0, 0, 3, 0], [0, 2, 0, 6], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.affine, expected, atol=1e-12)
    write_label_map(tmp_path / "out.mha", np.ones((2, 3, 4), int), volume.affine, like=path)
    np.testing.assert_allclose(read_grid(tmp_path / "out.mha")[1], expected, atol=1e-12)
    source, out = (sitk.ReadImage(str(one)) for one in (path, tmp_path / "out.mha"))  # without units
    np.testing.assert_allclose(out.GetSpacing(), source.GetSpacing(), rtol=1e-9)
    np.testing.assert_allclose(out.GetDirection(), source.GetDirection(), atol=1e-9)
    path.write_bytes(path.read_bytes().replace(f"DistanceUnits = {text}".encode(), b"DistanceUnits = ell"))
    with pytest.raises(UserError, match="DistanceUnits: 'ell'"):
        read_stored(path)
