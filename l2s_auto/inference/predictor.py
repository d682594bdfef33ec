"""A model in three lines of Python: `Predictor.load(model).predict(scan).save(path)`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case, Volume
from l2s_auto.inference.agreement import segment_scan
from l2s_auto.inference.load import Model, last_model, load_model
from l2s_auto.inference.scan import Scan, read_scan, ready_scan, tidied
from l2s_auto.inference.volumes import label_columns, label_volumes, region_volumes
from l2s_auto.inference.windows import check_overlap
from l2s_auto.io.ownership import protected, require_free
from l2s_auto.io.places import require_outside_of_datasets
from l2s_auto.io.volumes import case_name, files_of_volume, write_label_map
from l2s_auto.networks.device import AUTO, choose_device

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Segmentation:
    """What a model found in a scan.

    labels   (X, Y, Z) int32 original label values, on the scan's own grid
    affine   (4, 4) voxel -> RAS+ mm
    volumes  name of a label or region -> mm³
    scores   name of a label -> the Dice to be expected of it, in [0, 1]; None where there is none of it
    weights, agreement  where each scan chooses: home or general, and the Dice between the segmentations of both
    """

    labels: np.ndarray
    affine: np.ndarray
    volumes: dict[str, float]
    scores: dict[str, float | None]
    like: Path | None = field(default=None, repr=False)
    weights: str | None = None
    agreement: float | None = None

    def save(self, path: PathLike, *, overwrite: bool = False) -> Path:
        """Write the label map, as NIfTI, NRRD, MetaImage or MGH; on a file's own grid to the last bit.

        A file that this program did not write since it was started is replaced only with `overwrite`, and the scan
        never; nor is anything written among the images and labels of a dataset. Raises UserError.
        """
        require_outside_of_datasets(Path(path), option="save")
        with protected([] if self.like is None else [self.like]):
            require_free(files_of_volume(path), overwrite=overwrite)
            write_label_map(path, self.labels, self.affine, like=self.like)
        return Path(path)


class Predictor:
    """A model that is loaded once and segments scans, in memory or in files, one after the other."""

    def __init__(self, model: Model, *, device: torch.device, overlap: float = 0.5, tta: bool = False) -> None:
        check_overlap(overlap)
        self.model, self.device, self.overlap, self.tta = model, device, overlap, tta

    @classmethod
    def load(
        cls,
        model: PathLike | None = None,
        *,
        device: str | torch.device = AUTO,
        overlap: float = 0.5,
        tta: bool = False,
        aim: str | None = None,
        trust_code: Iterable[str] = (),
    ) -> Predictor:
        """A run folder, a fold folder or an exported zip; None: the model trained last on this machine.

        overlap  of neighbouring windows, in [0, 1)
        tta      also look at each scan flipped left to right, where the model was trained on such images
        aim      home, both, anywhere or each (scan by scan); None: what the model was trained for
        trust_code  import paths MODULE:CLASS of the user's own parts: if the model names them, their code runs
        Raises UserError for what is no model, for an aim that it does not have, and for a device that is not there.
        """
        chosen = choose_device(device)
        found = load_model(last_model() if model is None else Path(model), chosen, aim=aim, trust_code=trust_code)
        return cls(found, device=chosen, overlap=overlap, tta=tta)

    def predict(self, scan: Volume | PathLike | Sequence[PathLike]) -> Segmentation:
        """Segment a Volume, a file (or a folder with a DICOM series), or one file a channel.

        Raises UserError for a scan that cannot be read or does not fit the model.
        """
        like = None
        if not isinstance(scan, Volume | str | os.PathLike | list | tuple) or not scan:
            kind = type(scan).__name__ if not isinstance(scan, list | tuple) else "no file"
            raise UserError.single(
                "This is not a scan.",
                where="predict",
                found=kind,
                expected="a Volume(data, affine) with data of (C, X, Y, Z), a path, or a list of one path a channel",
                mend="Of an array, give l2s_auto.core.types.Volume(array[None], affine).",
            )
        if isinstance(scan, Volume):
            ready: Scan = ready_scan(scan, self.model)
        else:
            paths = [scan] if isinstance(scan, str | os.PathLike) else list(scan)
            files = tuple(Path(path) for path in paths)
            ready = read_scan(Case(id=case_name(files[0]), images=files), self.model)
            like = files[0] if files[0].is_file() else None
        found = segment_scan(ready, self.model, device=self.device, overlap=self.overlap, tta=self.tta)
        ready = ready.without_image()
        names = label_columns(self.model.plan)
        labels = tidied(found.labels, self.model).labels
        volumes = label_volumes(labels, ready.affine, names)
        return Segmentation(
            labels=labels,
            affine=ready.affine,
            volumes={**volumes, **region_volumes(volumes, self.model.plan)},
            scores={name: self.model.calibration.dice(value, found.scores[value]) for value, name in names.items()},
            like=like,
            weights=found.end,
            agreement=found.agreement,
        )
