"""A model as a folder that nnU-Net predicts with, or the zip that it installs: it appears whole or not at all."""

from __future__ import annotations

import logging
import re
import tempfile
import zipfile
from pathlib import Path

from l2s_auto.core.names import path_part
from l2s_auto.inference.aim import EACH
from l2s_auto.inference.load import load_model
from l2s_auto.inference.nnunet import MODEL_FOLDER, NNUNET_MEMBER, write_nnunet
from l2s_auto.inference.written import check_zip
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.ownership import require_free
from l2s_auto.io.places import replace_folder, require_outside_of_datasets, require_replaceable_folder

#: Bytes of the folder's name, at most: other files are named after it.
LONGEST = 120
LOGGER = logging.getLogger("l2s_auto")


def export_to_nnunet(model_path: Path, target: Path, *, overwrite: bool = False) -> Path:
    """`target` is a folder, or a zip by its suffix. Raises UserError for what nnU-Net has no counterpart of.

    overwrite  also replace a zip, or a folder that holds nothing but such a model
    """
    packed = target.suffix.lower() == ".zip"
    require_outside_of_datasets(target, option="OUT")
    if packed:
        require_free([target], overwrite=overwrite)
    else:
        require_replaceable_folder(target, lambda name: bool(NNUNET_MEMBER.fullmatch(name)), overwrite=overwrite)
    model = load_model(model_path)
    if model.setting.aim == EACH:
        LOGGER.warning("Note: in nnU-Net a scan cannot choose its weights: the exported ones are those of --aim both.")
        model = load_model(model_path, aim="both")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=target.parent) as temporary:
        folder = write_nnunet(model, Path(temporary) / dataset_folder(model.plan.dataset) / MODEL_FOLDER)
        if not packed:
            replace_folder(folder, target)
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
