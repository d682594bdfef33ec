"""Mutants of scans: NIfTI, MetaImage, NRRD and DICOM, small and damaged in one way or two; `more_scans.py` has more."""

from __future__ import annotations

import contextlib
import gzip
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from fuzzing.dicom_frames import write_frames

SHAPE = (14, 15, 16)


@dataclass(frozen=True)
class Mutant:
    """A scan that was written.

    path     the file, or the folder of a DICOM series
    way      what was done to it
    damaged  whether its voxels are certainly not those that were written, so that a segmentation of it is an error
    """

    path: Path
    way: str
    damaged: bool = False


# --- NIfTI ------------------------------------------------------------------------------------------------------------

#: (offset in the header, struct format) of what decides how a file is read
FIELDS = (
    *((40 + 2 * i, "<h") for i in range(8)),
    (70, "<h"),
    (72, "<h"),
    (123, "<B"),
    *((76 + 4 * i, "<f") for i in range(8)),
    (108, "<f"),
    (112, "<f"),
    (116, "<f"),
    (252, "<h"),
    (254, "<h"),
    *((256 + 4 * i, "<f") for i in range(6)),
    *((280 + 4 * i, "<f") for i in range(12)),
    (344, "<i"),
)
NUMBERS = (0, 1, -1, 2, 3, 5, 7, 16, 127, 255, 352, 1e4, 32767, -32768, 1e-30, 1e30, float("nan"), float("inf"))


def nifti(rng: random.Random, folder: Path, name: str) -> Mutant:
    """A NIfTI file, with or without gzip."""
    path = folder / f"{name}{rng.choice(('.nii', '.nii.gz'))}"
    data = _voxels(rng, rng.choice((np.uint8, np.int16, np.float32, np.float64)))
    affine = np.diag([*(rng.choice((0.5, 1, 3)) for _ in range(3)), 1.0])
    if rng.random() < 0.2:
        affine[:3, :3] += np.random.default_rng(rng.randrange(2**31)).normal(0, rng.choice((0.01, 1)), (3, 3))
    unit, factor = rng.choice((("mm", 1), ("unknown", 1), ("meter", 1e-3), ("micron", 1e3)))
    image = nib.Nifti1Image(data, np.diag([factor] * 3 + [1]) @ affine)
    image.header.set_xyzt_units(unit)
    content = bytearray(image.to_bytes())
    done = [unit]
    for _ in range(rng.choice((1, 1, 2))):
        way = rng.choice(("nothing", "field", "field", "field", "header bytes", "data bytes", "cut", "empty", "more"))
        done.append(way)
        if way == "field":
            offset, form = rng.choice(FIELDS)
            value = rng.choice(NUMBERS)
            with contextlib.suppress(struct.error, ValueError, OverflowError):
                struct.pack_into(form, content, offset, value if form == "<f" else int(value))
        elif way == "header bytes":
            for _ in range(rng.randrange(1, 20)):
                content[rng.randrange(min(352, len(content)))] = rng.randrange(256) if content else 0
        elif way == "data bytes" and len(content) > 400:
            _change(rng, content, 352, rng.randrange(1, 200))
        elif way == "cut":
            del content[rng.randrange(len(content) + 1) :]
        elif way == "empty":
            content.clear()
        elif way == "more":
            content += rng.randbytes(rng.randrange(1, 500))
        if len(content) < 353:
            break
    damaged = False
    if path.suffix == ".gz":
        packed = bytearray(gzip.compress(bytes(content)))
        way = rng.choice(("sound", "sound", "sound", "cut gzip", "changed gzip", "no gzip"))
        done.append(way)
        if way == "cut gzip":
            del packed[rng.randrange(len(packed)) :]
            damaged = True
        elif way == "changed gzip":
            packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
            damaged = not _unpacks(packed, bytes(content), gzip.decompress)
        content = bytearray(content) if way == "no gzip" else packed
    path.write_bytes(content)
    return Mutant(path, f"nifti: {', '.join(done)}", damaged)


def _voxels(rng: random.Random, kind: type) -> np.ndarray:
    shape = tuple(rng.choice((1, 2, 5, 12, 20)) for _ in range(3)) if rng.random() < 0.2 else SHAPE
    data = (np.random.default_rng(rng.randrange(2**31)).random(shape) * 200).astype(kind)
    if np.issubdtype(kind, np.floating) and rng.random() < 0.1:
        data.flat[rng.randrange(data.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e38))
    return data


def _change(rng: random.Random, content: bytearray, start: int, count: int) -> None:
    for _ in range(count):
        content[rng.randrange(start, len(content))] = rng.randrange(256)


def _unpacks(packed: bytes, content: bytes, unpack: Callable[[bytes], bytes]) -> bool:
    try:
        return unpack(bytes(packed)) == content
    except Exception:  # whatever it says, it is damaged
        return False


# --- MetaImage and NRRD: a header of text, then voxels ----------------------------------------------------------------

TEXTS = (
    "", "0", "1", "-1", "3", "65536", "4294967296", "-2147483648", "9" * 40, "1e400", "nan", "inf", "x", "3 3", "3 3 3",
    "1 1 1 1 1 1 1 1 1", "0 0 0", "-5 5 5", "100000 100000 100000", "2 " * 600, "A" * 1000, "A" * 70_000, "True",
    "False",
    "LOCAL", "LIST", "../../etc/passwd", "/etc/passwd", "file%03d.raw 1 9 1", "http://127.0.0.1/x", "raw", "gzip",
    "bzip2",
    "hex", "ascii", "MET_FLOAT", "MET_UCHAR", "MET_FLOAT_ARRAY", "double", "block", "unsigned char", "none",
    "(1,0,0) (0,1,0)",
    "(nan,0,0) (0,1,0) (0,0,1)", "(1,0,0) (1,0,0) (1,0,0)", "left-posterior-superior", "scanner-xyz-time", "space",
    "\x00\x01\x02", "\x1b[2J", "%s%n%s%n", "é" * 30, "=", ":", ":=", "#",
)  # fmt: skip


def metaimage(rng: random.Random, folder: Path, name: str) -> Mutant:
    """An .mha file, or an .mhd with its .raw beside it."""
    detached = rng.random() < 0.2
    kind, met = rng.choice(((np.uint8, "MET_UCHAR"), (np.int16, "MET_SHORT"), (np.float32, "MET_FLOAT")))
    data = _voxels(rng, kind)
    compressed = rng.random() < 0.5
    voxels = data.tobytes(order="F")
    packed = zlib.compress(voxels) if compressed else voxels
    fields = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(compressed), "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "3 -4 5",
        "CenterOfRotation": "0 0 0", "AnatomicalOrientation": "RAI", "ElementSpacing": "1 1.5 2",
        "DimSize": " ".join(map(str, data.shape)), "ElementType": met,
        "ElementDataFile": (f"{name}.zraw" if compressed else f"{name}.raw") if detached else "LOCAL",
    }  # fmt: skip
    if rng.random() < 0.3:
        fields["DistanceUnits"] = rng.choice(("mm", "um", "cm", "m"))
        fields["ElementDataFile"] = fields.pop("ElementDataFile")
    if compressed:
        fields["CompressedDataSize"] = str(len(packed))
        fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last line
    lines = [f"{key} = {value}" for key, value in fields.items()]
    header, body, way, damaged = _text_mutant(rng, lines, packed, separator=" = ", compressed=compressed)
    if compressed and damaged is None:
        damaged = not _unpacks(body, voxels, zlib.decompress)
    path = folder / f"{name}{'.mhd' if detached else '.mha'}"
    if detached:
        (folder / f"{name}{'.zraw' if compressed else '.raw'}").write_bytes(body)
        path.write_bytes(header)
    else:
        path.write_bytes(header + body)
    return Mutant(path, f"metaimage: {way}", bool(damaged))


def nrrd(rng: random.Random, folder: Path, name: str) -> Mutant:
    """An .nrrd file, or an .nhdr with its voxels beside it."""
    detached = rng.random() < 0.2
    kind, change = rng.choice(((np.uint8, "uchar"), (np.int16, "short"), (np.float32, "float")))
    data = _voxels(rng, kind)
    compressed = rng.random() < 0.5
    voxels = data.tobytes(order="F")
    packed = gzip.compress(voxels) if compressed else voxels
    lines = [
        "NRRD0004", f"type: {change}", "dimension: 3", "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, data.shape))}", "space directions: (1,0,0) (0,1.5,0) (0,0,2)",
        "kinds: domain domain domain",
        "endian: little", f"encoding: {'gzip' if compressed else 'raw'}", "space origin: (3,-4,5)",
    ]  # fmt: skip
    if rng.random() < 0.3:
        lines.append(" ".join(["space units:", *[f'"{rng.choice(("mm", "um", "cm", "m", "millimeter"))}"'] * 3]))
    beside = f"{name}.raw.gz" if compressed else f"{name}.raw"
    lines += [f"data file: {beside}"] if detached else [""]
    header, body, way, damaged = _text_mutant(rng, lines, packed, separator=": ", compressed=compressed)
    if compressed and damaged is None:
        damaged = not _unpacks(body, voxels, gzip.decompress)
    path = folder / f"{name}.{'nhdr' if detached else 'nrrd'}"
    if detached:
        (folder / beside).write_bytes(body)
    path.write_bytes(header if detached else header + body)
    return Mutant(path, f"nrrd: {way}", bool(damaged))


def _text_mutant(
    rng: random.Random, lines: list[str], packed: bytes, *, separator: str, compressed: bool
) -> tuple[bytes, bytes, str, bool | None]:
    """Header, voxels, what was done, and whether the voxels are damaged (None: to be found out)."""
    body, done, damaged = bytearray(packed), [], False
    raw_header: Callable[[bytearray], None] = lambda header: None  # noqa: E731
    for _ in range(rng.choice((1, 1, 2))):
        way = rng.choice(
            ("nothing", "value", "value", "value", "value", "key", "drop", "double", "swap", "add", "header bytes",
             "data bytes", "data bytes", "zeros", "cut", "cut", "more", "empty")
        )  # fmt: skip
        done.append(way)
        number = rng.randrange(len(lines))
        key, _, value = lines[number].partition(separator)
        if way == "value":
            text = rng.choice(TEXTS)
            lines[number] = f"{key}{separator}{text}"
            done[-1] += f" {key} {text[:20]!r}"
        elif way == "key":
            lines[number] = f"{rng.choice((key.upper(), key[:-1], 'X' * 300, ''))}{separator}{value}"
        elif way == "drop":
            del lines[number]
        elif way == "double":
            lines.insert(number, lines[number])
        elif way == "swap":
            other = rng.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
        elif way == "add":
            lines.insert(number, f"{rng.choice(('Comment', 'a key', 'X' * 2000))}{separator}{rng.choice(TEXTS)}")
        elif way == "header bytes":
            places = [(rng.random(), rng.randrange(256)) for _ in range(rng.randrange(1, 12))]

            def raw_header(header: bytearray, places: list = places) -> None:
                for place, byte in places:
                    header[int(place * len(header))] = byte

        elif way == "data bytes":
            _change(rng, body, 0, rng.randrange(1, 60))
            damaged = damaged or body != packed
        elif way == "zeros":
            start = rng.randrange(len(body))
            body[start : start + 64] = bytes(len(body[start : start + 64]))
            damaged = damaged or body != packed
        elif way == "cut":
            del body[rng.randrange(len(body)) :]
            damaged = True
        elif way == "more":
            body += rng.randbytes(rng.randrange(1, 500))
            damaged = True
        elif way == "empty":
            body.clear()
            damaged = True
        if len(lines) < 2 or not body:
            break
    header = bytearray(("\n".join(lines) + "\n").encode("utf-8", errors="replace"))
    raw_header(header)
    sizes_differ = len(body) != len(packed)
    # Voxels that are not compressed have no checksum: other bytes are another image.
    known = damaged if sizes_differ else (None if damaged and compressed else False)
    return bytes(header), bytes(body), ", ".join(done), known


# --- DICOM ------------------------------------------------------------------------------------------------------------


def dicom(rng: random.Random, folder: Path, name: str) -> Mutant:
    """A folder with a series of axial slices, one of them damaged."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    place = folder / name
    place.mkdir()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    data = np.random.default_rng(rng.randrange(2**31)).integers(0, 200, (5, 14, 15)).astype(np.uint16)
    victim = rng.randrange(len(data))
    way = rng.choice(("nothing", "tag", "tag", "tag", "tag", "drop", "bytes", "bytes", "cut", "cut", "swap", "pixels"))
    change, damaged = way, False
    for number, plane in enumerate(data):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset(str(place / f"{number}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        slice_.Modality, slice_.PatientID, slice_.PatientName = "MR", "x", "x"
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = study, series, frame
        slice_.SeriesNumber, slice_.InstanceNumber = 1, number + 1
        slice_.ImagePositionPatient = [3.0, -4.0, 2.5 * number]
        slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        slice_.PixelSpacing, slice_.SliceThickness = [1.5, 1.0], 2.5
        slice_.Rows, slice_.Columns = plane.shape
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.PixelData = plane.tobytes()
        if number == victim and way == "tag":
            change = _change_tag(rng, slice_)
        elif number == victim and way == "drop":
            key = rng.choice([element.keyword for element in slice_])
            delattr(slice_, key)
            change += f" {key}"
        elif number == victim and way == "pixels":
            slice_.PixelData = slice_.PixelData[: 2 * rng.randrange(len(plane.tobytes()) // 2)]
            damaged = True
        with contextlib.suppress(Exception):  # pydicom refuses to write some of them
            pydicom.dcmwrite(place / f"{number}.dcm", slice_, enforce_file_format=False)
    path = place / f"{victim}.dcm"
    content = bytearray(path.read_bytes()) if path.exists() else bytearray()
    if way == "bytes" and content:
        _change(rng, content, 0, rng.randrange(1, 40))
    elif way == "cut" and content:
        del content[rng.randrange(len(content)) :]
        damaged = True
    elif way == "swap" and len(content) > 200:
        start = rng.randrange(132, len(content) - 50)
        content[start : start + 20], content[start + 20 : start + 40] = (
            content[start + 20 : start + 40],
            content[start : start + 20],
        )
    path.write_bytes(content)
    return Mutant(place, f"dicom: {change}", damaged)


def frames(rng: random.Random, folder: Path, name: str) -> Mutant:
    """One DICOM file of many frames, in a folder of its own: files of a folder of scans are not looked for."""
    place = folder / name
    place.mkdir()
    way, damaged = write_frames(rng, place / "frames.dcm")
    return Mutant(place, f"frames: {way}", damaged)


def _change_tag(rng: random.Random, slice_: object) -> str:
    values = {
        "Rows": (0, 1, 65535), "Columns": (0, 1, 65535), "BitsAllocated": (0, 1, 8, 12, 32, 64), "BitsStored": (0, 33),
        "SamplesPerPixel": (0, 3, 65535), "PixelRepresentation": (1, 7), "PhotometricInterpretation": ("RGB",
        "PALETTE COLOR", ""),
        "ImagePositionPatient": ([1e30, 0, 0], [0, 0, 0], [0, 0, 100.0]), "PixelSpacing": ([0, 0], [1e-9, 1], [-1, 1]),
        "ImageOrientationPatient": ([0] * 6, [1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0]), "NumberOfFrames": (0, 2,
        999999999),
        "SeriesInstanceUID": ("1.2.3", "", "9" * 64), "SliceThickness": (0, 1e30), "RescaleSlope": ("1e30", "0"),
    }  # fmt: skip
    key = rng.choice(list(values))
    value = rng.choice(values[key])
    setattr(slice_, key, value)
    return f"tag {key} {value!r}"


KINDS: dict[str, Callable[[random.Random, Path, str], Mutant]] = {
    "nifti": nifti,
    "metaimage": metaimage,
    "nrrd": nrrd,
    "dicom": dicom,
    "frames": frames,
}
