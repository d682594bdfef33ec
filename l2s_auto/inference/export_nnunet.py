"""A model as a folder that nnU-Net predicts with, or the zip that it installs: it appears whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from pathlib import Path

from l2s_auto.core.names import path_part
from l2s_auto.inference.load import load_model
from l2s_auto.inference.nnunet import MODEL_FOLDER, write_nnunet
from l2s_auto.inference.written import check_empty, check_zip
from l2s_auto.io.atomic import atomic_path

#: Bytes of the folder's name, at most: other files are named after it.
LONGEST = 120


def export_to_nnunet(model_path: Path, target: Path) -> Path:
    """`target` is a new folder, or a zip by its suffix. Raises UserError for what nnU-Net has no counterpart of."""
    check_empty(target)
    model = load_model(model_path)
    packed = target.suffix.lower() == ".zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=target.parent) as temporary:
        folder = write_nnunet(model, Path(temporary) / dataset_folder(model.plan.dataset) / MODEL_FOLDER)
        if not packed:
            if target.is_dir():
                target.rmdir()
            os.replace(folder, target)
            return target
        files = [path for path in sorted(Path(temporary).rglob("*")) if path.is_file()]
        members = {path.relative_to(temporary).as_posix(): path for path in files}
        with atomic_path(target) as partial:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, path in members.items():
                    archive.write(path, name)
            check_zip(partial, members, target=target)
    return target


def dataset_folder(dataset: str) -> str:
    """nnU-Net's name of a dataset, DatasetNNN_NAME, which is a folder there."""
    name = path_part(dataset, default="dataset", longest=LONGEST)
    return name if re.match(r"Dataset\d{3}_", name) else f"Dataset999_{name}"
