"""What stands in an output folder already: skipped, of another call, of a killed job, in the way of what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference import loop
from l2s_auto.inference import scan as scan_module
from l2s_auto.inference.ensemble import windowing_of
from l2s_auto.inference.manifest import read_manifest
from l2s_auto.inference.predict import predict
from l2s_auto.inference.tables import read_table
from l2s_auto.io import itk
from l2s_auto.io.atomic import unfinished
from l2s_auto.io.content import hash_of
from l2s_auto.io.volumes import read_label_map
from tests.inference.tiny_models import blocks, rows, write_scan


def test_skip_existing_leaves_files_alone_and_keeps_known_rows(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    predict(scans, out, model=threshold_model, device="cpu", part=(1, 2))
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.nii.gz")}
    theirs = (out / "case_0.nii.gz").read_bytes()
    (out / "case_3.nii.gz").write_bytes(theirs)
    summary = predict(scans, out, model=threshold_model, device="cpu", skip_existing=True)
    assert summary.skipped == ("case_0", "case_2", "case_3") and summary.done == ("case_1",)
    assert (out / "case_3.nii.gz").read_bytes() == theirs
    assert {p.name: p.stat().st_mtime_ns for p in out.glob("*.nii.gz") if p.name in before} == before
    assert [row["case"] for row in rows(out / "volumes.csv")] == ["case_0", "case_1", "case_2"]
    assert any("case_3" in note for note in summary.notes)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another grid"])
@pytest.mark.parametrize("ours", [True, False])
def test_skip_existing_opens_what_it_skips(scans, tmp_path, threshold_model, damage, ours):
    out, mine = tmp_path / "out", tmp_path / "out" / "case_1.nii.gz"
    predict(scans, out, model=threshold_model, device="cpu")
    whole = mine.read_bytes()
    if not ours:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        del manifest["files"][mine.name], manifest["cases"]["case_1"]
        (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 8]) + whole[middle + 8 :]
    other = (out / "case_0.nii.gz").read_bytes()
    spoilt = {"cut": whole[:-9], "flipped": flipped, "empty": b"", "another grid": other}[damage]
    mine.write_bytes(spoilt)
    summary = predict(scans, out, model=threshold_model, device="cpu", skip_existing=True)
    if damage == "another grid":  # whole, and not as it was written: somebody's own
        assert len(summary.skipped) == 4 and any("another grid" in n and "case_1" in n for n in summary.notes)
    elif ours:
        assert summary.done == ("case_1",) and not summary.failures
        assert read_label_map(mine)[0].shape == (13, 13, 14)
        return
    else:
        assert not summary.done and "no prediction is known to have written it" in summary.failures[0].reason
        assert [row["case"] for row in rows(out / "failures.csv")] == ["case_1"]
    assert mine.read_bytes() == spoilt
    again = predict(scans, out, model=threshold_model, device="cpu", skip_existing=True)
    assert again.done == summary.done and mine.read_bytes() == spoilt


def test_a_scan_that_is_on_another_grid_now_is_segmented_again(scans, tmp_path, threshold_model):
    predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    write_scan(scans / "case_1.nii.gz", blocks((16, 13, 14)))
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert summary.done == ("case_1",) and len(summary.skipped) == 3


def test_a_scan_that_cannot_be_read_keeps_its_segmentation(scans, tmp_path, threshold_model):
    predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    (scans / "case_1.nii.gz").write_bytes(b"")
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert len(summary.skipped) == 4


@pytest.mark.parametrize("content", ["other", "same"])
def test_the_hash_is_of_what_was_read(scans, tmp_path, threshold_model, monkeypatch, content):
    read = loop.read_scan

    def change(case, model):
        found = read(case, model)
        if case.id == "case_1":
            path = case.images[0]
            before = path.stat()
            kept = path.read_bytes()
            write_scan(path, blocks((13, 13, 14)) * (2 if content == "other" else 1))
            if content == "same":
                path.write_bytes(kept)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return found

    monkeypatch.setattr(loop, "read_scan", change)
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    failed = [failure.case for failure in summary.failures]
    assert failed == (["case_1"] if content == "other" else [])
    assert all("changed while it was read" in failure.reason for failure in summary.failures)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    for case in summary.done:
        ((path, digest),) = manifest["cases"][case]["inputs"].items()
        assert digest == hash_of(Path(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hash": "1" * 64}, "made by another model: case_0"),
        ({"overlap": 0.25}, "made with other options: case_0"),
        ({"fast": True}, "made with other options: case_0"),
        ({"newer": True}, "newer than its segmentation: case_0"),
        ({"failed": True}, "the last try failed: case_0"),
        ({"manifest": False}, "in the manifest: case_0"),
        ({}, ""),
    ],
)
def test_what_is_skipped_is_not_passed_off_as_this_calls(tmp_path, threshold_model, change, message):
    scan, out = tmp_path / "in" / "case_0.nii.gz", tmp_path / "out"
    write_scan(scan, blocks((12, 13, 14)))
    predict(scan.parent, out, model=threshold_model, device="cpu")
    options = {name: change[name] for name in ("overlap", "fast") if name in change}
    if "hash" in change:
        threshold_model = replace(threshold_model, hash=change["hash"])
    if "failed" in change:
        content = scan.read_bytes()
        scan.write_bytes(b"")
        predict(scan.parent, out, model=threshold_model, device="cpu")
        scan.write_bytes(content)
    os.utime(scan, (1, 1) if "newer" not in change else None)
    if "newer" in change:
        os.utime(out / "case_0.nii.gz", (1, 1))
    if "manifest" in change:
        (out / "manifest.json").unlink()
    summary = predict(scan.parent, out, model=threshold_model, device="cpu", skip_existing=True, **options)
    assert summary.skipped == ("case_0",)
    assert [message in note for note in summary.notes] == [True] * bool(message)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["cases"].get("case_0", {}).get("run", 0) != len(manifest["runs"]) - 1 or "manifest" in change


def test_a_case_is_in_the_manifest_before_it_has_its_name(scans, tmp_path, threshold_model, monkeypatch):
    out = tmp_path / "out"
    seen = []

    def publish(staged: Path, output: Path) -> None:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        seen.append(output.name.removesuffix(".nii.gz") in manifest["cases"] and not output.exists())
        os.replace(staged, output)

    monkeypatch.setattr(scan_module, "_publish", publish)
    predict(scans, out, model=threshold_model, device="cpu")
    assert seen == [True] * 4


def test_a_failure_tells_of_an_older_result_and_leaves_no_rows_without_one(tmp_path, threshold_model):
    scan, out = tmp_path / "in" / "case_0.nii.gz", tmp_path / "out"
    write_scan(scan, blocks((12, 13, 14)))
    predict(scan.parent, out, model=threshold_model, device="cpu")
    scan.write_bytes(b"")
    (failure,) = predict(scan.parent, out, model=threshold_model, device="cpu").failures
    assert "An older segmentation stays" in failure.reason and len(rows(out / "volumes.csv")) == 1
    (out / "case_0.nii.gz").unlink()
    (failure,) = predict(scan.parent, out, model=threshold_model, device="cpu").failures
    assert "older" not in failure.reason
    assert not (out / "volumes.csv").exists() and not (out / "qc.csv").exists()


def test_a_folder_in_which_nothing_can_be_written(scans, tmp_path, threshold_model, monkeypatch):
    def refuse(path: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UserError, match="nothing can be written into it"):
        predict(scans, tmp_path / "out", model=threshold_model, device="cpu")


def test_a_header_and_its_voxels_keep_their_names(tmp_path, threshold_model):
    itk.write(tmp_path / "in" / "a.mhd", blocks((12, 13, 14))[None], np.eye(4))
    predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    files = sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(("a", ".")))
    assert files == ["a.mhd", "a.raw"]
    assert read_label_map(tmp_path / "out" / "a.mhd")[0].any()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["pipe.nii.gz", "pipe.nii", "pipe.mha", "pipe.mhd", "pipe.nrrd"])
def test_a_pipe_that_never_ends_fails_alone(scans, tmp_path, threshold_model, name):
    os.mkfifo(scans / name)
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    assert len(summary.done) == 4 and "neither a file nor a folder" in summary.failures[0].reason


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["manifest.json", "qc.csv"])
def test_a_pipe_with_the_name_of_an_output_is_never_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    read = read_manifest if name == "manifest.json" else read_table
    with pytest.raises(UserError, match="neither a file nor a folder"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "not enough memory"), (OSError(28, "No space left on device"), "The disk is full.")],
)
def test_a_scan_that_is_too_much_for_the_machine(scans, tmp_path, threshold_model, monkeypatch, error, reason):
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(loop, "segment_scan", refuse)
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    assert all(reason in failure.reason for failure in summary.failures) and len(summary.failures) == 4


@pytest.mark.parametrize("mirrored", [False, True])
def test_scans_are_mirrored_only_for_models_that_know_such(scans, tmp_path, threshold_model, mirrored):
    plan = threshold_model.plan.model_copy(update={"mirrored": mirrored})
    summary = predict(scans, tmp_path / "out", model=replace(threshold_model, plan=plan), device="cpu", tta=True)
    assert any("--tta changes nothing" in note for note in summary.notes) is not mirrored
    windowing = windowing_of(plan, (16, 16, 16), device=torch.device("cpu"), tta=True)
    assert bool(windowing.flip_axes) is mirrored


def test_what_a_killed_job_left_is_swept_away(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    (out / "overlays").mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    name = unfinished("a.nii.gz").replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    for folder in (out, out / "overlays"):
        (folder / name).write_bytes(b"half")
    predict(scans, out, model=threshold_model, device="cpu")
    assert not [path for path in out.rglob("*") if path.name.startswith(".partial")]
