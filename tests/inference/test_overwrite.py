"""A prediction replaces what a prediction wrote, unchanged, and nothing else unless that is wished for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.inference import outputs as outputs_module
from l2s_auto.inference.predict import predict
from l2s_auto.io import itk, ownership
from l2s_auto.io.content import hash_of
from tests.inference.tiny_models import blocks, rows, write_scan

NAMES = ("case_0.nii.gz", "overlays/case_1.png", "probabilities/case_2.nii.gz", "volumes.csv", "qc.csv", "failures.csv")


@pytest.fixture(autouse=True)
def another_process(monkeypatch):
    """The program does not remember what it wrote itself, as in another process."""
    monkeypatch.setattr(outputs_module, "is_own", lambda path: False)


def snapshot(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hash_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_manifest_knows_the_hash_of_all_that_was_written(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    (scans / "bad.nii.gz").write_bytes(b"")
    predict(scans, out, model=threshold_model, device="cpu", probabilities=True)
    files = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["files"]
    there = {name: digest for name, digest in snapshot(out).items() if name != "manifest.json"}
    assert there.keys() == files.keys() and len(there) == 3 * 4 + 3
    assert all(files[name][0] == digest for name, digest in there.items())
    again = predict(scans, out, model=threshold_model, device="cpu", probabilities=True)
    assert len(again.done) == 3 and snapshot(out).keys() == {*there, "manifest.json"}


@pytest.fixture
def scans(tmp_path):
    for number in range(3):
        write_scan(tmp_path / "scans" / f"case_{number}.nii.gz", blocks((12 + number, 12, 12)))
    return tmp_path / "scans"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [False, True])
def test_what_others_wrote_is_refused_by_name_before_anything_starts(scans, tmp_path, threshold_model, name, before):
    out = tmp_path / "out"
    (scans / "bad.nii.gz").write_bytes(b"")
    call = {"model": threshold_model, "device": "cpu", "probabilities": True}
    if not before:
        predict(scans, out, **call)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(b"case\nmine\n")
    found = snapshot(out)
    with pytest.raises(UserError, match="--overwrite") as refused:
        predict(scans, out, **call)
    assert [offence.where for offence in refused.value.offences] == [str(out / name)]
    assert ("was changed since" in str(refused.value)) is not before and snapshot(out) == found
    assert len(predict(scans, out, overwrite=True, **call).done) == 3
    assert (out / name).read_bytes() != b"case\nmine\n"
    assert len(predict(scans, out, **call).done) == 3


def test_all_that_is_in_the_way_is_one_message(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    for name in (*NAMES, "manifest.json"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine", encoding="utf-8")
    with pytest.raises(UserError) as refused:
        predict(scans, out, model=threshold_model, device="cpu", probabilities=True)
    assert {offence.where for offence in refused.value.offences} == {str(out / n) for n in (*NAMES, "manifest.json")}
    predict(scans, out, model=threshold_model, device="cpu", probabilities=True, overwrite=True)
    assert len(rows(out / "volumes.csv")) == 3 and not (out / "failures.csv").exists()


def test_a_corrected_segmentation_stays_with_skip_existing_and_is_named(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    predict(scans, out, model=threshold_model, device="cpu")
    mine = out / "case_2.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((14, 12, 12), np.uint8), np.eye(4)), mine)
    content = mine.read_bytes()
    with pytest.raises(UserError, match=r"case_2\.nii\.gz: found a file that was changed since"):
        predict(scans, out, model=threshold_model, device="cpu")
    summary = predict(scans, out, model=threshold_model, device="cpu", skip_existing=True)
    assert len(summary.skipped) == 3 and mine.read_bytes() == content
    assert any("changed since they were written" in note and "case_2" in note for note in summary.notes)


def test_a_manifest_without_hashes_is_of_an_earlier_version(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    predict(scans, out, model=threshold_model, device="cpu")
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"]
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match="of an earlier version") as refused:
        predict(scans, out, model=threshold_model, device="cpu")
    assert len(refused.value.offences) == 3 + 3 + 2
    summary = predict(scans, out, model=threshold_model, device="cpu", skip_existing=True)
    assert len(summary.skipped) == 3 and not summary.notes
    assert len(predict(scans, out, model=threshold_model, device="cpu", overwrite=True).done) == 3


@pytest.mark.parametrize(
    "text",
    [
        '{"runs": [], "cases": {}}',
        '{"runs": [{"versions": {"l2s_auto": "1"}}], "cases": {"a": 3}}',
        '{"runs": [{"versions": {"l2s_auto": "1"}, "model": []}], "cases": {}}',
        '{"runs": [{"versions": {"l2s_auto": "1"}}], "cases": {}, "files": {"volumes.csv": 3}}',
        "[" * 99999,
        "1" * 5000,
    ],
)
def test_a_manifest_of_something_else(scans, tmp_path, threshold_model, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest\.json"):
        predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    assert len(predict(scans, tmp_path / "out", model=threshold_model, device="cpu", overwrite=True).done) == 3


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_scan_of_the_call_is_never_replaced(scans, tmp_path, threshold_model, link):
    out = tmp_path / "out"
    out.mkdir()
    before = snapshot(scans)
    link(scans / "case_1.nii.gz", out / "case_0.nii.gz")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"found the input .*case_1"):
            predict(scans, out, model=threshold_model, device="cpu", overwrite=overwrite)
    assert snapshot(scans) == before


def test_a_dangling_link_and_a_folder_are_in_the_way(scans, tmp_path, threshold_model):
    out = tmp_path / "out"
    (out / "case_0.nii.gz").mkdir(parents=True)
    (out / "case_1.nii.gz").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError) as refused:
        predict(scans, out, model=threshold_model, device="cpu")
    assert [offence.found for offence in refused.value.offences] == ["a folder", "a link"]
    with pytest.raises(UserError) as refused:
        predict(scans, out, model=threshold_model, device="cpu", overwrite=True)
    assert [offence.found for offence in refused.value.offences] == ["a folder"]
    (out / "case_0.nii.gz").rmdir()
    predict(scans, out, model=threshold_model, device="cpu", overwrite=True)
    assert not (tmp_path / "nowhere").exists() and (out / "case_1.nii.gz").is_file()


def test_label_maps_of_a_dataset_are_never_written_to(scans, tmp_path, threshold_model):
    for name in ("images", "labels"):
        shutil.copytree(scans, tmp_path / "data" / name)
    before = snapshot(tmp_path / "data")
    for output in ("labels", "labels/new", "images/new"):
        for overwrite in (False, True):
            with pytest.raises(UserError, match="never written to"):
                predict(tmp_path / "data" / "images", tmp_path / "data" / output, device="cpu", overwrite=overwrite)
    assert snapshot(tmp_path / "data") == before
    predict(tmp_path / "data" / "images", tmp_path / "data" / "found", model=threshold_model, device="cpu")


def test_the_voxels_beside_a_header_are_watched_over_too(tmp_path, threshold_model):
    itk.write(tmp_path / "in" / "a.mhd", blocks((12, 13, 14))[None], np.eye(4))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.raw").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"a\.raw"):
        predict(tmp_path / "in", out, model=threshold_model, device="cpu")
    (out / "a.raw").unlink()
    predict(tmp_path / "in", out, model=threshold_model, device="cpu")
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert {"a.mhd", "a.raw"} <= manifest["files"].keys()
    both = b"".join((tmp_path / "in" / name).read_bytes() for name in ("a.mhd", "a.raw"))
    assert list(manifest["cases"]["a"]["inputs"].values()) == [hashlib.sha256(both).hexdigest()]
    assert predict(tmp_path / "in", out, model=threshold_model, device="cpu").done == ("a",)


@pytest.mark.parametrize("name", ["case_2.nii.gz", "volumes.csv"])
def test_what_is_changed_while_others_are_segmented_stays(scans, tmp_path, threshold_model, name):
    out = tmp_path / "out"

    def change(event) -> None:
        if event.done == 1:
            (out / name).write_bytes(b"mine")

    call = {"model": threshold_model, "device": "cpu", "workers": 0, "progress": change}
    if name == "volumes.csv":
        with pytest.raises(UserError, match=r"volumes\.csv"):
            predict(scans, out, **call)
    else:
        summary = predict(scans, out, **call)
        assert len(summary.done) == 2 and "no prediction wrote" in summary.failures[0].reason
    assert (out / name).read_bytes() == b"mine" and not list(out.glob(".partial*/*"))


class Killed(BaseException):
    """Ends a prediction at once."""


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("moment", range(6))
def test_after_a_kill_at_any_moment_nothing_of_ours_is_refused(tmp_path, threshold_model, moment, first, monkeypatch):
    """Before each write of the second case, the process is gone."""
    scans, out = tmp_path / "in", tmp_path / "out"
    call = {"model": threshold_model, "device": "cpu", "workers": 0}
    for number in range(2):
        write_scan(scans / f"case_{number}.nii.gz", blocks((12, 12, 12)))
    if not first:
        predict(scans, out, **call)
        for number in range(2):
            write_scan(scans / f"case_{number}.nii.gz", blocks((14, 12, 12)))
    writes = []
    replace = ownership.replace

    def counted(source: Path, target: Path) -> None:
        if out in target.parents and not any(part.startswith(".partial") for part in target.parts):
            writes.append(target.name)
            if len(writes) > 6 + moment:  # the run, and of each case: manifest, two tables, overlay, segmentation
                raise Killed
        replace(source, target)

    monkeypatch.setattr(ownership, "replace", counted)
    killed = pytest.raises(Killed) if moment < 5 else nullcontext()
    with killed:
        predict(scans, out, **call)
    monkeypatch.setattr(ownership, "replace", replace)
    assert predict(scans, out, **call).done == ("case_0", "case_1") and len(rows(out / "volumes.csv")) == 2


def test_a_link_in_place_of_a_folder_of_overlays_is_not_followed(tmp_path, threshold_model):
    write_scan(tmp_path / "in" / "a.nii.gz", blocks())
    others, out = tmp_path / "others", tmp_path / "out"
    others.mkdir()
    out.mkdir()
    (out / "overlays").symlink_to(others)
    with pytest.raises(UserError, match="a link to another folder"):
        predict(tmp_path / "in", out, model=threshold_model, device="cpu")
    assert not list(others.iterdir())
