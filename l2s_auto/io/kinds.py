"""What a file in a folder of scans is, by its name and its first bytes: a scan, one that is not read, or neither."""

from __future__ import annotations

import os
import re
from pathlib import Path

from l2s_auto.io.first_bytes import DICOM, content_of, name_for
from l2s_auto.io.ownership import UNFINISHED
from l2s_auto.io.unfetched import is_unfetched
from l2s_auto.io.volumes import SUFFIXES, volume_suffix

#: Suffixes of medical images in formats that may not be read here; those of SUFFIXES are, whatever stands here.
_FOREIGN = (
    *(".mgz", ".mgh", ".hdr", ".img", ".img.gz", ".hdr.gz", ".nhdr", ".mnc", ".mnc.gz", ".mnc2", ".par", ".rec"),
    *(".head", ".brik", ".brik.gz", ".npy", ".npz", ".tif", ".tiff", ".gipl", ".gipl.gz", ".vti", ".v16", ".mif"),
    *(".mif.gz", ".mih", ".spr", ".sdt", ".ndpi", ".svs", ".lsm", ".czi", ".nd2", ".nii.bz2", ".nii.xz", ".nii.zst"),
    *(".nii.lz4", ".nii.zip", ".nii.7z", ".nia", ".nia.gz", ".nrrd.gz", ".mha.gz", ".dcm.gz", ".ima", ".dic"),
    *(".dicom", ".acr", ".vff", ".bvox", ".fdf", ".2dseq"),
)
#: Suffix of voxels -> suffixes of the header that names them: where the header is listed, the voxels are not.
HEADERS = {
    **dict.fromkeys((".img", ".img.gz"), (".hdr", ".hdr.gz")),
    **dict.fromkeys((".raw", ".raw.gz", ".zraw"), (".mhd", ".nhdr")),
    **dict.fromkeys((".brik", ".brik.gz"), (".head",)),
    ".rec": (".par",),
}
#: Several files in one, which may be scans.
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
#: Endings that never belong to a scan, though the name of one may stand before them.
_SIDE = (
    *(".json", ".txt", ".csv", ".tsv", ".md", ".log", ".xml", ".yml", ".yaml", ".bval", ".bvec", ".bvals", ".bvecs"),
    *(".md5", ".sha1", ".sha256", ".sha512", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".html", ".htm", ".lock"),
    *(".xlsx", ".xls", ".docx", ".doc", ".py", ".sh", ".m", ".r", ".ipynb", ".ini", ".inf", ".exe", ".dll", ".db"),
    *(
        ".gradients",
        ".lut",
        ".mat",
        ".h5",
        ".vtk",
        ".stl",
        ".ctbl",
        ".label",
        ".annot",
        ".surf",
        ".gii",
        ".trk",
        ".tck",
        ".xfm",
        ".lta",
        ".tfm",
    ),
)
#: What systems and programs leave in folders, which nobody takes for data.
_SYSTEM_FOLDERS = (
    *(".git", ".datalad", ".snapshot", ".snapshots", ".ipynb_checkpoints", ".spotlight-v100", ".fseventsd"),
    *(".trashes", "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
)
_SYSTEM_STARTS = (".trash", ".git", UNFINISHED, ".nfs")
_NOT_THE_END = re.compile(r"\.(?:nii|nii\.gz|nrrd|mha|mhd|mgz)(?P<rest>[.~_ (-].*|\d+|~)$", re.IGNORECASE)


def is_system_folder(name: str) -> bool:
    """Whether a folder is one that systems and version control keep for themselves."""
    return name.lower() in _SYSTEM_FOLDERS or name.lower().startswith(_SYSTEM_STARTS)


def foreign_suffix(name: str) -> str:
    """The suffix of a format of medical images, or of an archive, that is not read; empty if there is none."""
    lower = name.lower()
    if lower.endswith(SUFFIXES):
        return ""
    known = sorted((*_FOREIGN, *_ARCHIVES), key=len, reverse=True)
    return next((suffix for suffix in known if lower.endswith(suffix)), "")


def why_unused(path: Path) -> str:
    """Why a file that looks like a scan is none that is read; empty for a side file, and for a scan that is read."""
    name = path.name
    if name.startswith(("._", UNFINISHED, ".~lock")):
        return ""
    suffix = volume_suffix(path)
    if name.startswith("."):
        if (suffix or foreign_suffix(name)) and not _is_empty(path):
            return "a hidden file (its name begins with a dot)"
        return ""
    if suffix == ".dcm":
        return _why_no_dicom(path)
    if suffix:
        return ""
    foreign = foreign_suffix(name)
    if foreign in _ARCHIVES:
        return "an archive, which is not unpacked"
    if foreign:
        return f"the format {foreign} is not read"
    if name.lower().endswith(_SIDE):
        return ""
    if found := _NOT_THE_END.search(name):
        if not found["rest"].lower().endswith(_SIDE):
            return "something stands after the suffix of its name"
        return ""
    content = content_of(path)
    if content in ("", DICOM):  # of which a series is made, whatever the names are
        return ""
    return f"it holds {content}, but its name does not end with {name_for(content)}"


def _why_no_dicom(path: Path) -> str:
    """Of a file that is named as a DICOM file: pipes and links to nothing are no part of a series."""
    if is_unfetched(path):
        return "the content is not fetched (git annex get, or git lfs pull)"
    if os.path.isfile(path) or os.path.isdir(path):
        return ""
    return "a link to nothing" if os.path.islink(path) else "neither a file nor a folder"


def _is_empty(path: Path) -> bool:
    try:
        return os.path.isfile(path) and os.path.getsize(path) == 0
    except OSError:
        return False
