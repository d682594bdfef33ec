"""An export, an import or a saved segmentation replaces its like where that is wished, and nothing of others."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference.export import export_model, import_model
from l2s_auto.inference.load import load_model
from l2s_auto.inference.predictor import Predictor
from l2s_auto.io.content import hash_of
from tests.inference.tiny_models import blocks, write_run, write_scan


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_a_file_in_the_way_of_an_export_stays(run, tmp_path):
    target = tmp_path / "model.zip"
    for format in ("l2s", "nnunet"):
        target.write_bytes(b"mine")
        with pytest.raises(UserError, match="--overwrite"):
            export_model(run, target, format=format)
        assert target.read_bytes() == b"mine"
        assert export_model(run, target, format=format, overwrite=True).stat().st_size > 1000
    target.unlink()
    target.symlink_to(run / "plan.json")
    with pytest.raises(UserError, match="a link"):
        export_model(run, target)
    export_model(run, target, overwrite=True)
    assert load_model(target).hash == load_model(run).hash


def test_an_export_to_a_folder_replaces_its_like_alone(run, tmp_path):
    target = export_model(run, tmp_path / "for_nnunet", format="nnunet")
    with pytest.raises(UserError, match="add --overwrite"):
        export_model(run, target, format="nnunet")
    (target / "fold_7").mkdir()
    (target / "fold_7" / "checkpoint_final.pth").touch()
    export_model(run, target, format="nnunet", overwrite=True)
    assert not (target / "fold_7").exists()
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"notes\.txt"):
        export_model(run, target, format="nnunet", overwrite=True)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_an_import_replaces_a_model_alone(run, tmp_path):
    path, folder = export_model(run, tmp_path / "model.zip"), tmp_path / "imported"
    import_model(path, folder)
    with pytest.raises(UserError, match="add --overwrite"):
        import_model(path, folder)
    import_model(path, folder, overwrite=True)
    assert load_model(folder).hash == load_model(run).hash
    (folder / "log.txt").write_text("of a training", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"log\.txt"):
            import_model(path, folder, overwrite=overwrite)
    assert (folder / "log.txt").exists() and not list(tmp_path.glob(".*"))


def test_a_model_is_not_put_among_the_scans_of_a_dataset(run, tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for call in (
        lambda: export_model(run, tmp_path / "data" / "images" / "model.zip"),
        lambda: export_model(run, tmp_path / "data" / "images" / "model", format="nnunet"),
        lambda: import_model(export_model(run, tmp_path / "m.zip"), tmp_path / "data" / "labels" / "model"),
    ):
        with pytest.raises(UserError, match="never written to"):
            call()


def test_a_segmentation_is_saved_over_nothing_of_others(threshold_model, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz", blocks())
    before = hash_of(scan)
    found = Predictor(threshold_model, device=torch.device("cpu")).predict(scan)
    mine = tmp_path / "mine.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), mine)
    with pytest.raises(UserError, match="--overwrite"):
        found.save(mine)
    assert nib.load(mine).shape == (2, 2, 2)
    for path in (found.save(mine, overwrite=True), found.save(mine), found.save(tmp_path / "new.nrrd")):
        assert path.stat().st_size > 100
    (tmp_path / "a.raw").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"a\.raw"):
        found.save(tmp_path / "a.mhd")
    (tmp_path / "link.nii.gz").symlink_to(scan)
    for path in (scan, tmp_path / "link.nii.gz"):
        with pytest.raises(UserError, match="input"):
            found.save(path, overwrite=True)
    assert hash_of(scan) == before
    dataset = tmp_path / "dataset"
    for name in ("images", "labels"):
        (dataset / name).mkdir(parents=True)
    (dataset / "labels" / "a.nii.gz").write_bytes(b"mine")
    for name in ("a", "new"):
        with pytest.raises(UserError, match="never written to"):
            found.save(dataset / "labels" / f"{name}.nii.gz", overwrite=True)
    assert [path.read_bytes() for path in (dataset / "labels").iterdir()] == [b"mine"]
