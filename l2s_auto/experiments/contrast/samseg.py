"""SAMSEG (Puonti et al., NeuroImage 2016), which learns from no scan: its own atlas, fitted to each.

It is a program of its own, `run_samseg` of the package samseg, which needs NumPy below 2: another environment.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.experiments.methods.scoring import AGAIN
from l2s_auto.experiments.recovery.tissues import numbers_of
from l2s_auto.io.volumes import write_label_map

LOGGER = logging.getLogger(__name__)

NAME = "samseg"
PROGRAM = "run_samseg"
#: What it writes, in the scan's space.
SEGMENTATION = "seg.mgz"
#: So many characters of the end of what it printed are told where it fails.
PRINTED = 2000


def require_samseg(dimensions: int) -> str:
    """Path of the program. UserError where it is not there, or the scans are slices."""
    if dimensions != 3:
        raise UserError.single(
            "SAMSEG fits an atlas to whole heads.",
            where="--methods samseg",
            found="slices",
            expected="--dimensions 3",
            mend="Add --dimensions 3, or leave samseg out.",
        )
    found = shutil.which(PROGRAM)
    if found is None:
        raise UserError.single(
            "SAMSEG is not there.",
            where="--methods samseg",
            found=f"no program {PROGRAM} on the PATH",
            expected="the package samseg, which needs NumPy below 2 (0.4a0 has a build for Linux and Python 3.11)",
            mend="Make an environment for it (python -m venv samseg; samseg/bin/pip install samseg), and add its bin "
            "folder to PATH; or leave samseg out.",
        )
    return found


def segment_folder(program: str, scans: Path, output: Path, targets: Mapping[str, int]) -> list[Offence]:
    """A label map for each scan of the folder, with the targets' numbers; those that are there are left alone.

    targets  name of a tissue (`recovery.tissues`) -> its number
    A scan that the program fails on does not stop the others: each is told and returned, with what was printed last.
    """
    failed: list[Offence] = []
    output.mkdir(parents=True, exist_ok=True)
    for scan in sorted(scans.glob("*.nii.gz")):
        place = output / scan.name
        if place.exists():
            continue
        with tempfile.TemporaryDirectory(prefix="samseg-") as folder:
            command = [program, "--input", str(scan), "--output", folder, "--threads", str(os.cpu_count() or 1)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            found = Path(folder) / SEGMENTATION
            if done.returncode or not found.exists():
                printed = (done.stdout + done.stderr).strip()[-PRINTED:]
                LOGGER.warning("%s failed on %s:\n%s", PROGRAM, scan, printed)
                why = " ".join(printed.split()) or f"exit code {done.returncode} and no {SEGMENTATION}"
                failed.append(Offence(str(scan), why, f"a segmentation by {PROGRAM}", AGAIN))
                continue
            write_label_map(place, *on_grid(found, scan, targets))
    return failed


def on_grid(found: Path, scan: Path, targets: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """FreeSurfer's numbers on any grid in the scan's space -> the targets' on the scan's own grid, and its affine."""
    image: Any = nib.load(found)
    own: Any = nib.load(scan)
    labels = np.asarray(image.dataobj).astype(np.int32)
    where = np.linalg.inv(image.affine) @ own.affine
    axes = np.meshgrid(*[np.arange(n) for n in own.shape[:3]], indexing="ij")
    points = where[:3, :3] @ np.stack([a.ravel() for a in axes]) + where[:3, 3:]
    index = np.rint(points).astype(int)
    inside = ((index >= 0) & (index < np.array(labels.shape)[:, None])).all(0)
    values = np.zeros(index.shape[1], dtype=np.int32)
    values[inside] = labels[tuple(index[:, inside])]
    result = np.zeros_like(values)
    for name, number in targets.items():
        result[np.isin(values, numbers_of(name))] = number
    return result.reshape(own.shape[:3]).astype(np.int16), own.affine
