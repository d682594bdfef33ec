"""Prediction of files and folders, with a network that thresholds."""

from __future__ import annotations

import gzip
import json
import weakref
from dataclasses import replace
from itertools import count
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference import loop
from l2s_auto.inference import predict as predict_module
from l2s_auto.inference.predict import Progress, predict
from l2s_auto.io.volumes import read_label_map
from tests.inference.tiny_models import blocks, expected_labels, make_plan, rows, write_run, write_scan

OBLIQUE = np.array([[0.02, -1.1, 0.05, 7], [0.9, 0.03, 0.1, -4], [0.05, 0.1, -1.3, 30], [0, 0, 0, 1.0]])


def saved(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_a_folder_gives_everything_that_the_contract_names(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    events: list[Progress] = []
    summary = predict(scans, out, model=threshold_model, device="cpu", progress=events.append)
    assert summary.done == ("case_0", "case_1", "case_2", "case_3") and not summary.failures
    for number in range(4):
        image = blocks((12 + number, 13, 14))
        np.testing.assert_array_equal(saved(out / f"case_{number}.nii.gz"), expected_labels(image))
        assert (out / "overlays" / f"case_{number}.png").stat().st_size > 1000
    assert [row["case"] for row in rows(out / "volumes.csv")] == list(summary.done)
    assert list(rows(out / "volumes.csv")[0]) == ["case", "Left part", "Right part"]
    quality = rows(out / "qc.csv")
    assert list(quality[0]) == ["case", "label", "score", "touches_border", "components", "flag", "reason"]
    assert len(quality) == 8 and all(row["components"] == "1" and row["flag"] == "false" for row in quality)
    assert all(0.5 < float(row["score"]) <= 1 for row in quality)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["runs"][0]["model"]["sha256"] == threshold_model.hash
    assert set(manifest["cases"]) == set(summary.done)
    assert all(len(h) == 64 for case in manifest["cases"].values() for h in case["inputs"].values())
    assert not (out / "failures.csv").exists()
    assert events[-1].done == events[-1].total == 4
    assert not list(out.rglob(".*")), "no lock or temporary file stays"


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_scans_are_noted_and_the_others_are_done(scans, tmp_path, threshold_model, workers):
    whole = (scans / "case_0.nii.gz").read_bytes()
    (scans / "zero.nii.gz").write_bytes(b"")
    (scans / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (scans / "text.nii.gz").write_bytes(gzip.compress(b"this is not a scan"))
    (scans / "directory.nii.gz").mkdir()
    nan = blocks()
    nan[1, 2, 3] = np.nan
    write_scan(scans / "nan.nii.gz", nan)
    write_scan(scans / "constant.nii.gz", np.ones((9, 9, 9), np.float32))
    write_scan(scans / "series.nii.gz", np.stack([blocks(), blocks()], axis=-1))
    out = tmp_path / "out"
    summary = predict(scans, out, model=threshold_model, device="cpu", workers=workers)
    bad = {"zero", "truncated", "text", "directory", "nan", "constant", "series"}
    assert set(summary.done) == {f"case_{n}" for n in range(4)}
    assert {failure.case for failure in summary.failures} == bad
    table = {row["case"]: row for row in rows(out / "failures.csv")}
    assert set(table) == bad and list(table["nan"]) == ["case", "file", "reason"]
    assert all(row["reason"] and "\n" not in row["reason"] for row in table.values())
    assert "NaN" in table["nan"]["reason"] and "4-D" in table["series"]["reason"]
    assert "everywhere" in table["constant"]["reason"]
    assert {row["case"] for row in rows(out / "volumes.csv")} == set(summary.done)
    assert not any((out / f"{name}.nii.gz").exists() for name in bad)


def test_a_missing_channel_fails_that_case_only(tmp_path, threshold_model):
    scans, out = tmp_path / "in", tmp_path / "out"
    model = _with_channels(threshold_model, 2)
    for name in ("a_0000", "a_0001", "b_0000"):
        write_scan(scans / f"{name}.nii.gz", blocks())
    write_scan(scans / "c_0000.nii.gz", blocks())
    write_scan(scans / "c_0001.nii.gz", blocks((9, 9, 9)))
    summary = predict(scans, out, model=model, device="cpu")
    assert summary.done == ("a",)
    assert "1 channels" in summary.failures[0].reason and "expected 2" in summary.failures[0].reason
    assert "one grid" in summary.failures[1].reason


def test_a_model_that_knows_scans_without_some_channels_segments_them(tmp_path, threshold_model):
    scans, out = tmp_path / "in", tmp_path / "out"
    model = _with_channels(threshold_model, 2)
    model = replace(model, recipe=model.recipe.model_copy(update={"missing_share": 0.5}))
    for name in ("a_0000", "a_0001", "b_0000", "c_0001"):
        write_scan(scans / f"{name}.nii.gz", blocks())
    write_scan(scans / "d_0007.nii.gz", blocks())
    summary = predict(scans, out, model=model, device="cpu")
    assert summary.done == ("a", "b", "c") and summary.failures[0].case == "d"
    for name in ("a", "b"):
        assert np.array_equal(nib.load(out / f"{name}.nii.gz").dataobj, expected_labels(blocks()))
    # This model reads the first channel, which c lacks: 0 there.
    assert not np.asarray(nib.load(out / "c.nii.gz").dataobj).any()
    write_scan(tmp_path / "alone.nii.gz", blocks())
    alone = predict(tmp_path / "alone.nii.gz", tmp_path / "one.nii.gz", model=model, device="cpu")
    assert "no channel number" in alone.failures[0].reason


def test_a_case_that_is_repaired_leaves_the_failures(scans, tmp_path, threshold_model):
    (scans / "bad.nii.gz").write_bytes(b"")
    predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    write_scan(scans / "bad.nii.gz", blocks())
    predict(scans, tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert not (tmp_path / "out" / "failures.csv").exists()
    assert len(rows(tmp_path / "out" / "volumes.csv")) == 5


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_the_result_is_on_the_scans_own_grid_and_in_its_format(tmp_path, threshold_model, suffix):
    # No shear here: NRRD and MetaImage hold directions that are orthonormal.
    from scipy.spatial.transform import Rotation

    from l2s_auto.core.types import Volume
    from l2s_auto.io.volumes import write_volume

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -15, 100], degrees=True).as_matrix() @ np.diag([1.0, 1.0, 1.0])
    affine[:3, 3] = [5, -7, 11]
    source = tmp_path / "in" / f"scan{suffix}"
    source.parent.mkdir()
    write_volume(source, Volume(blocks()[None], affine))
    predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    labels, written = read_label_map(tmp_path / "out" / f"scan{suffix}")
    np.testing.assert_allclose(written, affine, atol=1e-4)
    np.testing.assert_array_equal(labels, expected_labels(blocks()))


def test_oblique_and_sheared_affines_and_volumes_by_the_determinant(tmp_path, threshold_model):
    source = write_scan(tmp_path / "in" / "scan.nii.gz", blocks(), OBLIQUE)
    predict(source, tmp_path / "out" / "result.nii.gz", model=threshold_model, device="cpu")
    result = nib.load(tmp_path / "out" / "result.nii.gz")
    assert result.shape == blocks().shape
    np.testing.assert_allclose(result.affine, nib.load(source).affine, atol=1e-5)
    labels = np.asarray(result.dataobj)
    (row,) = rows(tmp_path / "out" / "volumes.csv")
    for value, name in ((2, "Left part"), (77, "Right part")):
        expected = np.count_nonzero(labels == value) * abs(np.linalg.det(OBLIQUE[:3, :3]))
        assert expected > 0 and float(row[name]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_parts_share_the_cases(scans, tmp_path, threshold_model, count):
    out = tmp_path / "out"
    done = []
    for index in range(1, count + 1):
        done += predict(scans, out, model=threshold_model, device="cpu", part=(index, count)).done
    assert sorted(done) == [f"case_{n}" for n in range(4)]
    assert [row["case"] for row in rows(out / "volumes.csv")] == sorted(done)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["cases"]) == sorted(done) and len(manifest["runs"]) == count


def test_probabilities_are_on_the_own_grid_and_sum_to_one(tmp_path, threshold_model):
    source = write_scan(tmp_path / "in" / "scan.nii.gz", blocks(), OBLIQUE)
    predict(source.parent, tmp_path / "out", model=threshold_model, device="cpu", probabilities=True)
    maps = saved(tmp_path / "out" / "probabilities" / "scan.nii.gz")
    assert maps.shape == (*blocks().shape, 3)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
    labels = saved(tmp_path / "out" / "scan.nii.gz")
    assert np.array_equal(np.array([0, 2, 77])[maps.argmax(-1)], labels)
    unsure = saved(tmp_path / "out" / "entropy" / "scan.nii.gz")
    expected = -(maps * np.log(np.maximum(maps, 1e-30))).sum(-1) / np.log(3)
    np.testing.assert_allclose(unsure, expected, atol=1e-4)
    assert unsure.max() > 0 and sorted(p.name for p in (tmp_path / "out" / "probabilities").iterdir()) == [
        "scan.nii.gz"
    ]
    plain = tmp_path / "plain"
    predict(source.parent, plain, model=threshold_model, device="cpu")
    assert np.array_equal(saved(plain / "scan.nii.gz"), labels) and not (plain / "entropy").exists()


def test_an_empty_label_and_one_at_the_border_are_flagged(tmp_path, threshold_model):
    image = blocks()
    image[image == 1] = 0
    image[0] = 0.5
    write_scan(tmp_path / "in" / "scan.nii.gz", image)
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    left, right = rows(tmp_path / "out" / "qc.csv")
    assert summary.flagged == ("scan",)
    assert left["touches_border"] == "true" and "border" in left["reason"] and "separate" in left["reason"]
    assert right["flag"] == "true" and "empty" in right["reason"] and right["score"] == ""


def test_fast_takes_fewer_windows(tmp_path, threshold_model, monkeypatch):
    monkeypatch.setattr(
        "torch.get_num_threads", lambda: 1
    )  # windows that are looked at side by side are told of as one
    write_scan(tmp_path / "in" / "scan.nii.gz", blocks((30, 30, 30)))
    events: dict[bool, list[Progress]] = {True: [], False: []}
    for fast, seen in events.items():
        predict(
            tmp_path / "in",
            tmp_path / str(fast),
            model=threshold_model,
            device="cpu",
            fast=fast,
            progress=seen.append,
        )
    assert len(events[True]) < len(events[False])


def test_folds_and_flips_agree_with_a_single_look_for_a_network_that_commutes(scans, tmp_path, threshold_model):
    twice = replace(threshold_model, networks=threshold_model.networks * 2)
    predict(scans, tmp_path / "a", model=threshold_model, device="cpu")
    predict(scans, tmp_path / "b", model=twice, device="cpu", tta=True)
    np.testing.assert_array_equal(saved(tmp_path / "a" / "case_1.nii.gz"), saved(tmp_path / "b" / "case_1.nii.gz"))


def test_a_run_folder_and_a_network_of_the_registry(scans, tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1"))
    assert len(predict(scans, tmp_path / "out", model=run, device="cpu").done) == 4


def test_an_interrupted_prediction_documents_what_was_done(scans, tmp_path, threshold_model):
    def stop(event: Progress) -> None:
        if event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(scans, tmp_path / "out", model=threshold_model, device="cpu", workers=0, progress=stop)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["cases"]) == ["case_0", "case_1"]
    assert len(rows(tmp_path / "out" / "volumes.csv")) == 2


def _with_channels(model, channels):
    return replace(model, plan=make_plan(channels=channels))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda scans, tmp: (scans, scans), "same as the input"),
        (lambda scans, tmp: (scans / "case_0.nii.gz", scans / "case_0.nii.gz"), "same as the input"),
        (lambda scans, tmp: (tmp / "nowhere", tmp / "out"), "no such file"),
        (lambda scans, tmp: (scans, tmp / "result.nii.gz"), "do not go together"),
        (lambda scans, tmp: (scans / "case_0.nii.gz", tmp / "folder"), "do not go together"),
        (lambda scans, tmp: (scans / "case_0.nii.gz", _folder(tmp / "x.nii.gz")), "a folder of that name"),
        (lambda scans, tmp: (scans, _file(tmp / "file")), "a file of that name"),
        (lambda scans, tmp: (scans, _file(tmp / "file") / "below"), "is a file"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit(scans, tmp_path, threshold_model, make, message):
    source, target = make(scans, tmp_path)
    before = sorted(p.name for p in scans.iterdir())
    with pytest.raises(UserError, match=message):
        predict(source, target, model=threshold_model, device="cpu")
    assert sorted(p.name for p in scans.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": (0, 2)}, "--part"),
        ({"part": (3, 2)}, "--part"),
        ({"overlap": 1.0}, "--overlap"),
        ({"fast": True, "tta": True}, "--fast and --tta"),
        ({"device": "abacus"}, "--device"),
    ],
)
def test_wrong_options(scans, tmp_path, threshold_model, options, message):
    with pytest.raises(UserError, match=message):
        predict(scans, tmp_path / "out", model=threshold_model, **{"device": "cpu", **options})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("volumes.csv", "a,b\n1,2\n"),
        ("manifest.json", "[]"),
        ("qc.csv", "\x00"),
        ("manifest.json", '{"runs": 1, "cases": {}}'),
    ],
)
def test_files_that_are_not_ours_are_not_destroyed(scans, tmp_path, threshold_model, name, text):
    out = _folder(tmp_path / "out")
    (out / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="another output folder"):
        predict(scans, out, model=threshold_model, device="cpu")
    assert (out / name).read_text(encoding="utf-8") == text


def test_without_a_model_the_last_one_is_taken(scans, tmp_path, monkeypatch, threshold_model):
    monkeypatch.setattr(predict_module, "last_model", lambda: write_run(tmp_path / "run"))
    assert len(predict(scans, tmp_path / "out", device="cpu").done) == 4


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _file(path: Path) -> Path:
    path.write_text("x")
    return path


def test_an_error_of_the_program_fails_one_case_and_leaves_its_traceback(scans, tmp_path, threshold_model, capfd):
    class Sometimes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = count()  # of which each number goes to one thread alone

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if next(self.calls) == 0:
                raise RuntimeError("out of luck")
            return threshold_model.networks[0](image)

    model = replace(threshold_model, networks=(Sometimes(),))
    summary = predict(scans, tmp_path / "out", model=model, device="cpu")
    assert [failure.reason for failure in summary.failures] == ["RuntimeError: out of luck"] and len(summary.done) == 3
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    (failed,) = (failure.case for failure in summary.failures)  # which comes first is open where several are segmented
    assert "out of luck" in "".join(manifest["cases"][failed]["traceback"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("workers", [0, 1])
def test_the_image_is_gone_when_what_was_found_is_written(tmp_path, threshold_model, monkeypatch, workers):
    """Large scans are finished in the memory that their image took."""
    images, left = [], []
    read, written = loop.read_scan, loop.finish

    def remember(case, model):
        scan = read(case, model)
        images.append(weakref.ref(scan.image))
        return scan

    def look(*arguments, **options):
        left.append(images[len(left)]() is not None)
        return written(*arguments, **options)

    monkeypatch.setattr(loop, "read_scan", remember)
    monkeypatch.setattr(loop, "finish", look)
    monkeypatch.setattr(loop, "is_small", lambda scan, plan: False)
    for name in "ab":
        write_scan(tmp_path / "in" / f"{name}.nii.gz", blocks())
    predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu", workers=workers)
    assert left == [False, False]
