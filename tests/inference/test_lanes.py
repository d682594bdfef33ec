"""Small scans several at a time: the same results as one after the other, whatever lies between them."""

import csv

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto.inference import loop
from l2s_auto.inference.lanes import open_lanes
from l2s_auto.inference.predict import predict
from tests.inference.tiny_models import blocks


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_each_lane_has_one_thread_and_later_ones_have_all_again(two_threads):
    with open_lanes(torch.device("cpu")) as lanes:
        assert lanes is not None and lanes.count == 2
        assert {lanes.pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2


def test_there_are_no_lanes_where_they_do_not_help(two_threads):
    with open_lanes(torch.device("cuda")) as lanes:
        assert lanes is None
    torch.set_num_threads(1)
    with open_lanes(torch.device("cpu")) as lanes:
        assert lanes is None


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
    monkeypatch.setattr(loop, "SMALL", 16)
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
