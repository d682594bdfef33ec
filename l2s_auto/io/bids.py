"""What names of files and folders mean in BIDS, as far as scans have to be told from what is made of them.

https://bids-specification.readthedocs.io/en/stable/appendices/entities.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from l2s_auto.io.volumes import case_name

#: Folders beside the subjects' that hold no scans as the scanner gave them.
NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli", "phenotype")
#: Folders of a subject whose files are no anatomical scans.
_OTHER = ("func", "dwi", "fmap", "perf", "meg", "eeg", "ieeg", "beh", "motion", "nirs")
#: How names of label maps end, in BIDS and elsewhere.
_LABEL_MAP = re.compile(
    r"(?:^|[_\-. ])(?:[dp]?seg|probseg|segmentations?|labels?|labelmap|[a-z]*mask|roi|aseg|aparc\+aseg|groundtruth"
    r"|gt)$",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"^sub-[A-Za-z0-9]+")


def is_root(names: Iterable[str]) -> bool:
    """Whether the entries of a folder are those of a BIDS dataset."""
    names = list(names)
    return "dataset_description.json" in names or any(_ENTITY.fullmatch(name) for name in names)


def is_label_map(path: Path) -> bool:
    """Whether the name says that a file is a label map, such as sub-01_dseg.nii.gz."""
    return _LABEL_MAP.search(case_name(path)) is not None


def why_no_scan(path: Path, inside: tuple[str, ...]) -> str:
    """Why a file in folders of scans is not used as a scan; empty if it is."""
    if is_label_map(path):
        return "a label map, as its name says"
    if _ENTITY.match(path.name) and inside and inside[-1].lower() in _OTHER:
        return f"no anatomical scan (BIDS, {inside[-1].lower()})"
    return ""
