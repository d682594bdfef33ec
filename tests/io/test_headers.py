"""MetaImage and NRRD: what is read is what SimpleITK reads, and what is refused never reaches it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.io.content import hash_of
from l2s_auto.io.volumes import files_of, read_header, read_label_map, read_stored, read_volume

COUNT = np.arange(24, dtype="<i2")


def mha(
    *lines: str, axes: int = 3, size: str = "2 3 4", kind: str = "MET_SHORT", data: bytes = COUNT.tobytes()
) -> bytes:
    header = ["ObjectType = Image", f"NDims = {axes}", f"DimSize = {size}", *lines]
    return "\n".join([*header, f"ElementType = {kind}", "ElementDataFile = LOCAL\n"]).encode("latin-1") + data


def nrrd(
    *lines: str, axes: int = 3, sizes: str = "2 3 4", data: bytes = COUNT.tobytes(), encoding: str = "raw"
) -> bytes:
    header = ["NRRD0004", "type: short", f"dimension: {axes}", f"sizes: {sizes}", "endian: little"]
    return "\n".join([*header, f"encoding: {encoding}", *lines, "\n"]).encode("latin-1") + data


SPACE = ("space directions: (1,0.1,0) (0,2,0) (0,0,3)", "space origin: (5,6,7)")
TWICE = np.tile(COUNT, 2).tobytes()
GOOD = {
    "plain.mha": mha(),
    "spacing.mha": mha("ElementSpacing = 1 2 3", "Offset = 4 5 6", "HeaderSize = 0"),
    "size.mha": mha("ElementSize = 1 2 3", "Position = 4 5 6"),
    "negative.mha": mha("ElementSpacing = -1 2 3"),
    "turned.mha": mha("TransformMatrix = 0 1 0 -1 0 0 0.1 0 1", "ElementSpacing = 1 2 3"),
    "rotation.mha": mha("Rotation = 0 1 0 -1 0 0 0 0 1", "Origin = 1 2 3"),
    "big.mha": mha("BinaryDataByteOrderMSB = True"),
    "channels.mha": mha("ElementNumberOfChannels = 2", data=TWICE),
    "slices.mha": mha(axes=2, size="6 4"),
    "series.mha": mha("ElementSpacing = 1 2 3 4", axes=4, size="2 3 4 2", data=TWICE),
    "colon.mha": mha().replace(b" = ", b": "),
    "windows.mha": mha("Comment = é and " + "x" * 100).replace(b"\n", b"\r\n", 6),
    "packed.mha": mha("CompressedData = True", f"CompressedDataSize = {len(zlib.compress(COUNT.tobytes()))}",
                      data=zlib.compress(COUNT.tobytes())),
    "long.mha": mha(kind="MET_LONG", data=COUNT.astype("<i4").tobytes()),
    "plain.nrrd": nrrd(),
    "spacings.nrrd": nrrd("spacings: 1 -2 3", "key:=" + "v" * 5000, "# " + "c" * 5000),
    "mins.nrrd": nrrd("spacings: 1 2 3", "axis mins: 5 6 7"),
    "nodes.nrrd": nrrd("spacings: 1 2 3", "axis mins: 5 6 7", "centerings: node node node"),
    "ras.nrrd": nrrd("space: right-anterior-superior", *SPACE),
    "las.nrrd": nrrd("space: LAS", *SPACE),
    "lps.nrrd": nrrd("space: left-posterior-superior", *SPACE, "measurement frame: (1,0,0) (0,1,0) (0,0,1)"),
    "scanner.nrrd": nrrd("space dimension: 3", *SPACE),
    "first.nrrd": nrrd("space: LPS", "space directions: none (1,0,0) (0,2,0) (0,0,3)",
                       "kinds: vector domain domain domain", axes=4, sizes="2 2 3 4", data=TWICE),
    "last.nrrd": nrrd("kinds: domain domain domain list", axes=4, sizes="2 3 4 2", data=TWICE),
    "between.nrrd": nrrd("kinds: domain list domain domain", axes=4, sizes="2 3 2 2"),
    "series.nrrd": nrrd("spacings: 1 2 3 4", axes=4, sizes="2 3 4 2", data=TWICE),
    "slices.nrrd": nrrd("spacings: 1 2", axes=2, sizes="6 4"),
    "packed.nrrd": nrrd(encoding="gzip", data=gzip.compress(COUNT.tobytes())),
    "skip.nrrd": nrrd("byte skip: 4", data=b"1234" + COUNT.tobytes()),
    "end.nrrd": nrrd("byte skip: -1", data=b"1234" + COUNT.tobytes()),
    "lines.nrrd": nrrd("line skip: 2", data=b"a\nb\n" + COUNT.tobytes()),
    "packedskip.nrrd": nrrd("byte skip: 4", encoding="gzip", data=gzip.compress(b"1234" + COUNT.tobytes())),
    "text.nrrd": nrrd(encoding="ascii", data=" ".join(map(str, COUNT)).encode()),
}  # fmt: skip


def by_simple_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    array = (array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., np.newaxis]).T
    array = array[..., np.newaxis] if array.ndim == 3 else array
    if array.ndim == 5:
        array = np.moveaxis(array, -1, 1).reshape((-1, *array.shape[1:4]))
    n = min(image.GetDimension(), 3)
    lps = np.eye(4)
    for axis in range(n):
        index = [int(axis == other) for other in range(image.GetDimension())]
        lps[:n, axis] = np.subtract(image.TransformIndexToPhysicalPoint(index), image.GetOrigin())[:n]
    lps[:n, 3] = image.GetOrigin()[:n]
    return array, np.diag([-1.0, -1, 1, 1]) @ lps


@pytest.mark.parametrize("name", GOOD)
def test_what_is_read_is_what_simple_itk_reads(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[name])
    expected, affine = by_simple_itk(path)
    volume = read_stored(path)
    np.testing.assert_array_equal(volume.data, expected)
    assert volume.data.dtype.isnative and volume.data.dtype.kind == "i"
    np.testing.assert_allclose(volume.affine, affine, atol=1e-9)
    shape, channels, of_header = read_header(path)
    assert shape == expected.shape[1:] and channels == len(expected)
    np.testing.assert_array_equal(of_header, volume.affine)


BAD = {
    "NDims": (mha(axes=65536), "NDims"),
    "no NDims": (mha().replace(b"NDims", b"ndims"), "without the field NDims"),
    "zero": (mha(size="2 0 4"), "DimSize"),
    "huge": (mha(size="32767 32767 32767"), "fewer than the 70362301923326"),
    "overflow": (mha(size="9" * 400 + " 3 4"), "DimSize"),
    "surplus": (mha("ElementSpacing = 1 2 3 4"), "ElementSpacing"),
    "nan": (mha("ElementSpacing = 1 nan 3"), "not finite"),
    "infinite": (mha("Offset = 1e308 2 3"), "not finite"),
    "flat": (mha("ElementSpacing = 1 0 3"), "affine"),
    "twice": (mha("DimSize = 4 3 2"), "the field DimSize twice"),
    "two origins": (mha("Offset = 1 2 3", "Position = 1 2 3"), "of which one is expected"),
    "type": (mha(kind="MET_NONE"), "ElementType"),
    "text": (mha("BinaryData = False"), "voxels as text"),
    "bool": (mha("CompressedData = maybe"), "CompressedData"),
    "object": (mha().replace(b"= Image", b"= Mesh"), "ObjectType"),
    "line": (mha("nonsense"), "expected NAME = VALUE"),
    "line too long": (mha("Comment = " + "x" * 300_000), "too long"),
    "too many lines": (mha(*["a = b"] * 60_000), "lines"),
    "no end": (b"ObjectType = Image\n", "does not end"),
    "list": (mha().replace(b"LOCAL", b"LIST"), "voxels in several files (LIST)"),
    "pattern": (mha().replace(b"LOCAL", b"a%03d.raw 1 3 1"), "voxels in several files (a%03d.raw)"),
    "elsewhere": (mha().replace(b"LOCAL", b"../../etc/passwd"), "the name of another file in the same folder"),
    "absolute": (mha().replace(b"LOCAL", b"/etc/passwd"), "the name of another file in the same folder"),
    "itself": (mha().replace(b"LOCAL", b"itself.mha"), "the name of another file in the same folder"),
    "shorter": (mha()[:-1], "1 bytes fewer"),
    "longer": (mha() + b"x", "1 bytes more"),
    "packed size": (mha("CompressedData = True", "CompressedDataSize = 7"), "the header says 7"),
    "packed huge": (mha("CompressedData = True", size="9999 9999 9999", data=zlib.compress(bytes(9999))), "can hold"),
    "skip": (mha("HeaderSize = 5"), "HeaderSize"),
}
BAD_NRRD = {
    "magic": (b"NRRD0099\n\n", "expected NRRD0004"),
    "dimension": (nrrd(axes=65536), "dimension"),
    "sizes": (nrrd(sizes="2 3"), "sizes"),
    "huge": (nrrd(sizes="32767 32767 32767"), "fewer than the 70362301923326"),
    "unknown": (nrrd("nonsense: 1"), "unknown field"),
    "line": (nrrd("nonsense"), "expected FIELD: VALUE"),
    "twice": (nrrd("sizes: 4 3 2"), "the field sizes twice"),
    "encoding": (nrrd(encoding="bzip2"), "encoding"),
    "no endian": (nrrd().replace(b"endian: little\n", b""), "without the field endian"),
    "type": (nrrd().replace(b"short", b"block"), "type"),
    "no end": (nrrd().partition(b"\n\n")[0] + b"\n", "does not end with an empty line"),
    "nan": (nrrd("spacings: 1 nan 3"), "not finite"),
    "space": (nrrd("space: somewhere", *SPACE), "space"),
    "no space": (nrrd(*SPACE), "before the space"),
    "vectors": (nrrd("space: RAS", "space directions: (1,0,0) (0,2,0)"), "3 vectors"),
    "vector": (nrrd("space: RAS", "space directions: (1,0) (0,2,0) (0,0,3)"), "3 number"),
    "both": (nrrd("space: RAS", *SPACE, "spacings: 1 2 3"), "spacings in a space"),
    "kinds": (nrrd("kinds: complex domain domain"), "axis of kind 'complex'"),
    "elsewhere": (nrrd("data file: ../x.raw"), "the name of another file in the same folder"),
    "line skip": (nrrd("line skip: 4000000000"), "line skip"),
    "shorter": (nrrd()[:-1], "1 bytes fewer"),
    "longer": (nrrd() + b"\0", "1 bytes more"),
    "few numbers": (nrrd(encoding="ascii", data=b"1 2 3   " * 7), "21 numbers"),
    "many numbers": (nrrd(encoding="ascii", data=b"1 2 3 " * 9), "more numbers"),
    "words": (nrrd(encoding="ascii", data=b"1 2 x " * 8), "'x', but expected a number"),
    "underscore": (nrrd(encoding="ascii", data=b"1 2 1_0 " * 8), "'1_0', but expected a number"),
    "endless word": (nrrd(encoding="ascii", data=b"7" * 2_000_000), "but expected a number"),
    "long word": (nrrd(encoding="ascii", data=b"7" * 1000 + b" 1" * 23), "but expected a number"),
}


@pytest.mark.parametrize(
    ("suffix", "name"), [*((".mha", name) for name in BAD), *((".nrrd", name) for name in BAD_NRRD)]
)
def test_what_is_refused(tmp_path: Path, suffix: str, name: str) -> None:
    content, message = (BAD if suffix == ".mha" else BAD_NRRD)[name]
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(content)
    for read in (read_volume, read_label_map):
        with pytest.raises(UserError) as caught:
            read(path)
        assert message in str(caught.value) and len(str(caught.value)) < 1200


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_damaged_bytes_of_compressed_voxels_are_found(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (8, 9, 10)).astype(np.int16))
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path), useCompression=True)
    whole = path.read_bytes()
    assert read_stored(path).data.shape == (1, 10, 9, 8)
    start = whole.index(b"LOCAL\n" if suffix == ".mha" else b"\n\n") + 12  # behind the stream's own header
    damaged = [whole[:k] for k in range(start, len(whole), 97)] + [whole + b"x", whole + bytes(9) + b"x"]
    for k in range(start, len(whole), 53):
        damaged.append(whole[:k] + bytes([whole[k] ^ 0x10]) + whole[k + 1 :])
        damaged.append(whole[:k] + (bytes(20) if whole[k : k + 20].strip(b"\0") else b"\1" * 20) + whole[k + 20 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            read_volume(path)


def test_a_pair_of_files(tmp_path: Path) -> None:
    path, data = tmp_path / "a.mhd", tmp_path / "voxels.raw"
    path.write_bytes(mha(data=b"").replace(b"LOCAL", b"voxels.raw"))
    with pytest.raises(UserError, match=r"no such file in the same folder: .*voxels\.raw"):
        read_volume(path)
    data.write_bytes(COUNT.tobytes())
    np.testing.assert_array_equal(read_stored(path).data.ravel(order="F"), COUNT)
    assert files_of(path) == [path, data]
    before = hash_of(path)
    data.write_bytes(COUNT[::-1].tobytes())
    assert hash_of(path) != before, "the voxels count, not the header alone"
    data.write_bytes(COUNT.tobytes() + b"x")
    with pytest.raises(UserError, match="1 bytes more"):
        read_header(path)
    path.write_bytes(mha("HeaderSize = 4", data=b"").replace(b"LOCAL", b"voxels.raw"))
    data.write_bytes(b"head" + COUNT.tobytes())
    np.testing.assert_array_equal(read_stored(path).data, by_simple_itk(path)[0])
    path.write_bytes(mha("HeaderSize = -1", data=b"").replace(b"LOCAL", b"voxels.raw"))
    np.testing.assert_array_equal(read_stored(path).data, by_simple_itk(path)[0])
    data.write_bytes(b"short")
    with pytest.raises(UserError, match="fewer than the 48 bytes"):
        read_volume(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", ["voxels.raw", "./voxels.raw"])
def test_a_header_may_end_without_a_new_line_and_name_the_folder_that_it_is_in(
    tmp_path: Path, name: str, end: str
) -> None:
    path = tmp_path / "a.mhd"
    path.write_bytes(mha(data=b"").replace(b"LOCAL\n", f"{name}{end}".encode()))
    (tmp_path / "voxels.raw").write_bytes(COUNT.tobytes())
    np.testing.assert_array_equal(read_stored(path).data, by_simple_itk(path)[0])
    (tmp_path / "a.nrrd").write_bytes(nrrd(f"data file: {name}", data=b""))
    np.testing.assert_array_equal(read_stored(tmp_path / "a.nrrd").data.ravel(order="F"), COUNT)


def test_a_long_line_that_would_crash_the_library_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes(mha("Comment = " + "x" * 100_000))
    (tmp_path / "a.nrrd").write_bytes(nrrd("content: " + "x" * 100_000))
    for name in ("a.mha", "a.nrrd"):
        np.testing.assert_array_equal(read_stored(tmp_path / name).data.ravel(order="F"), COUNT)
