"""Some voxels of each label of a case, to centre boxes on."""

from __future__ import annotations

import numpy as np

#: Voxels kept a label and case.
KEPT = 256

Places = dict[int, np.ndarray]


def some_voxels(target: np.ndarray, rng: np.random.Generator, *, most: int = KEPT) -> Places:
    """(*S) classes -> class but background -> (N, 3) places of up to `most` of its voxels, any as likely as another."""
    labelled = np.flatnonzero(target > 0)
    own = target.ravel()[labelled]
    found = {}
    for label in np.unique(own).tolist():
        flat = labelled[own == label]
        chosen = rng.choice(flat, size=min(most, len(flat)), replace=False)
        found[int(label)] = np.stack(np.unravel_index(chosen, target.shape), 1)
    return found


def as_table(places: Places) -> np.ndarray:
    """-> (M, 4) int32: class and place."""
    rows = [np.column_stack([np.full(len(where), label), where]) for label, where in places.items()]
    return np.concatenate([np.zeros((0, 4)), *rows]).astype(np.int32)


def from_table(table: np.ndarray) -> Places:
    """The inverse of `as_table`."""
    return {
        int(label): table[table[:, 0] == label, 1:].astype(np.int64) for label in dict.fromkeys(table[:, 0].tolist())
    }
