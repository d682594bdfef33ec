"""Scores, components and tables."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from l2s_auto.core.plan import LabelPlan
from l2s_auto.inference import qc
from l2s_auto.inference.calibration import calibrate, read_calibration
from l2s_auto.inference.pieces import keep_largest, pieces_of
from l2s_auto.inference.qc import Scores
from l2s_auto.inference.qc import quality_rows as rows_of_parts
from l2s_auto.inference.tables import locked, merge_rows, read_table
from l2s_auto.inference.volumes import label_columns, label_volumes
from l2s_auto.io.json_files import write_json
from tests.inference.tiny_models import make_plan


@pytest.mark.parametrize("slab", [1, 50, 1 << 24])
def test_scores_are_the_expected_dice_by_brute_force(monkeypatch, slab):
    monkeypatch.setattr(qc, "SLAB", slab)
    logits = torch.randn((4, 5, 6, 7), generator=torch.Generator().manual_seed(0))
    logits[3] -= 100
    probability, index = logits.softmax(0), logits.argmax(0)
    tally = Scores(len(logits))
    for part in logits.split(2, dim=1):
        tally.add(part)
    scores = tally.means()
    assert scores[3] is None
    for k in range(3):
        own = index == k
        expected = 2 * probability[k][own].sum() / (probability[k].sum() + own.sum())
        assert scores[k] == pytest.approx(float(expected), rel=1e-5)


def quality_rows(case, labels, names, scores, **options):
    return rows_of_parts(case, labels, names, scores, parts=pieces_of(labels).sizes, **options)


def test_a_sure_network_expects_a_dice_of_one_and_an_unsure_one_less():
    index = torch.zeros(6, 6, 6, dtype=torch.long)
    index[2:4] = 1
    scores = []
    for sharpness in (50.0, 2.0):
        tally = Scores(2)
        tally.add(torch.nn.functional.one_hot(index).movedim(-1, 0) * sharpness)
        scores.append(tally.means()[1])
    assert scores[0] == pytest.approx(1.0) and 0.5 < scores[1] < 0.9


def test_scores_are_calibrated_on_validated_cases():
    results = [{1: (0.95, 0.75), 2: (0.9, None)}, {1: (0.9, 0.72)}, {1: (0.97, 0.75)}]
    found = calibrate(results, {1: [90.0, 110.0], 2: []}, {1: [1, 2]})
    assert found.labels[1].excess == pytest.approx(0.2, abs=1e-3) and found.labels[1].error < 0.02
    assert found.dice(1, 0.9) == pytest.approx(0.7, abs=1e-3) and found.dice(1, 0.1) == 0.0
    assert found.knows(1) and not found.knows(2) and found.dice(2, 0.9) == 0.9 and found.dice(7, 0.4) == 0.4
    labels = np.zeros((9, 9, 9), np.int32)
    labels[3:5, 3:5, 3:5] = 1
    names = {1: "one"}
    (good,) = quality_rows("a", labels, names, {1: 0.99}, calibration=found, voxel=12.0)
    assert good["score"] == pytest.approx(0.79, abs=1e-3) and not good["flag"]
    (low,) = quality_rows("a", labels, names, {1: 0.8}, calibration=found, voxel=12.0)
    assert low["flag"] and "a Dice of about 0.60 is to be expected" in low["reason"]
    (small,) = quality_rows("a", labels, names, {1: 0.99}, calibration=found, voxel=1.0)
    assert small["flag"] and "8 mm³, while the training cases have 90 to 110 mm³" in small["reason"]


def test_volumes_of_small_voxels_keep_their_digits():
    """0.008 mm³ is not 0 mm³."""
    known = calibrate([{1: (0.9, 0.9)}], {1: [0.0081234, 0.0102]}, {1: [1, 1]})
    assert known.labels[1].smallest == pytest.approx(0.0081234) and known.labels[1].largest == pytest.approx(0.0102)
    labels = np.zeros((9, 9, 9), np.int32)
    labels[1:3, 1:3, 1:3] = 1
    labels[6, 6, 6] = 1
    (row,) = quality_rows("a", labels, {1: "one"}, {1: 0.99}, calibration=known, voxel=0.000123456, lost={1: 100})
    assert "0.001111 mm³, while the training cases have 0.008123 to 0.0102 mm³" in row["reason"]
    assert "0.01235 mm³ apart from its largest piece were left out" in row["reason"]
    affine = np.diag([0.02, 0.02, 0.02, 1.0])
    assert label_volumes(labels, affine, {1: "one"}) == {"one": pytest.approx(9 * 8e-6, rel=1e-6)}


def test_as_many_large_parts_as_in_training_are_no_reason():
    labels = np.zeros((20, 9, 9), np.int32)
    labels[2:6, 3:6, 3:6] = labels[10:14, 3:6, 3:6] = 1
    for pieces, flagged in ((1, True), (2, False)):
        found = calibrate([], {1: [72.0]}, {1: [pieces]})
        (row,) = quality_rows("a", labels, {1: "one"}, {1: 0.9}, calibration=found)
        assert row["flag"] is flagged


def test_folds_calibrate_together(tmp_path):
    for fold, reached in (("fold_0", 0.7), ("fold_1", 0.5)):
        results = [{1: (0.9, reached)}] * 4
        write_json(tmp_path / fold / "calibration.json", calibrate(results, {1: [5.0]}, {1: [1]}))
    found = read_calibration([tmp_path / f"fold_{k}" / "calibration.json" for k in range(3)])
    assert found.labels[1].excess == pytest.approx(0.3) and found.labels[1].cases == 8


def test_folds_of_a_few_cases_calibrate_together_too(tmp_path):
    for fold in ("fold_0", "fold_1"):
        alone = calibrate([{1: (0.3, 0.9)}] * 2, {1: [5.0]}, {1: [1]})
        assert not alone.knows(1) and alone.dice(1, 0.3) == 0.3
        write_json(tmp_path / fold / "calibration.json", alone)
    found = read_calibration([tmp_path / f"fold_{k}" / "calibration.json" for k in range(2)])
    assert found.knows(1) and found.dice(1, 0.3) == pytest.approx(0.9)


ALONE = [{1: 0.02}, {1: 0.0}, {1: 0.03}]
SEEN = [{1: (0.9, 0.8)}] * 3


def test_only_what_validation_and_training_show_to_be_one_piece_is_cleaned():
    assert calibrate(SEEN, {}, {1: [1, 1]}, ALONE).only_largest() == (1,)
    assert calibrate(SEEN, {}, {1: [1, 2]}, ALONE).only_largest() == (), "two pieces are usual"
    assert calibrate(SEEN, {}, {1: [1] * 39 + [2]}, ALONE).only_largest() == (1,), "one manual crumb is not"
    assert calibrate(SEEN, {}, {}, ALONE).only_largest() == (), "nothing is known of training"
    assert calibrate(SEEN[:2], {}, {1: [1]}, ALONE).only_largest() == (), "too few cases"
    assert calibrate(SEEN, {}, {1: [1]}, [{1: 0.02}, {1: -0.01}, {1: 0.03}]).only_largest() == (), "one loses"
    assert calibrate(SEEN, {}, {1: [1]}, [{1: 0.0}] * 3).only_largest() == (), "nothing is gained"
    assert calibrate(SEEN, {}, {1: [1]}).only_largest() == ()


def test_folds_decide_together_what_is_cleaned(tmp_path):
    for fold, rise in (("fold_0", 0.02), ("fold_1", -0.01), ("fold_2", 0.01)):
        write_json(tmp_path / fold / "calibration.json", calibrate(SEEN, {1: [5.0]}, {1: [1]}, [{1: rise}] * 3))
    paths = [tmp_path / f"fold_{k}" / "calibration.json" for k in (0, 2, 1)]
    assert read_calibration(paths[:2]).only_largest() == (1,)
    assert read_calibration(paths).only_largest() == ()


def test_keeping_the_largest_piece_twice_is_keeping_it_once_and_nothing_else_changes():
    rng = np.random.default_rng(0)
    labels = (rng.integers(0, 8, (12, 13, 14)) % 4).astype(np.int32) * 100 - 100  # -100, 0, 100, 200
    before = labels.copy()
    pieces = pieces_of(labels)
    assert {value: sum(sizes) for value, sizes in pieces.sizes.items()} == {
        value: int((labels == value).sum()) for value in (-100, 100, 200)
    }
    lost = keep_largest(labels, pieces, [100, 7])
    assert lost == {100: sum(pieces.sizes[100][1:])} and lost[100] > 0
    assert (labels == 100).sum() == pieces.sizes[100][0] and pieces_of(labels).sizes[100] == pieces.sizes[100][:1]
    assert np.array_equal(labels[before != 100], before[before != 100]) and set(labels[before == 100]) == {0, 100}
    once = labels.copy()
    assert keep_largest(labels, pieces_of(labels), [100]) == {} and np.array_equal(labels, once)


def test_a_map_without_labels_has_no_pieces():
    pieces = pieces_of(np.zeros((3, 4, 5), np.int32))
    assert pieces.sizes == {} and keep_largest(np.zeros((3, 4, 5), np.int32), pieces, [1]) == {}


def test_a_large_piece_that_was_left_out_is_a_reason_to_look():
    labels = np.zeros((9, 9, 9), np.int32)
    labels[3:6, 3:6, 3:6] = 1
    for lost, flagged in ((2, False), (20, True)):
        (row,) = quality_rows("a", labels, {1: "one"}, {1: 0.9}, lost={1: lost}, voxel=2.0)
        assert row["flag"] is flagged and ("40 mm³ apart from its largest piece" in row["reason"]) is flagged


def test_components_are_26_connected_and_small_crumbs_raise_no_flag():
    labels = np.zeros((20, 20, 20), np.int32)
    labels[2:6, 2:6, 2:6] = 5
    labels[6:10, 6:10, 6:10] = 5  # touches the first by a corner
    labels[15, 15, 15] = 5  # a crumb
    labels[2:5, 12:15, 12:15] = -3  # negative values are labels too
    labels[14:17, 2:5, 12:15] = -3
    five, three = quality_rows("a", labels, {5: "five", -3: "three"}, {5: 0.9, -3: 0.8})
    assert five["components"] == 2 and five["flag"] is False
    assert three["components"] == 2 and three["flag"] is True and "2 separate" in str(three["reason"])


def test_labels_that_touch_each_other_are_components_of_their_own():
    labels = np.ones((4, 4, 4), np.int32)
    labels[2:] = 2
    rows = quality_rows("a", labels, {1: "one", 2: "two"}, {1: 1.0, 2: 1.0})
    assert [row["components"] for row in rows] == [1, 1]
    assert all(row["touches_border"] for row in rows)


def test_a_single_slice_has_no_border_through_it():
    labels = np.zeros((9, 9, 1), np.int32)
    labels[3:6, 3:6] = 1
    assert quality_rows("a", labels, {1: "one"}, {1: 1.0})[0]["touches_border"] is False


def test_volumes_are_voxels_times_the_determinant():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (5, 6, 7))
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3))
    volumes = label_volumes(labels, affine, {1: "one", 2: "two", 9: "absent"})
    assert volumes["two"] == pytest.approx((labels == 2).sum() * abs(np.linalg.det(affine)))
    assert volumes["absent"] == 0


def test_columns_are_distinct():
    labels = tuple(
        LabelPlan(value=v, name=n) for v, n in [(0, "background"), (1, "a"), (2, "a"), (3, "case"), (4, "b")]
    )
    plan = make_plan().model_copy(update={"labels": labels})
    assert label_columns(plan) == {1: "a (1)", 2: "a (2)", 3: "case (3)", 4: "b"}


def test_merging_replaces_own_rows_keeps_others_and_sorts(tmp_path):
    path = tmp_path / "table.csv"
    merge_rows(path, ["case", "x"], [{"case": "b", "x": 1.0}, {"case": "a", "x": True}], replace=["a", "b"])
    merge_rows(path, ["case", "y"], [{"case": "b", "y": 'quoted, "text"'}], replace=["b"])
    assert read_table(path) == (
        ["case", "y", "x"],
        [{"case": "a", "y": "", "x": "true"}, {"case": "b", "y": 'quoted, "text"', "x": ""}],
    )
    merge_rows(path, ["case"], [], replace=["a", "b"])
    assert not path.exists()


def test_a_table_holds_no_formulas_and_cases_are_found_again(tmp_path):
    path = tmp_path / "table.csv"
    columns, names = ["case", "=SUM(A1)", "x"], ["=x", "-5", "a\nb", "c\x1b[31m", "＠d", "e\udcff"]
    for value in (-1.5, -2):
        for name in names:
            merge_rows(path, columns, [{"case": name, "=SUM(A1)": value, "x": "+1"}], replace=[name])
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 7 and "\x1b" not in text and "''" not in text
    cells = [cell for line in text.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell[0] in "=+-@＠" and cell != "-2"]
    found, table = read_table(path)
    assert found == columns and [row["case"] for row in table] == sorted(names) and table[0]["=SUM(A1)"] == "-2"
    merge_rows(path, columns, [], replace=names)
    assert not path.exists()


def test_cells_of_an_earlier_version_are_made_safe_and_their_cases_found(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("case,=volume,reason\n=a,-5,+x\n=b,1,y\n", encoding="utf-8")
    merge_rows(path, ["case", "=volume"], [{"case": "=a", "=volume": -7.0}], replace=["=a"])
    assert path.read_text(encoding="utf-8").split() == ["case,'=volume,reason", "'=a,-7,", "'=b,1,y"]


def test_jobs_that_write_at_once_lose_no_row(tmp_path):
    path = tmp_path / "table.csv"

    def add(number: int) -> None:
        merge_rows(path, ["case"], [{"case": f"{number:02}"}], replace=[f"{number:02}"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert [row["case"] for row in read_table(path)[1]] == [f"{n:02}" for n in range(24)]


def test_a_lock_of_a_killed_job_is_broken(tmp_path):
    lock = tmp_path / ".table.csv.lock"
    lock.touch()
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    with locked(tmp_path / "table.csv"):
        assert lock.exists()
    assert not lock.exists()
