"""Small scans several at a time: the same results as one after the other, whatever lies between them."""

import csv
import dataclasses

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto.inference import lanes, loop
from l2s_auto.inference.lanes import is_small, open_lanes
from l2s_auto.inference.predict import predict
from l2s_auto.inference.scan import Scan
from tests.inference.tiny_models import blocks, make_plan


@pytest.fixture
def two_threads(set_threads):
    set_threads(2)


def test_each_lane_has_one_thread_and_later_ones_have_all_again(two_threads):
    with open_lanes(torch.device("cpu")) as opened:
        assert opened is not None and opened.count == 2
        assert {opened.pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2


def test_there_are_no_lanes_where_they_do_not_help(two_threads):
    with open_lanes(torch.device("cuda")) as opened:
        assert opened is None
    torch.set_num_threads(1)
    with open_lanes(torch.device("cpu")) as opened:
        assert opened is None


def test_what_needs_memory_is_not_small():
    plan = make_plan()
    scan = Scan(np.zeros((1, 60, 70, 80), np.float32), None, np.zeros((60, 70, 80), np.float32), np.eye(4))
    assert is_small(scan, plan)
    many = plan.model_copy(update={"labels": plan.labels * 20})
    large = dataclasses.replace(scan, image=np.zeros((1, 90, 80, 80), np.float32))
    fine = dataclasses.replace(scan, picture=np.zeros((120, 140, 160), np.float32))
    assert not is_small(scan, many) and not is_small(large, plan) and not is_small(fine, plan)
    assert not is_small(scan, plan.model_copy(update={"patch": (128, 128, 128)}))


def test_small_large_and_damaged_scans_give_what_they_give_one_after_the_other(
    two_threads, tmp_path, threshold_model, monkeypatch
):
    scans = tmp_path / "in"
    scans.mkdir()
    for number in range(9):
        shape = (30, 31, 32) if number % 4 == 3 else (12, 13 + number, 14)
        nib.save(nib.Nifti1Image(blocks(shape), np.eye(4)), scans / f"case_{number}.nii.gz")
    (scans / "case_2.nii.gz").write_bytes(b"")
    (scans / "case_6.nii.gz").write_bytes(b"\x1f\x8b not gzip")
    monkeypatch.setattr(lanes, "VOXELS", 12 * 22 * 14)
    seen = []
    original = loop.is_small
    monkeypatch.setattr(loop, "is_small", lambda *given: seen.append(original(*given)) or seen[-1])
    tables = {}
    for workers in (0, 1):
        out = tmp_path / f"out_{workers}"
        shares = []
        summary = predict(
            scans,
            out,
            model=threshold_model,
            device="cpu",
            workers=workers,
            progress=lambda p, shares=shares: shares.append(p.done),
        )
        assert summary.done == ("case_0", "case_1", "case_3", "case_4", "case_5", "case_7", "case_8")
        assert [failure.case for failure in summary.failures] == ["case_2", "case_6"]
        assert shares == sorted(shares) and shares[-1] == 9
        tables[workers] = [
            list(csv.DictReader((out / name).open(encoding="utf-8"))) for name in ("volumes.csv", "qc.csv")
        ]
        for path in (tmp_path / "out_0").glob("*.nii.gz"):
            found = nib.load(out / path.name)
            assert np.array_equal(found.dataobj, nib.load(path).dataobj)
    assert tables[0] == tables[1] and sorted(set(seen)) == [False, True]


def test_an_interruption_leaves_no_case_that_was_begun_without_its_rows(two_threads, tmp_path, threshold_model):
    scans, out = tmp_path / "in", tmp_path / "out"
    scans.mkdir()
    for number in range(8):
        nib.save(nib.Nifti1Image(blocks(), np.eye(4)), scans / f"case_{number}.nii.gz")

    def interrupt(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(scans, out, model=threshold_model, device="cpu", progress=interrupt)
    made = {path.name.removesuffix(".nii.gz") for path in out.glob("*.nii.gz")}
    rows = {row["case"] for row in csv.DictReader((out / "volumes.csv").open(encoding="utf-8"))}
    assert len(made) >= 2 and made == rows
