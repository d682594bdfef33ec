"""Probabilities of all classes on a scan's own grid, gathered slab by slab on disk; and how unsure they are."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from l2s_auto.core.types import Volume
from l2s_auto.inference.sliding_window import Slab
from l2s_auto.io.volumes import write_volume, write_volumes
from l2s_auto.preprocessing.geometry import Geometry
from l2s_auto.preprocessing.restore import Planes, probabilities_of

#: Folders beside the segmentations.
PROBABILITIES, ENTROPY = "probabilities", "entropy"


class Posterior:
    """Gathers probabilities in a file that has no name, so that a killed program leaves none; memory is that of a slab.

    Entropy is -sum_k p_k log p_k / log K, from 0 where one class is sure to 1 where all are alike.
    """

    def __init__(self, geometry: Geometry, classes: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.geometry, self.classes = geometry, classes
        self._file = tempfile.TemporaryFile(prefix=".", dir=folder)  # noqa: SIM115  (outlives the call; see `close`)
        self._entropy = np.zeros(geometry.cropped, dtype=np.float32)

    def noting(self, slabs: Iterable[Slab]) -> Iterator[Slab]:
        """Slabs along the first axis as they are, each noted on its way."""
        planes = Planes(self.geometry)
        for slab in slabs:
            for rows, found in probabilities_of(slab, planes):
                self._note(rows, found)
            yield slab
        planes.check()

    def _note(self, rows: slice, found: torch.Tensor) -> None:
        unsure = torch.special.entr(found).sum(dim=0).div_(math.log(max(2, self.classes)))
        self._entropy[rows] = unsure.clamp_(0, 1).cpu().numpy()
        plane = 4 * math.prod(self.geometry.cropped[1:])
        for number, values in enumerate(found.cpu().numpy()):
            self._file.seek((number * self.geometry.cropped[0] + rows.start) * plane)
            self._file.write(np.ascontiguousarray(values, dtype=np.float32).tobytes())

    def volumes(self) -> Iterator[np.ndarray]:
        """(X, Y, Z) float32 of each class, on the scan's own grid; outside of what was cropped away is background."""
        self._file.seek(0)
        size = math.prod(self.geometry.cropped)
        for number in range(self.classes):
            values = np.frombuffer(self._file.read(4 * size), dtype=np.float32).reshape(self.geometry.cropped)
            yield self.geometry.leave(values, fill=1.0 if number == 0 else 0.0)

    def entropy(self) -> np.ndarray:
        """(X, Y, Z) float32 in [0, 1], on the scan's own grid."""
        return self.geometry.leave(self._entropy)

    def write(self, folder: Path, case: str, affine: np.ndarray) -> None:
        """Write `probabilities/CASE.nii.gz`, (X, Y, Z, K), and `entropy/CASE.nii.gz`; once."""
        try:
            for name in (PROBABILITIES, ENTROPY):
                (folder / name).mkdir(parents=True, exist_ok=True)
            x, y, z = self.geometry.shape
            write_volumes(folder / PROBABILITIES / f"{case}.nii.gz", self.volumes(), (x, y, z, self.classes), affine)
            write_volume(folder / ENTROPY / f"{case}.nii.gz", Volume(self.entropy()[None], affine))
        finally:
            self.close()

    def close(self) -> None:
        """Give the disk back. `write` does so itself; it is for those who stop before."""
        self._file.close()
