"""Scans whose intensities are not those of training: repaired and said, or a row of failures.csv; never silent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import ClassPrior, GenerationPlan, Normalisation
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Volume
from l2s_auto.inference.intensities import known_by
from l2s_auto.inference.load import Model
from l2s_auto.inference.predict import predict
from l2s_auto.inference.predictor import Predictor
from l2s_auto.io.volumes import read_label_map
from tests.inference.tiny_models import Threshold, make_plan, rows, write_scan
from tests.io.scans_of_kinds import BRAIN, OUTSIDE, ct, mri, organs

CT = Normalisation(scheme="fixed", lower=-500.0, upper=500.0)
MRI = Normalisation(scheme="percentile", lower=0.5, upper=99.5)
HU = ct()


def _model(scheme: Normalisation, *, channels: int = 1, generation: GenerationPlan | None = None) -> Model:
    update: dict = {"normalisation": (scheme,) * channels}
    if generation is not None:
        update["generation"] = generation
    plan = make_plan(channels=channels).model_copy(update=update)
    return Model(plan, Recipe(), (Threshold(),), source=Path("run"), hash="0" * 64, folds=("fold_0",))


def _segmented(tmp_path: Path, scans: dict[str, np.ndarray], scheme: Normalisation):
    for name, array in scans.items():
        write_scan(tmp_path / "in" / f"{name}.nii.gz", array)
    summary = predict(tmp_path / "in", tmp_path / "out", model=_model(scheme), device="cpu")
    found = {name: read_label_map(tmp_path / "out" / f"{name}.nii.gz")[0] for name in summary.done}
    failures = tmp_path / "out" / "failures.csv"
    reasons = {row["case"]: row["reason"] for row in rows(failures)} if failures.exists() else {}
    return found, reasons, summary.notes


def test_a_ct_with_a_scanners_offset_gives_the_same_segmentation(tmp_path: Path) -> None:
    scans = {
        "hounsfield": HU,
        "plus1024": (HU + 1024).astype(np.uint16),
        "outside": np.where(OUTSIDE, -3024, HU).astype(np.int16),
        "window255": np.rint(((HU + 160) / 400).clip(0, 1) * 255).astype(np.uint8),
        "window1": ((HU + 160) / 400).clip(0, 1).astype(np.float32),
        "crop": HU[14:27, 6:16, 6:18].clip(-160, 240),
    }
    found, reasons, notes = _segmented(tmp_path, scans, CT)
    assert found.keys() == {"hounsfield", "plus1024", "outside", "crop"}
    assert np.array_equal(found["plus1024"], found["hounsfield"]) and found["hounsfield"].any()
    inside = ~OUTSIDE
    assert np.array_equal(found["outside"][inside], found["hounsfield"][inside])
    (note,) = notes
    assert note.startswith("plus1024: ") and "1024 was subtracted" in note
    assert "intensities from 0 to 255, which are not Hounsfield units" in reasons["window255"]
    assert "intensities from 0 to 1, which are not Hounsfield units" in reasons["window1"]
    assert "Export the scan again" in reasons["window1"]


def test_what_is_outside_of_an_mri_gives_what_a_mask_of_zeros_gives(tmp_path: Path) -> None:
    image = mri().astype(np.float32)
    scans = {"masked": np.where(BRAIN, image, 0)}
    scans |= {
        f"fill{n}": np.where(BRAIN, image, np.float32(v)) for n, v in enumerate((-32768, 65535, 1e30, -1, np.nan))
    }
    found, reasons, notes = _segmented(tmp_path, scans, MRI)
    assert reasons == {} and found.keys() == scans.keys()
    assert all(np.array_equal(labels, found["masked"]) for labels in found.values())
    assert found["masked"].any() and len(notes) == len(scans) - 1
    assert all(sum(note.startswith(f"{name}: ") for note in notes) == (name != "masked") for name in scans)


def test_damage_and_drawings_are_failures_and_stop_nothing(tmp_path: Path) -> None:
    damaged = mri().astype(np.float32)
    damaged[20, 20, 10:13] = np.nan
    scans = {"good": mri(), "damaged": damaged, "labels": organs(), "constant": np.full((9, 9, 9), 4.0)}
    found, reasons, _ = _segmented(tmp_path, scans, MRI)
    assert found.keys() == {"good"}
    assert "3 NaN or infinite voxels" in reasons["damaged"] and "the value 4 everywhere" in reasons["constant"]
    assert "a label map: 3 integer values, each in connected regions; expected a scan" in reasons["labels"]


def test_volumes_in_memory_are_looked_at_too() -> None:
    predictor = Predictor(_model(CT), device=torch.device("cpu"))
    one, other = (predictor.predict(Volume(a[None], np.eye(4))).labels for a in (HU, HU.astype(np.int32) + 1024))
    assert np.array_equal(one, other)
    with pytest.raises(UserError, match="intensities from 0 to 1, which are not Hounsfield units"):
        predictor.predict(Volume(((HU + 160) / 400).clip(0, 1)[None], np.eye(4)))
    with pytest.raises(UserError, match="a label map"):
        predictor.predict(Volume(organs()[None], np.eye(4)))


def test_a_model_of_drawings_takes_drawings() -> None:
    def of(noise: float) -> GenerationPlan:
        flat = ClassPrior(mean=(0.5,), mean_spread=(0,), std=(noise,), std_spread=(0,))
        return GenerationPlan(enriched=make_plan().generation.enriched, priors=(flat,))

    assert known_by(_model(MRI, generation=of(0.0)).plan).flat == (True,)
    assert known_by(_model(MRI).plan).flat == known_by(_model(MRI, generation=of(0.05)).plan).flat == (False,)
    drawn = Volume(organs()[None], np.eye(4))
    assert Predictor(_model(MRI, generation=of(0.0)), device=torch.device("cpu")).predict(drawn).labels.any()


def test_one_channel_of_two_is_named(tmp_path: Path) -> None:
    write_scan(tmp_path / "in" / "a_0000.nii.gz", HU)
    write_scan(tmp_path / "in" / "a_0001.nii.gz", HU / np.float32(1000))
    summary = predict(tmp_path / "in", tmp_path / "out", model=_model(CT, channels=2), device="cpu")
    assert "a_0001.nii.gz: found intensities" in summary.failures[0].reason
    assert "a_0000.nii.gz: found" not in summary.failures[0].reason
