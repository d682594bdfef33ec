"""The values of DICOM slices: stored ones are unpacked, then each frame is rescaled by its own slope and intercept.

Voxels that are not compressed are read here. The others are decoded by GDCM, which gets a file that holds them and
their form, and nothing else: what it would do with positions and slopes depends on the kind of the file.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.io import dicom_file as tags
from l2s_auto.io.dicom_elements import RLE
from l2s_auto.io.dicom_file import DicomFile, whole
from l2s_auto.io.dicom_frames import Frame
from l2s_auto.io.dicom_header import read_bytes
from l2s_auto.io.dicom_rle import decode_rle
from l2s_auto.io.gunzip import DamagedFile

#: Secondary capture, which GDCM never rescales.
_CAPTURE = b"1.2.840.10008.5.1.4.1.1.7"


def read_voxels(files: Sequence[DicomFile], frames: Sequence[Frame]) -> np.ndarray:
    """(X, Y, Z) values of the frames, in their order: integers where all slopes and intercepts are, else floats.

    Raises DamagedFile, EOFError, OSError or RuntimeError where they cannot be decoded.
    """
    forms = [_Form.of(file) for file in files]
    dtype = _dtype_of(forms, frames)
    columns, rows = frames[0].size
    values = np.empty((len(frames), rows, columns), dtype=dtype)
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        places.setdefault(frame.file, []).append(place)
    for index, of_file in places.items():
        stored = _stored(files[index], forms[index])
        if is_inverted(files[index]):
            stored = _inverted(stored, forms[index])
        for place in of_file:
            frame = frames[place]
            plane = stored[frame.number]
            values[place] = plane if _is_plain(frame) else _rescaled(plane, frame, dtype)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise DamagedFile("values that are not finite after RescaleSlope and RescaleIntercept")
    return values.T


def is_inverted(file: DicomFile) -> bool:
    """Whether low values are shown bright; they are inverted, as SimpleITK does, so that bright is high."""
    return file.data.text(tags.PHOTOMETRIC) == "MONOCHROME1"


def _inverted(stored: np.ndarray, form: _Form) -> np.ndarray:
    low, high = form.range
    return (low + high - stored.astype(np.int64)).astype(form.dtype)


class _Form:
    """How stored values are packed.

    dtype  of the machine's byte order; bits of the value, up to `high`, of those allocated
    """

    def __init__(self, dtype: np.dtype, bits: int, high: int) -> None:
        self.dtype, self.bits, self.high = dtype, bits, high

    @classmethod
    def of(cls, file: DicomFile) -> _Form:
        allocated = file.size().bits
        signed = whole(file.data, tags.IS_SIGNED) or 0
        bits = whole(file.data, tags.STORED_BITS)
        bits = allocated if bits is None else bits
        high = whole(file.data, tags.HIGH_BIT)
        high = bits - 1 if high is None else high
        if signed > 1 or not 1 <= bits <= allocated or not bits - 1 <= high < allocated:
            raise DamagedFile(
                f"{file.path.name}: BitsStored {bits}, HighBit {high}, PixelRepresentation {signed} in voxels of "
                f"{allocated} bits"
            )
        if allocated not in (1, 8, 16, 32):
            raise DamagedFile(f"{file.path.name}: voxels of {allocated} bits, but expected 8, 16 or 32")
        return cls(np.dtype(f"{'i' if signed else 'u'}{max(1, allocated // 8)}"), bits, high)

    @property
    def range(self) -> tuple[int, int]:
        return (
            (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.dtype.kind == "i" else (0, (1 << self.bits) - 1)
        )


def _is_plain(frame: Frame) -> bool:
    return frame.slope == 1 and frame.intercept == 0


def _dtype_of(forms: Sequence[_Form], frames: Sequence[Frame]) -> np.dtype:
    """The smallest type of what comes out; the stored one where nothing is rescaled."""
    used = {frame.file for frame in frames}
    if all(map(_is_plain, frames)) and len({forms[k].dtype for k in used}) == 1:
        return forms[next(iter(used))].dtype
    if not all(float(number).is_integer() for frame in frames for number in (frame.slope, frame.intercept)):
        return np.dtype(np.float64 if any(forms[k].bits > 16 for k in used) else np.float32)
    ends = [frame.slope * end + frame.intercept for frame in frames for end in forms[frame.file].range]
    kinds = (np.int16, np.int32) if min(ends) < 0 or max(ends) <= 32767 else (np.uint16, np.uint32)
    fitting = (kind for kind in kinds if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max)
    return np.dtype(next(fitting, np.float64))


def _rescaled(plane: np.ndarray, frame: Frame, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return (plane.astype(np.float64) * frame.slope + frame.intercept).astype(dtype)


def _stored(file: DicomFile, form: _Form) -> np.ndarray:
    """(frames, rows, columns) stored values."""
    size, pixels = file.size(), file.elements.pixels
    assert pixels is not None
    shape = (size.frames, size.rows, size.columns)
    content = read_bytes(file.path, pixels)
    if pixels.length < 0:
        return _by_gdcm(file, content, form).reshape(shape)
    if size.bits == 1:
        return np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")[: np.prod(shape)].reshape(shape)
    order = file.data.order
    if order == ">" and size.bits == 8 and pixels.vr == b"OW":  # words of two voxels
        content = np.frombuffer(content[: len(content) // 2 * 2], ">u2").astype("<u2").tobytes()
    stored = np.frombuffer(content, form.dtype.newbyteorder("<" if order == "<" else ">"), count=int(np.prod(shape)))
    return _used_bits(stored.astype(form.dtype, copy=False), form, size.bits).reshape(shape)


def _used_bits(stored: np.ndarray, form: _Form, allocated: int) -> np.ndarray:
    """Values without the bits that belong to overlays, their sign extended."""
    if form.bits == allocated:
        return stored
    left, right = allocated - 1 - form.high, allocated - form.bits
    return (stored << left) >> right  # an arithmetic shift where there is a sign


def _by_gdcm(file: DicomFile, items: bytes, form: _Form) -> np.ndarray:
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    size = file.size()
    expected = size.frames * size.rows * size.columns
    with tempfile.TemporaryDirectory(prefix="l2s-dicom-") as folder:
        path = Path(folder) / "voxels.dcm"
        path.write_bytes(_voxels_alone(file, items))
        try:
            image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
        except RuntimeError as error:
            if file.elements.syntax == RLE:
                try:
                    return decode_rle(items, frames=size.frames, pixels=size.rows * size.columns, dtype=form.dtype)
                except DamagedFile as damage:
                    raise DamagedFile(f"{file.path.name}: {damage}") from None
            raise UserError.single(
                "A file cannot be read.",
                where=str(file.path),
                found=f"damaged voxels, or compressed in a way that GDCM cannot decode ({file.elements.syntax})",
                expected="voxels that GDCM decodes",
                mend="Copy the file again, or save it without compression.",
            ) from error
    array = SimpleITK.GetArrayFromImage(image)
    stored = array.astype(form.dtype, copy=False)
    if array.size != expected or not np.array_equal(stored, array):
        raise DamagedFile(
            f"{file.path.name}: {array.size} voxels of {array.dtype}, but its header says {expected} of {form.dtype}"
        )
    return stored


def _voxels_alone(file: DicomFile, items: bytes) -> bytes:
    """A file with compressed voxels and their form (PS3.5 and PS3.10 of the standard)."""
    size = file.size()
    syntax = file.elements.syntax.encode("ascii", errors="replace")
    form = _Form.of(file)
    described = b"".join(
        (
            _element(0x00020001, b"OB", b"\0\1"),
            _element(0x00020002, b"UI", _CAPTURE),
            _element(0x00020003, b"UI", b"1.2.3"),
            _element(0x00020010, b"UI", syntax),
        )
    )
    return b"".join(
        (
            bytes(128) + b"DICM",
            _element(0x00020000, b"UL", struct.pack("<I", len(described))),
            described,
            _element(0x00080016, b"UI", _CAPTURE),
            _element(0x00080018, b"UI", b"1.2.3"),
            _element(0x00280002, b"US", struct.pack("<H", 1)),
            _element(tags.PHOTOMETRIC, b"CS", b"MONOCHROME2"),
            _element(0x00280008, b"IS", str(size.frames).encode()),
            _element(0x00280010, b"US", struct.pack("<H", size.rows)),
            _element(0x00280011, b"US", struct.pack("<H", size.columns)),
            _element(0x00280100, b"US", struct.pack("<H", size.bits)),
            _element(tags.STORED_BITS, b"US", struct.pack("<H", form.bits)),
            _element(tags.HIGH_BIT, b"US", struct.pack("<H", form.high)),
            _element(tags.IS_SIGNED, b"US", struct.pack("<H", int(form.dtype.kind == "i"))),
            struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + items,
        )
    )


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    return head + (struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))) + value
