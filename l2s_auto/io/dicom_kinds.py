"""What kind of object a DICOM file is, and which kinds are no scans (SOP classes: PS3.4 of the standard, annex B)."""

from __future__ import annotations

from l2s_auto.io import dicom_file as tags
from l2s_auto.io.dicom_file import DicomFile, whole

_STORAGE = "1.2.840.10008.5.1.4.1.1."
#: Start of a SOP class -> what it is; none of these is ever a scan. The longest start counts.
_OTHERS = {
    "1.2.840.10008.1.3.10": "a DICOMDIR",
    _STORAGE + "4.2": "an MR spectrum",
    _STORAGE + "9": "a waveform or a recording",
    _STORAGE + "11": "a presentation state",
    _STORAGE + "30": "a parametric map",
    _STORAGE + "66": "raw data",
    _STORAGE + "66.1": "a spatial registration",
    _STORAGE + "66.2": "spatial fiducials",
    _STORAGE + "66.3": "a deformable registration",
    _STORAGE + "66.4": "a DICOM segmentation (SEG)",
    _STORAGE + "66.5": "a surface segmentation",
    _STORAGE + "66.6": "fibre tracks",
    _STORAGE + "66.7": "a DICOM segmentation (SEG)",
    _STORAGE + "67": "a real world value mapping",
    _STORAGE + "77.1.6": "a tiled slide of microscopy",
    _STORAGE + "88": "a structured report (SR) or key object selection",
    _STORAGE + "104": "an encapsulated document (PDF, CDA or a mesh)",
    _STORAGE + "481.2": "a radiotherapy dose (RTDOSE)",
    _STORAGE + "481.3": "a radiotherapy structure set (RTSTRUCT)",
    _STORAGE + "481.4": "a radiotherapy treatment record",
    _STORAGE + "481.5": "a radiotherapy plan (RTPLAN)",
    _STORAGE + "481.6": "a radiotherapy treatment record",
    _STORAGE + "481.7": "a radiotherapy treatment record",
    _STORAGE + "481.8": "a radiotherapy plan (RTPLAN)",
    _STORAGE + "481.9": "a radiotherapy treatment record",
}
#: Of files whose SOP class is missing or unknown.
_MODALITIES = {
    "SR": "a structured report (SR)",
    "KO": "a key object selection",
    "PR": "a presentation state",
    "RTSTRUCT": "a radiotherapy structure set (RTSTRUCT)",
    "RTPLAN": "a radiotherapy plan (RTPLAN)",
    "RTDOSE": "a radiotherapy dose (RTDOSE)",
    "RTRECORD": "a radiotherapy treatment record",
    "PLAN": "a plan",
    "FID": "spatial fiducials",
    "HD": "a waveform",
    "REG": "a spatial registration",
    "SEG": "a DICOM segmentation (SEG)",
    "DOC": "an encapsulated document",
    "ECG": "a waveform",
}
_COLOURS = ("RGB", "YBR", "PALETTE", "ARGB", "HSV", "CMYK", "XYB")
_FILM = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7")  # MPEG, HEVC, SMPTE


def other_than_scan(file: DicomFile) -> str:
    """What the file is, with its article, if it is an object that is never a scan; empty for images."""
    return kind_of_object(file.data.text(tags.SOP_CLASS), file.data.text(tags.MODALITY))


def kind_of_object(kind: str, modality: str) -> str:
    """As `other_than_scan`, by SOP class and modality."""
    starts = [start for start in _OTHERS if kind == start or kind.startswith(start + ".")]
    if starts:
        return _OTHERS[max(starts, key=len)]
    if kind.startswith(_STORAGE):
        return ""
    return _MODALITIES.get(modality.upper(), "")


def unusable(file: DicomFile) -> tuple[str, str]:
    """(what an image is that is no stack of slices of one value a voxel, what to do); empty where it may be one.

    Raises what `DicomFile.size` does.
    """
    data, modality = file.data, file.data.text(tags.MODALITY)
    image_type = [word.strip().upper() for word in data.text(tags.IMAGE_TYPE).split("\\")]
    colours = data.text(tags.PHOTOMETRIC)
    if file.elements.syntax.startswith(_FILM):
        return "a film", "Choose a scan with slices of one time."
    if colours.startswith(_COLOURS):  # whose size follows other rules
        return f"a colour image ({colours})", "Choose the original scan, in grey."
    size = file.size()
    if size.samples != 1:
        return f"an image of {size.samples} values a pixel", "Choose the original scan, in grey."
    if "MOSAIC" in image_type:
        return (
            "a Siemens mosaic, which holds many slices side by side in one image",
            "Convert it to NIfTI, for instance with dcm2niix.",
        )
    if size.frames > 1 and modality == "NM":
        return _nuclear(file, image_type)
    if size.frames > 1 and _is_film(file):
        return (
            f"a film of {size.frames} frames{f' ({modality})' if modality else ''}, which are times and no slices",
            "Choose a scan with slices of one time.",
        )
    return "", ""


def _nuclear(file: DicomFile, image_type: list[str]) -> tuple[str, str]:
    mend = "Reconstruct slices, and save each window, detector or time as a volume of its own."
    for name, tag in (("energy windows", tags.ENERGY_WINDOWS), ("time slices", tags.TIME_SLICES)):
        if (count := whole(file.data, tag) or 1) > 1:
            return f"nuclear medicine of {count} {name} in one file", mend
    kind = image_type[2] if len(image_type) > 2 else ""
    if kind and (not kind.startswith("RECON") or "GATED" in kind):
        return f"nuclear medicine of the kind {kind}, whose frames are no slices of one volume", mend
    return "", ""


def _is_film(file: DicomFile) -> bool:
    """Whether its frames follow each other in time and none says where it lies."""
    if file.data.items(tags.PER_FRAME):
        return False
    pointer = file.data.values.get(tags.INCREMENT, b"")
    order = "little" if file.data.order == "<" else "big"
    words = [int.from_bytes(pointer[k : k + 2], order) for k in range(0, len(pointer) - 1, 2)]  # type: ignore[arg-type]
    pointed = {words[k] << 16 | words[k + 1] for k in range(0, len(words) - 1, 2)}
    times = {tags.FRAME_TIME, tags.FRAME_TIMES}
    return bool(times & (pointed | file.data.values.keys())) or file.data.text(tags.MODALITY) in (
        "US",
        "XA",
        "RF",
        "IVUS",
    )
