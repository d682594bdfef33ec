"""What is said of a model at home and abroad: its figures, its aims, what is noise, and what is not known."""

from __future__ import annotations

import logging

import pytest

from l2s_auto.core.dial import AIMS, DIAL, Dial, Difference, Point, Reached
from l2s_auto.evaluation.dial import unmeasured
from l2s_auto.io.json_files import write_json
from l2s_auto.report.abilities import abilities, aims_of, dial_of, dials_of, expected
from l2s_auto.training.outcome import last_words, tell_fold

REACHED = {
    "home": Reached(own=0.88, own_interval=(0.87, 0.89), changed=0.82, changed_interval=(0.81, 0.83)),
    "both": Reached(own=0.87, own_interval=(0.86, 0.88), changed=0.85, changed_interval=(0.84, 0.86)),
    "anywhere": Reached(own=0.84, own_interval=(0.83, 0.85), changed=0.86, changed_interval=(0.85, 0.87)),
    "each": Reached(own=0.879, own_interval=(0.87, 0.88), changed=0.857, changed_interval=(0.85, 0.86)),
}


def dial(aim="both", *, cases=40, each=True, own=(0.03, 0.02, 0.04), changed=(-0.04, -0.05, -0.03), **more):
    reached = {name: row for name, row in REACHED.items() if each or name != "each"}
    chosen = {"home": 1.0, "both": 0.5, "anywhere": 0.0}
    values = {
        "aim": aim,
        "a": chosen.get(aim, 1.0),
        "points": tuple(Point(a=a, own=0.85 + a / 50, changed=0.85 - a / 30) for a in (0, 0.25, 0.5, 0.75, 1)),
        "chosen": chosen,
        "threshold": 0.9 if each else None,
        "reached": reached,
        "own_gain": Difference(mean=own[0], interval=own[1:] or None),
        "changed_gain": Difference(mean=changed[0], interval=changed[1:] or None),
        "cases": cases,
    }
    return Dial(**{**values, **more})


def said(*dials):
    return " ".join(abilities(dials))


def test_without_a_dial_nothing_is_said():
    assert abilities([]) == ()


def test_what_to_expect_at_home_and_abroad():
    text = said(dial())
    assert "On scans like those of the training expect Dice 0.870 (0.860 to 0.880 for the mean of 40 cases)" in text
    assert "on scans with another contrast, noise or a bias field expect 0.850 (0.840 to 0.860)." in text
    assert "little is known" not in text


@pytest.mark.parametrize("aim", AIMS)
def test_the_aim_is_named_and_so_are_the_others(aim):
    text = said(dial(aim))
    named = "Each scan chooses its weights: those for home" if aim == "each" else f"The model was chosen for {aim}."
    assert named in text and f"--aim {aim} " not in text
    for other in set(AIMS) - {aim}:
        assert f"--aim {other} {REACHED[other].own:.3f} / {REACHED[other].changed:.3f}" in text


def test_aims_of_the_same_point_are_the_same():
    text = said(dial(chosen={"home": 0.5, "both": 0.5, "anywhere": 0.0}))
    assert "--aim home the same" in text and "--aim anywhere 0.840 / 0.860" in text


def test_without_a_threshold_each_is_not_offered_and_was_chosen_for_both():
    found = dial("each", each=False, note="--aim each cannot be given: no.")
    assert "The model was chosen for both." in said(found) and "--aim each cannot be given" in said(found)
    assert aims_of([found]) == ["home", "both", "anywhere"] and aims_of([dial()]) == list(AIMS)


def test_ends_that_differ():
    text = said(dial())
    assert "home weights gain 0.030 (0.020 to 0.040) on scans like those of the training" in text
    assert "lose 0.040 (0.030 to 0.050) on scans with another contrast" in text


def test_a_difference_below_the_noise_is_called_none():
    text = said(dial(own=(0.003, -0.002, 0.008)))
    assert "make no difference beyond the noise on scans like those of the training, and lose 0.040" in text
    none = said(dial(own=(0.003, -0.002, 0.008), changed=(-0.001, -0.004, 0.002)))
    assert "There is no difference between the home weights and the general weights: --aim changes little" in none


def test_few_cases_say_little():
    text = said(dial(cases=2, own=(0.03,), changed=(-0.04,)))
    assert "measured on 2 cases: little is known" in text and "as far as so few cases can tell" in text


def test_what_was_assumed_is_said():
    text = said(unmeasured("both", why="no case was held out"))
    assert "since no case was held out: a = 0.75 is assumed" in text and "was not measured" in text


def test_folds_are_pooled_by_their_cases():
    other = dial(cases=120, reached={**REACHED, "both": Reached(own=0.91, own_interval=(0.90, 0.92), changed=0.85)})
    both = expected([dial(), other], "both")
    assert both.own == pytest.approx(0.9) and both.own_interval[1] - both.own_interval[0] < 0.02
    assert both.changed == pytest.approx(0.85) and both.changed_interval is None
    assert "for the mean of 160 cases" in said(dial(), other)


def test_folds_with_different_aims_and_without_cases():
    assert "different aims, home and both: these figures are for both" in said(dial("home"), dial("both"))
    text = said(dial(), unmeasured("both", why="no case was held out"))
    assert "0.870" in text and "no case was held out" in text and "was not measured" not in text


def test_damaged_and_missing_files_are_passed_over(tmp_path):
    assert dial_of(tmp_path) is None
    write_json(tmp_path / DIAL, {"a": 7})
    assert dial_of(tmp_path) is None and dials_of([tmp_path]) == []
    write_json(tmp_path / DIAL, dial())
    assert dial_of(tmp_path) == dial()
    write_json(tmp_path / DIAL, dial(chosen={}, threshold=0.5))
    assert aims_of(dials_of([tmp_path])) == [] and abilities(dials_of([tmp_path]))


@pytest.fixture
def run(tmp_path):
    rows = [{"case": f"c{n}", "labels": {"a": {"dice": 0.87}}} for n in range(40)]
    for name in ("0", "1"):
        fold = tmp_path / f"fold_{name}"
        write_json(fold / "validation" / "metrics.json", {"mean": {"dice": 0.87}, "labels": {}, "cases": rows})
        write_json(fold / DIAL, dial())
    return tmp_path


def test_the_end_of_a_training_says_it(run, caplog):
    with caplog.at_level(logging.INFO, logger="l2s_auto"):
        tell_fold("0", run / "fold_0")
    assert "Fold 0: On scans like those of the training expect Dice 0.870" in caplog.text


def test_the_last_words_are_about_the_folds_together(run, caplog):
    with caplog.at_level(logging.INFO, logger="l2s_auto"):
        last_words(run, ["0"])
        assert "together" not in caplog.text
        last_words(run, ["0", "1"])
    assert "2 folds together: On scans like those of the training expect Dice 0.870" in caplog.text
    assert "for the mean of 80 cases" in caplog.text


def test_of_a_model_that_finds_nothing_no_praise_is_said(run, caplog):
    write_json(run / "fold_0" / "validation" / "metrics.json", {"mean": {"dice": 0.01}, "labels": {}, "cases": []})
    with caplog.at_level(logging.INFO, logger="l2s_auto"):
        tell_fold("0", run / "fold_0")
    assert "Do not use it" in caplog.text and "expect" not in caplog.text


def test_other_methods_say_nothing_new(run, caplog):
    (run / "fold_0" / DIAL).unlink()
    with caplog.at_level(logging.INFO, logger="l2s_auto"):
        tell_fold("0", run / "fold_0")
        last_words(run, ["0", "1"])
    assert "expect" not in caplog.text and "mean Dice 0.870" in caplog.text
