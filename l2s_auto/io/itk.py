"""NRRD and MetaImage are written by SimpleITK, imported only then. Its world is LPS; here it is RAS+.

Sheared axes are kept: these formats store one direction a voxel axis. They are read by `nrrd.py` and `metaimage.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.io import ownership
from l2s_auto.io.atomic import atomic_path, unfinished
from l2s_auto.io.world import LPS_TO_RAS


def _simple_itk() -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    return SimpleITK


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """Write (C, X, Y, Z) in its own type; the file appears whole or not at all."""
    sitk = _simple_itk()
    array = data[0].T if len(data) == 1 else data.T
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=len(data) > 1)
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    if path.suffix.lower() == ".mhd":
        _write_pair(image, path)
        return
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _write_pair(image: Any, path: Path) -> None:
    """A .mhd names its .raw inside, so both are written under their own names elsewhere, then moved, header last."""
    sitk = _simple_itk()
    path.parent.mkdir(parents=True, exist_ok=True)
    for target in (path, path.with_suffix(".raw")):
        ownership.check(target)
    folder = Path(tempfile.mkdtemp(prefix=unfinished(), dir=path.parent))
    try:
        sitk.WriteImage(image, str(folder / path.name))
        for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
            ownership.replace(file, path.parent / file.name)
    finally:
        ownership.discard(folder)
