"""Three lines of Python."""

import dataclasses
import json

import nibabel as nib
import numpy as np
import pytest
import torch

import l2s_auto
from l2s_auto import Predictor
from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.inference.calibration import calibrate
from l2s_auto.inference.predict import predict
from tests.inference.tiny_models import blocks, expected_labels, write_run

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])


@pytest.fixture
def predictor(threshold_model):
    return Predictor(threshold_model, device=torch.device("cpu"))


def test_a_volume_is_segmented_on_its_own_grid(predictor) -> None:
    image = blocks()
    turned = np.diag([-1.0, 1.0, 2.0, 1.0])
    for affine in (AFFINE, turned):
        found = predictor.predict(Volume(image[None], affine))
        if affine is AFFINE:
            assert np.array_equal(found.labels, expected_labels(image))
        assert found.labels.shape == image.shape and np.array_equal(found.affine, affine)
        for value, name in ((2, "Left part"), (77, "Right part")):
            assert found.volumes[name] == pytest.approx((found.labels == value).sum() * abs(np.linalg.det(affine)))
            assert 0.5 < found.scores[name] <= 1


def test_a_file_gives_what_the_command_gives(predictor, threshold_model, tmp_path) -> None:
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(blocks(), np.diag([-1.0, -1.0, 1.0, 1.0])), scan)
    made = predictor.predict(scan).save(tmp_path / "mine.nii.gz")
    predict(scan, tmp_path / "theirs.nii.gz", model=threshold_model, device="cpu")
    mine, theirs = nib.load(made), nib.load(tmp_path / "theirs.nii.gz")
    assert np.array_equal(mine.dataobj, theirs.dataobj) and np.array_equal(mine.affine, theirs.affine)
    assert np.array_equal(predictor.predict([scan]).labels, predictor.predict(str(scan)).labels)


def test_what_does_not_fit_is_said(predictor) -> None:
    for data, told in (
        (np.zeros((2, 4, 4, 4)), "2 channels"),
        (np.full((1, 4, 4, 4), np.nan), "64 NaN"),
        (np.ones((1, 4, 4, 4)), "1 everywhere"),
    ):
        with pytest.raises(UserError, match=told):
            predictor.predict(Volume(data, AFFINE))
    with pytest.raises(UserError, match="not a model"):
        Predictor.load("nowhere")
    with pytest.raises(UserError, match="overlap"):
        Predictor(predictor.model, device=torch.device("cpu"), overlap=1.5)


def test_a_run_folder_is_loaded(tmp_path) -> None:
    write_run(tmp_path / "run")
    found = Predictor.load(tmp_path / "run", device="cpu", tta=True).predict(Volume(blocks()[None], AFFINE))
    assert set(np.unique(found.labels)) <= {0, 2, 77}


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        l2s_auto.Nothing  # noqa: B018


def test_small_pieces_are_left_out_where_validation_has_shown_that_it_helps(threshold_model, tmp_path) -> None:
    image = blocks((16, 17, 18))
    image[14:, 14:, 15:] = 0.5  # apart from the first label's block
    scan, out = tmp_path / "in" / "scan.nii.gz", tmp_path / "out"
    scan.parent.mkdir()
    nib.save(nib.Nifti1Image(image, AFFINE), scan)
    whole = expected_labels(image)
    kept = whole.copy()
    kept[14:, 14:, 15:] = 0
    calibration = calibrate([{2: (0.9, 0.8)}] * 3, {2: [400.0]}, {2: [1]}, [{2: 0.01}] * 3)
    model = dataclasses.replace(threshold_model, calibration=calibration)
    predict(scan.parent, out, model=model, device="cpu")
    found = np.asanyarray(nib.load(out / "scan.nii.gz").dataobj)
    assert np.array_equal(found, kept) and not np.array_equal(kept, whole)
    assert np.array_equal(Predictor(model, device=torch.device("cpu")).predict(scan).labels, kept)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["runs"][0]["model"]["largest_piece_only"] == [2]


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (np.zeros((4, 4, 4)), "found ndarray"),
        ([], "found no file"),
        (Volume(np.zeros((1, 0, 4, 4), np.float32), np.eye(4)), "data of shape"),
        (Volume(np.zeros((1, 4, 4, 4), np.float32), np.full((4, 4), np.nan)), "the affine .*nan"),
    ],
)
def test_what_is_no_scan(tmp_path, scan, message):
    write_run(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        Predictor.load(tmp_path / "run", device="cpu").predict(scan)
