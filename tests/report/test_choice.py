"""Which method a report recommends: of cross-validated runs on the same data, and of no others."""

import pytest

from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE
from l2s_auto.io.json_files import write_json
from l2s_auto.report.choice import beside, choice_section, cross_validated
from l2s_auto.report.run_data import read_run


@pytest.fixture
def make_run(tmp_path):
    def make(name, method, own, changed, *, content="abc", folds=5, augmenter="parametric", **recipe):
        run = tmp_path / name
        write_json(run / "recipe.json", {"method": {"name": method}, "augmenter": {"name": augmenter}, **recipe})
        write_json(run / "fingerprint.json", {"content": content})
        write_json(run / "splits.json", [{"train": [], "val": [str(n)]} for n in range(5)])
        for fold in range(folds):
            validation = run / f"fold_{fold}" / "validation"
            dice = {n: own + 0.01 * (fold - 2) if n == AS_THEY_ARE else changed for n in APPEARANCES}
            write_json(validation / "appearances.json", {"dice": dice, "cases": ["a"]})
        return run

    return make


def text_of(run):
    return choice_section(read_run(run))


def test_means_over_the_folds(make_run):
    (score,) = cross_validated(make_run("run", "learn2synth", 0.8, 0.7)).values()
    assert score.own == pytest.approx(0.8) and score.changed == pytest.approx(0.7)


def test_a_run_alone_says_how_to_compare(make_run):
    text = text_of(make_run("run", "learn2synth", 0.8, 0.7))
    assert "learn2synth reaches Dice 0.800" in text and "--method supervised --cv" in text
    assert "--method learn2synth --cv" in text_of(make_run("other", "supervised", 0.8, 0.7, content="b"))


def test_runs_beside_it_are_compared(make_run):
    make_run("two", "supervised", 0.85, 0.3)
    make_run("three", "learn2synth", 0.6, 0.6, augmenter="nonparametric")
    text = text_of(make_run("one", "learn2synth", 0.83, 0.8))
    assert "For these data learn2synth is recommended" in text and "supervised is more accurate by 0.020" in text
    assert "learn2synth:nonparametric" in text


def test_runs_on_other_data_are_not(make_run):
    make_run("two", "supervised", 0.95, 0.9, content="other")
    assert "supervised</td>" not in text_of(make_run("one", "learn2synth", 0.83, 0.8))


def test_runs_of_one_method_are_told_apart_by_their_folders(make_run):
    make_run("two", "supervised", 0.5, 0.3)
    make_run("three", "supervised", 0.7, 0.3)
    make_run("four", "learn2synth", 0.99, 0.99)
    text = text_of(make_run("one", "learn2synth", 0.83, 0.8))
    assert "learn2synth in four is recommended" in text and "supervised in two" in text
    assert ">supervised</td>" in text and ">learn2synth</td>" in text


def test_random_contrasts_have_a_name(make_run):
    make_run("two", "learn2synth", 0.7, 0.7, prior_share=0.0, reversed_share=0.0)
    assert ">learn2synth-random</td>" in text_of(make_run("one", "learn2synth", 0.83, 0.8, prior_share=None))


def test_folds_that_were_trained_one_by_one_say_what_lacks(make_run):
    run = make_run("one", "learn2synth", 0.83, 0.8)
    for fold in range(5):
        write_json(run / f"fold_{fold}" / "validation" / "metrics.json", {"mean": {"dice": 0.8}})
    (run / "fold_2" / "validation" / "appearances.json").unlink()
    assert "--cv --resume" in text_of(run)


def test_a_fold_without_anything_to_find_is_left_out(make_run):
    run = make_run("one", "learn2synth", 0.83, 0.8)
    nothing = dict.fromkeys(APPEARANCES)
    write_json(run / "fold_0" / "validation" / "appearances.json", {"dice": nothing, "cases": ["a"]})
    (score,) = cross_validated(run).values()
    assert score.own == pytest.approx(0.835)


def test_folders_that_cannot_be_read_are_passed_over(make_run, tmp_path, monkeypatch):
    run, closed = make_run("one", "learn2synth", 0.83, 0.8), make_run("closed", "supervised", 0.9, 0.9)
    is_file = type(run).is_file

    def refused(path, *rest, **options):
        if closed in path.parents:
            raise PermissionError(path)
        return is_file(path, *rest, **options)

    monkeypatch.setattr(type(run), "is_file", refused)
    assert "no other method was tried" in text_of(run)
    monkeypatch.setattr(type(run), "iterdir", lambda path: (_ for _ in ()).throw(PermissionError(path)))
    assert beside(run) == {}


@pytest.mark.parametrize("folds", [1, 4])
def test_without_all_folds_nothing_is_recommended(make_run, folds):
    assert text_of(make_run("run", "learn2synth", 0.8, 0.7, folds=folds)) == ""


def test_runs_in_other_folds_are_not_compared(make_run):
    write_json(make_run("two", "supervised", 0.95, 0.9) / "splits.json", [{"train": ["1"], "val": ["0"]}] * 5)
    assert "supervised</td>" not in text_of(make_run("one", "learn2synth", 0.83, 0.8))


def test_two_reports_recommend_the_same(make_run):
    runs = [make_run("one", "mixed", 0.83, 0.80), make_run("two", "learn2synth", 0.82, 0.812)]
    assert all("For these data learn2synth is recommended" in text_of(run) for run in runs)


@pytest.mark.parametrize("content", ["", "[]", '{"dice": 3}', '{"dice": {}}'])
def test_damaged_files_recommend_nothing(make_run, content):
    run = make_run("run", "learn2synth", 0.8, 0.7)
    (run / "fold_3" / "validation" / "appearances.json").write_text(content)
    assert text_of(run) == ""
    (run / "recipe.json").write_text(content)
    text_of(run)
