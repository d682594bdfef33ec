"""FreeSurfer's volumes: what is read is what nibabel reads, and what is written too."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.io.volumes import case_name, read_header, read_label_map, read_stored, write_label_map, write_volume

AFFINE = np.array([[-1.6, 1.8, 0, 10], [1.2, 2.4, 0.1, -20], [0, 0, 4, 30], [0, 0, 0, 1]])
DATA = np.random.default_rng(0).integers(0, 200, (5, 6, 7))
SHORTS = DATA.astype(np.int16)


def save(path: Path, data: np.ndarray = SHORTS, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.MGHImage(data, affine), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_what_is_read_is_what_nibabel_reads(tmp_path: Path, name: str, dtype: type) -> None:
    path = save(tmp_path / name, DATA.astype(dtype))
    volume = read_stored(path)
    np.testing.assert_array_equal(volume.data[0], DATA)
    assert volume.data.dtype == dtype and volume.data.dtype.isnative and volume.notes == ()
    np.testing.assert_allclose(volume.affine, nib.load(path).affine, atol=1e-5)
    shape, channels, affine = read_header(path)
    assert (shape, channels) == (DATA.shape, 1)
    np.testing.assert_array_equal(affine, volume.affine)
    assert case_name(path) == "a"


def test_frames_are_channels_and_tags_may_follow(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mgh", np.stack([DATA, DATA + 1], axis=-1).astype(np.float32))
    path.write_bytes(path.read_bytes() + b"\0\0\0\3tag of mri_convert" * 20)
    volume = read_stored(path)
    np.testing.assert_array_equal(volume.data, [DATA, DATA + 1])
    (tmp_path / "b.mgz").write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_stored(tmp_path / "b.mgz").data, volume.data)


def test_a_header_without_geometry(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mgh")
    content = bytearray(path.read_bytes())
    content[28:30] = b"\0\0"
    path.write_bytes(content)
    volume = read_stored(path)
    # As FreeSurfer documents it; nibabel turns the last two axes round.
    np.testing.assert_allclose(volume.affine, [[-1, 0, 0, 2.5], [0, 0, 1, -3.5], [0, -1, 0, 3], [0, 0, 0, 1]])
    (note,) = volume.notes
    assert note.startswith("The header gives no orientation and no voxel size (goodRASFlag is 0). Assumed: voxels of")


def test_compression_that_does_not_fit_the_name(tmp_path: Path) -> None:
    plain, packed = save(tmp_path / "a.mgh").read_bytes(), save(tmp_path / "a.mgz").read_bytes()
    (tmp_path / "plain.mgz").write_bytes(plain)
    (tmp_path / "packed.mgh").write_bytes(packed)
    for name, ending in (("plain.mgz", ".mgh"), ("packed.mgh", ".mgz")):
        volume = read_stored(tmp_path / name)
        np.testing.assert_array_equal(volume.data[0], DATA)
        assert volume.notes[0].endswith(f"rename the file so that it ends with {ending}.")


def damaged() -> dict[str, tuple[bytes, str]]:
    content = nib.MGHImage(DATA.astype(np.int16), AFFINE).to_bytes()
    packed = gzip.compress(content)
    return {
        "version.mgh": (struct.pack(">i", 2) + content[4:], "version 2"),
        "type.mgh": (content[:20] + struct.pack(">i", 99) + content[24:], "type 99"),
        "shape.mgh": (content[:4] + struct.pack(">i", -5) + content[8:], "a shape of"),
        "huge.mgz": (gzip.compress(content[:4] + struct.pack(">3i", 9999, 9999, 9999) + content[16:]), "can hold"),
        "nan.mgh": (content[:30] + struct.pack(">f", float("nan")) + content[34:], "not finite"),
        "flat.mgh": (content[:30] + struct.pack(">f", 0.0) + content[34:], "affine"),
        "short.mgh": (content[:500], "bytes fewer"),
        "header.mgh": (content[:200], "fewer than a header has"),
        "cut.mgz": (packed[:-20], "damaged"),
        "checksum.mgz": (packed[:-8] + b"1234" + packed[-4:], "damaged"),
        "text.mgz": (b"not a volume" * 50, "damaged"),
    }


@pytest.mark.parametrize("name", damaged())
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    content, message = damaged()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_stored(tmp_path / name)


@pytest.mark.parametrize("name", ["out.mgz", "out.mgh"])
@pytest.mark.parametrize("most", [1, 300, 40_000, 70_000])
def test_nibabel_reads_what_is_written(tmp_path: Path, name: str, most: int) -> None:
    labels = DATA % 2 * most
    write_label_map(tmp_path / name, labels, AFFINE)
    image = nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(read_label_map(tmp_path / name)[0], labels)
    write_volume(tmp_path / name, Volume(np.stack([DATA, DATA + 1]).astype(np.float32), AFFINE))
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / name).dataobj)[..., 1], DATA + 1)


@pytest.mark.parametrize("good", [True, False])
def test_a_result_has_the_geometry_of_its_scan_bit_by_bit(tmp_path: Path, good: bool) -> None:
    path = save(tmp_path / "a.mgh")
    content = bytearray(path.read_bytes())
    content[29] = good
    path.write_bytes(content)
    affine = read_stored(path).affine
    write_label_map(tmp_path / "out.mgh", DATA, affine, like=path)
    assert (tmp_path / "out.mgh").read_bytes()[28:90] == bytes(content[28:90])
    write_label_map(tmp_path / "other.mgh", DATA, 2 * AFFINE, like=path)
    np.testing.assert_allclose(nib.load(tmp_path / "other.mgh").affine[:3], 2 * AFFINE[:3], atol=1e-4)
