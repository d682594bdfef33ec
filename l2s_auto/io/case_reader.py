"""A case's files, each read once however many want to see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from l2s_auto.core.types import Volume
from l2s_auto.io.volumes import channels_of, read_noted_label_map, read_stored


class CaseReader:
    """Reads files as `io.volumes` does and keeps what it has read; for one case, and gone with it.

    notes  file -> what reading it had to assume, as in `Volume`
    """

    def __init__(self) -> None:
        self._images: dict[Path, Volume] = {}
        self._label_maps: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
        self.notes: dict[Path, tuple[str, ...]] = {}

    def channels(self, path: Path) -> int:
        """Channels of a file; its voxels are not read where the format allows."""
        count = channels_of(path)
        return len(self.image(path).data) if count is None else count

    def image(self, path: Path) -> Volume:
        """What `read_stored` gives; nobody may write to it."""
        if path not in self._images:
            self._images[path] = read_stored(path)
            self.notes[path] = self._images[path].notes
        return self._images[path]

    def label_map(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """What `read_label_map` gives; nobody may write to it."""
        if path not in self._label_maps:
            labels, affine, self.notes[path] = read_noted_label_map(path)
            self._label_maps[path] = labels, affine
        return self._label_maps[path]
