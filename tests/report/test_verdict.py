"""What is said of a model at the end of its training."""

import json

import pytest

from l2s_auto.report.verdict import ALMOST_NOTHING, finds_nothing, judge, still_rising, verdict_of, verdict_of_all


def metrics(mean, cases=10, labels=None, **more):
    labels = {name: {"dice": value} for name, value in (labels or {}).items()}
    rows = [{"case": f"c{n}", "labels": labels} for n in range(cases)]
    return {"mean": {"dice": mean}, "labels": labels, "cases": rows, "notes": [], **more}


def history(*dice):
    return [{"iteration": 10 * (n + 1), "val_dice": value} for n, value in enumerate(dice)]


def said(found):
    return " ".join((*found.warnings, *found.notes))


def test_a_good_model_needs_no_words():
    found = judge(metrics(0.85, labels={"a": 0.9, "b": 0.8}), history(0.5, 0.7, 0.8, 0.83, 0.845, 0.85, 0.85))
    assert found.warnings == found.notes == () and not found.useless


@pytest.mark.parametrize("dice", [0.0, 0.004, 0.09])
def test_a_model_that_finds_nothing_is_not_to_be_used(dice):
    found = judge(metrics(dice))
    assert found.useless and "almost) nothing" in said(found) and "Do not use it" in said(found)
    assert "--time-budget" in said(found) and "--iterations" in said(found)


def test_labels_that_are_lost_are_named():
    found = judge(metrics(0.6, labels={"left": 0.9, "tiny": 0.02, "absent": None}))
    assert "nothing of tiny" in said(found) and "left" not in said(found) and "absent" not in said(found)
    assert not found.useless


def test_between_nothing_and_good_a_model_is_poor():
    assert "poor: mean Dice 0.170" in said(judge(metrics(0.17)))
    assert judge(metrics(ALMOST_NOTHING)).poor


@pytest.mark.parametrize(("cases", "few"), [(1, True), (4, True), (5, False)])
def test_few_cases_say_little(cases, few):
    text = said(judge(metrics(0.8, cases=cases)))
    assert (f"Dice on {cases} case{'s' * (cases > 1)} says little" in text) == few


def test_nothing_measured_is_said():
    assert "Nothing was measured: no case was held out" in said(judge(metrics(None, cases=0)))
    assert "undefined" in said(judge(metrics(None, cases=3)))


def test_synthetic_images_are_no_scans():
    found = judge(metrics(0.8, cases=2, images="synthetic"))
    assert found.measured == "0.800 on synthetic images of 2 label maps" and "real scans expect less" in said(found)


@pytest.mark.parametrize(
    ("dice", "rising"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), True),
        ((0.0, 0.0, 0.0, 0.05, 0.2, 0.35), True),
        ((0.5, 0.7, 0.8, 0.83, 0.845, 0.85, 0.852, 0.853), False),
        ((0.80, 0.82, 0.79, 0.81, 0.80, 0.82, 0.78, 0.81), False),  # noise
        ((0.80, 0.80, 0.80, 0.10, 0.80, 0.80, 0.80), False),  # one odd validation
        ((0.2, 0.4, 0.6, 0.8, 0.7, 0.6, 0.5), False),
        ((0.1, 0.9), False),  # too few to tell
        ((), False),
    ],
)
def test_still_rising(dice, rising):
    assert still_rising(history(*dice)) == rising
    lines = [line for one in history(*dice) for line in ({"iteration": one["iteration"] - 5, "val_dice": None}, one)]
    assert still_rising(lines) == rising
    assert ("still rising" in said(judge(metrics(0.8), history(*dice)))) == rising


def write(fold, mean, dice=()):
    (fold / "validation").mkdir(parents=True)
    (fold / "validation" / "metrics.json").write_text(json.dumps(metrics(mean)), encoding="utf-8")
    (fold / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history(*dice)), encoding="utf-8")


def test_folders_are_read_and_folds_are_taken_together(tmp_path):
    write(tmp_path / "fold_0", 0.8, (0.2, 0.4, 0.6, 0.8))
    write(tmp_path / "fold_1", 0.0)
    assert "still rising" in said(verdict_of(tmp_path / "fold_0"))
    both = verdict_of_all([tmp_path / "fold_0", tmp_path / "fold_1", tmp_path / "fold_2"])
    assert both.dice == pytest.approx(0.4) and both.cases == 20 and any("fold_1: " in text for text in both.warnings)
    assert not finds_nothing(tmp_path) and verdict_of(tmp_path) is None
    (tmp_path / "fold_0" / "validation" / "metrics.json").write_text("{")
    assert finds_nothing(tmp_path) and verdict_of(tmp_path / "fold_0") is None
