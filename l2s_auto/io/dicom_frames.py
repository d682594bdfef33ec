"""The frames of DICOM files: where each lies, and what makes its values (PS3.3 of the standard, C.7.6.2 and C.7.6.16).

What a frame says of itself counts first, then what its file says of all frames, then the file's top level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from l2s_auto.io import dicom_file as tags
from l2s_auto.io.dicom_elements import DataSet
from l2s_auto.io.dicom_file import DicomFile, double, numbers, whole
from l2s_auto.io.gunzip import DamagedFile

#: Of one file, far above what is met.
MAX_FRAMES = 65_536
#: What tells frames at one place apart: (name, sequence of the functional group or None, tag, form of its value).
_TRAITS = (
    ("StackID", tags.FRAME_CONTENT, tags.STACK, "text"),
    ("TemporalPositionIndex", tags.FRAME_CONTENT, tags.TEMPORAL_INDEX, "whole"),
    ("TemporalPositionIdentifier", None, tags.TEMPORAL_POSITION, "text"),
    ("EffectiveEchoTime", tags.ECHO, tags.EFFECTIVE_ECHO, "double"),
    ("EchoNumbers", None, tags.ECHO_NUMBER, "text"),
    ("EchoTime", None, tags.ECHO_TIME, "text"),
    ("DiffusionBValue", tags.DIFFUSION, tags.B_VALUE, "double"),
    ("ComplexImageComponent", tags.MR_FRAME_TYPE, tags.COMPLEX_COMPONENT, "text"),
    ("FrameType", tags.MR_FRAME_TYPE, tags.FRAME_TYPE, "text"),
    ("FrameType", tags.CT_FRAME_TYPE, tags.FRAME_TYPE, "text"),
    ("FrameType", tags.PET_FRAME_TYPE, tags.FRAME_TYPE, "text"),
    ("ImageType", None, tags.IMAGE_TYPE, "text"),
    ("TriggerTime", None, tags.TRIGGER_TIME, "text"),
    ("FrameReferenceTime", None, tags.REFERENCE_TIME, "text"),
    ("ConvolutionKernel", None, tags.KERNEL, "text"),
    ("AcquisitionNumber", None, tags.ACQUISITION, "text"),
)


@dataclass(frozen=True)
class Frame:
    """One slice.

    name       how messages call it: the file's name, or the number of the frame
    file       number of its file
    number     of the frame in its file, from 0 on
    size       columns and rows
    position   of its first voxel in LPS mm; None: its file gives none, or one for all frames
    directions of its rows and its columns in LPS; None: its file gives none
    spacing    mm between rows and between columns; None: its file gives none
    spacing_from  the name of the element with the spacing
    between    SpacingBetweenSlices in mm, with its sign; thickness: SliceThickness
    slope, intercept  stored value -> value
    traits     name -> value of what tells frames at one place apart
    """

    name: str
    file: int
    number: int
    size: tuple[int, int]
    position: tuple[float, ...] | None
    directions: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    spacing_from: str
    between: float | None
    thickness: float | None
    slope: float
    intercept: float
    traits: dict[str, str]


def frames_of(file: DicomFile, *, index: int, name: str) -> list[Frame]:
    """The frames of a file, in its order. DamagedFile where what they say is no number, or of another count.

    index  the number of the file; name: how messages call it, empty for a file that is read alone
    """
    size = file.size()
    if size.frames > MAX_FRAMES:
        raise DamagedFile(f"{size.frames} frames, but expected at most {MAX_FRAMES}")
    groups = _Groups(file.data, size.frames)
    single = size.frames == 1
    frames: list[Frame] = []
    for number in range(size.frames):
        if frames and not groups.has_own:
            frames.append(replace(frames[0], number=number, name=_name(name, number, size.frames)))
            continue
        frame = groups.of(number)
        spacing, spacing_from = _spacing(frame)
        position = frame.numbers(tags.PLANE_POSITION, tags.POSITION, "a position", 3, top=single)
        if not position and single:
            position = frame.numbers(tags.DETECTOR, tags.POSITION, "a position", 3)
        frames.append(
            Frame(
                name=_name(name, number, size.frames),
                file=index,
                number=number,
                size=(size.columns, size.rows),
                position=position or None,
                directions=frame.numbers(tags.PLANE_ORIENTATION, tags.DIRECTIONS, "directions", 6)
                or frame.numbers(tags.DETECTOR, tags.DIRECTIONS, "directions", 6)
                or None,
                spacing=spacing,
                spacing_from=spacing_from,
                between=frame.length(tags.BETWEEN_SLICES),
                thickness=frame.length(tags.THICKNESS),
                slope=frame.number(tags.PIXEL_TRANSFORMATION, tags.SLOPE, "RescaleSlope", otherwise=1.0) or 0.0,
                intercept=frame.number(tags.PIXEL_TRANSFORMATION, tags.INTERCEPT, "RescaleIntercept") or 0.0,
                traits=frame.traits(),
            )
        )
    return frames


def shared_position(file: DicomFile) -> tuple[float, ...] | None:
    """The one position that a file gives for all its frames; None where there is none."""
    first = _Groups(file.data, file.size().frames).of(0)
    return (
        first.numbers(tags.PLANE_POSITION, tags.POSITION, "a position", 3)
        or first.numbers(tags.DETECTOR, tags.POSITION, "a position", 3)
        or None
    )


def _name(file: str, number: int, frames: int) -> str:
    if frames == 1 and file:
        return file
    return f"{file} frame {number + 1}" if file else f"frame {number + 1}"


def _spacing(frame: _FrameData) -> tuple[tuple[float, ...] | None, str]:
    for name, tag in (
        ("PixelSpacing", tags.SPACING),
        ("ImagerPixelSpacing", tags.IMAGER_SPACING),
        ("NominalScannedPixelSpacing", tags.NOMINAL_SPACING),
    ):
        if found := frame.numbers(tags.PIXEL_MEASURES, tag, "a pixel spacing", 2):
            if not min(found) > 0:
                raise DamagedFile(f"a pixel spacing of {found[0]:g} and {found[1]:g} mm")
            return found, name
    return None, ""


class _Groups:
    """The functional groups of a file; none, in most files of one frame."""

    def __init__(self, data: DataSet, frames: int) -> None:
        self._data, self._own = data, data.items(tags.PER_FRAME)
        self._shared = data.items(tags.SHARED)[:1]
        if self._own and len(self._own) != frames:
            raise DamagedFile(f"functional groups of {len(self._own)} frames, but its header says {frames}")

    @property
    def has_own(self) -> bool:
        """Whether frames say something of themselves."""
        return bool(self._own)

    def of(self, number: int) -> _FrameData:
        return _FrameData(self._own[number : number + 1], self._shared, self._data)


@dataclass(frozen=True)
class _FrameData:
    """Where to look for what a frame says: its own group, the shared one, the top level."""

    own: Sequence[DataSet]
    shared: Sequence[DataSet]
    data: DataSet

    def _places(self, sequence: int | None, *, top: bool = True) -> list[DataSet]:
        groups = [*self.own, *self.shared]
        found = [item for group in groups for item in group.items(sequence)[:1]] if sequence is not None else []
        if sequence == tags.DETECTOR:  # of nuclear medicine, which has no functional groups
            return found + self.data.items(sequence)[:1]
        return [*found, self.data] if top else [item for group in self.own for item in group.items(sequence or 0)[:1]]

    def numbers(self, sequence: int, tag: int, what: str, count: int, *, top: bool = True) -> tuple[float, ...]:
        """Empty where no place has any; `top`: whether to look further than the frame's own group."""
        found = (numbers(place, tag, what=what, count=count) for place in self._places(sequence, top=top))
        return next((one for one in found if one), ())

    def number(self, sequence: int, tag: int, what: str, *, otherwise: float | None = None) -> float | None:
        found = self.numbers(sequence, tag, what, 1)
        return found[0] if found else otherwise

    def length(self, tag: int) -> float | None:
        """A distance that most volumes do without, in mm and not 0; None also where it is no number."""
        try:
            return self.number(tags.PIXEL_MEASURES, tag, "a distance") or None
        except DamagedFile:
            return None

    def traits(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, sequence, tag, form in _TRAITS:
            for place in self._places(sequence):
                if value := _shown(place, tag, form):
                    found.setdefault(name, value)
                    break
        return found


def _shown(place: DataSet, tag: int, form: str) -> str:
    if form == "text":
        return place.text(tag)
    value = whole(place, tag) if form == "whole" else double(place, tag)
    return "" if value is None else f"{value:g}"
