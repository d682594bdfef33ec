"""The format of an image by the first bytes of its file, whatever its name says."""

from __future__ import annotations

import gzip
import os
import re
import struct
import zlib
from pathlib import Path

#: Elements of the group 0008 that the data set of a DICOM file without preamble begins with.
_FIRST_ELEMENTS = (0x00, 0x01, 0x05, 0x08, 0x12, 0x16, 0x18)
NIFTI, NRRD, METAIMAGE, DICOM, OLD_DICOM = "NIfTI", "NRRD", "MetaImage", "DICOM", "DICOM of an older form"
#: Format -> suffixes that its files have.
SUFFIXES_OF = {
    NIFTI: (".nii", ".nii.gz", ".hdr", ".hdr.gz"),
    NRRD: (".nrrd", ".nhdr"),
    METAIMAGE: (".mha", ".mhd"),
    DICOM: (".dcm",),
    OLD_DICOM: (".dcm",),
}


def content_of(path: Path) -> str:
    """The format of a file; empty where the first bytes tell none."""
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return ""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 352)
        except (zlib.error, gzip.BadGzipFile, EOFError):
            return ""
    if head.startswith(b"NRRD000"):
        return NRRD
    if re.match(rb"\s*(?:ObjectType|NDims)\s*=", head):
        return METAIMAGE
    if head[128:132] == b"DICM":
        return DICOM
    if len(head) >= 132 and head[:2] == b"\x08\x00" and head[3] == 0 and head[2] in _FIRST_ELEMENTS:
        return OLD_DICOM
    if len(head) >= 348 and head[344:347] in (b"n+1", b"ni1"):
        return NIFTI
    if len(head) >= 12 and struct.unpack("<i", head[:4])[0] in (540, 0x1C020000) and head[4:7] in (b"n+2", b"ni2"):
        return NIFTI
    return ""


def name_for(content: str) -> str:
    """How the name of a file of a format ends, for a message: .mha or .mhd."""
    return " or ".join(SUFFIXES_OF[content][:2])
