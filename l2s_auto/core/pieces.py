"""Connected pieces of labels, in the memory of one more map."""

from __future__ import annotations

import cc3d
import numpy as np

from l2s_auto.core.counting import counts_of

_SOME = 1 << 22  # voxels that are looked at together


def connected_pieces(index: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of each label but background (0); voxels that share a corner are connected.

    index   (X, Y, Z) place of each voxel's label in `values`
    values  (L,) labels, rising
    -> (X, Y, Z) number of each voxel's piece, from 1, 0 for background; (N + 1,) voxels of each piece, and (N + 1,)
    place of its label in `values`; their first entries are background's, if there is any
    """
    # cc3d takes 0 as outside, so background becomes 0 and every other label its place plus one.
    lookup = (np.arange(len(values)) + 1).astype(np.uint8 if len(values) < 255 else np.uint16)
    lookup[values == 0] = 0
    number, count = cc3d.connected_components(np.ascontiguousarray(lookup[index]), connectivity=26, return_N=True)
    flat, given, owner = number.ravel(), index.ravel(), np.zeros(count + 1, dtype=np.int64)
    for start in range(0, flat.size, _SOME):
        owner[flat[start : start + _SOME]] = given[start : start + _SOME]
    return number, counts_of(flat, count + 1), owner
