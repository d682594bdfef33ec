"""What one DICOM file says: its elements as text and numbers, by tag, and its size (PS3.6 of the standard)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.core.errors import shortened
from l2s_auto.io.dicom_elements import DataSet
from l2s_auto.io.dicom_header import DicomSize, Elements, read_elements
from l2s_auto.io.gunzip import DamagedFile

IMAGE_TYPE, SOP_CLASS, MODALITY, DESCRIPTION = 0x00080008, 0x00080016, 0x00080060, 0x0008103E
THICKNESS, BETWEEN_SLICES, ECHO_TIME, ECHO_NUMBER = 0x00180050, 0x00180088, 0x00180081, 0x00180086
FRAME_TIME, TRIGGER_TIME, IMAGER_SPACING, NOMINAL_SPACING = 0x00181063, 0x00181060, 0x00181164, 0x00182010
EFFECTIVE_ECHO, B_VALUE, COMPLEX_COMPONENT, FRAME_TYPE = 0x00189082, 0x00189087, 0x00089208, 0x00089007
PATIENT = 0x00100020
SERIES, SERIES_NUMBER, ACQUISITION, INSTANCE = 0x0020000E, 0x00200011, 0x00200012, 0x00200013
POSITION, DIRECTIONS, TEMPORAL_POSITION = 0x00200032, 0x00200037, 0x00200100
STACK, TEMPORAL_INDEX = 0x00209056, 0x00209128
PHOTOMETRIC, INCREMENT, SPACING, STORED_BITS = 0x00280004, 0x00280009, 0x00280030, 0x00280101
HIGH_BIT, IS_SIGNED, INTERCEPT, SLOPE = 0x00280102, 0x00280103, 0x00281052, 0x00281053
ENERGY_WINDOWS, TIME_SLICES, SLICE_VECTOR = 0x00540011, 0x00540101, 0x00540080
REFERENCE_TIME, KERNEL, FRAME_TIMES = 0x00541300, 0x00181210, 0x00181065

SHARED, PER_FRAME = 0x52009229, 0x52009230
PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES = 0x00209113, 0x00209116, 0x00289110
PIXEL_TRANSFORMATION, FRAME_CONTENT, ECHO, DIFFUSION = 0x00289145, 0x00209111, 0x00189114, 0x00189117
MR_FRAME_TYPE, CT_FRAME_TYPE, PET_FRAME_TYPE = 0x00189226, 0x00189329, 0x00189751
DETECTOR, MODALITY_LUT = 0x00540022, 0x00283000

_VALUES = frozenset({
    IMAGE_TYPE, SOP_CLASS, MODALITY, DESCRIPTION, THICKNESS, BETWEEN_SLICES, ECHO_TIME, ECHO_NUMBER, FRAME_TIME,
    TRIGGER_TIME, IMAGER_SPACING, NOMINAL_SPACING, EFFECTIVE_ECHO, B_VALUE, COMPLEX_COMPONENT, FRAME_TYPE, SERIES,
    SERIES_NUMBER, ACQUISITION, INSTANCE, POSITION, DIRECTIONS, TEMPORAL_POSITION, STACK, TEMPORAL_INDEX, PHOTOMETRIC,
    INCREMENT, SPACING, STORED_BITS, HIGH_BIT, IS_SIGNED, INTERCEPT, SLOPE, ENERGY_WINDOWS, TIME_SLICES, SLICE_VECTOR,
    REFERENCE_TIME, KERNEL, FRAME_TIMES, PATIENT,
})  # fmt: skip
_SEQUENCES = frozenset({
    SHARED, PER_FRAME, PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES, PIXEL_TRANSFORMATION, FRAME_CONTENT, ECHO,
    DIFFUSION, MR_FRAME_TYPE, CT_FRAME_TYPE, PET_FRAME_TYPE, DETECTOR, MODALITY_LUT,
})  # fmt: skip


@dataclass(frozen=True)
class DicomFile:
    """A file whose elements all end within it; `size` checks its voxels."""

    path: Path
    elements: Elements

    @property
    def data(self) -> DataSet:
        return self.elements.data

    def size(self) -> DicomSize:
        """As `Elements.size`."""
        return self.elements.size()


def read_file(path: Path) -> DicomFile:
    """What the file says. Raises DamagedFile, EOFError or OSError as `read_elements` does."""
    return DicomFile(path, read_elements(path, values=_VALUES, sequences=_SEQUENCES))


def series_of(path: Path) -> str:
    """The SeriesInstanceUID of a file, without looking at what comes after it; empty where there is none."""
    elements = read_elements(path, values=frozenset({SERIES}), sequences=frozenset(), until=SERIES + 1)
    return elements.data.text(SERIES)


def numbers(data: DataSet, tag: int, *, what: str, count: int | None = None) -> tuple[float, ...]:
    """The decimal numbers of an element; empty where it has no value. DamagedFile for others, or another count.

    what  its name, for the message
    """
    if not (text := data.text(tag)):
        return ()
    try:
        found = tuple(float(word) for word in text.split("\\"))
    except ValueError:
        raise DamagedFile(f"{what} {shortened(text)}, but expected numbers") from None
    if not all(map(math.isfinite, found)) or "_" in text:
        raise DamagedFile(f"{what} {shortened(text)}, but expected numbers")
    if count is not None and len(found) != count:
        raise DamagedFile(f"{what} of {len(found)} numbers, but expected {count}")
    return found


def whole(data: DataSet, tag: int) -> int | None:
    """A binary integer of two or four bytes, without sign; None where there is none."""
    value = data.values.get(tag, b"")
    return int.from_bytes(value, "little" if data.order == "<" else "big") if len(value) in (2, 4) else None


def double(data: DataSet, tag: int) -> float | None:
    """A binary number of eight bytes; None where there is none."""
    value = data.values.get(tag, b"")
    return float(struct.unpack(f"{data.order}d", value)[0]) if len(value) == 8 else None
