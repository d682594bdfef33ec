"""The report's section on the dial: its table, commands and figure."""

from __future__ import annotations

import html

import pytest

from l2s_auto.core.dial import AIMS, DIAL, Dial, Point, Reached
from l2s_auto.evaluation.dial import unmeasured
from l2s_auto.io.json_files import write_json
from l2s_auto.report.choice import ONE_SCANNER, choice_section
from l2s_auto.report.dial_figure import Curve, curves_of, dial_figure
from l2s_auto.report.dial_section import MEANT, TITLE, dial_section
from l2s_auto.report.html import write_report
from l2s_auto.report.run_data import read_run
from l2s_auto.report.style import png_bytes


def dial(shift=0.0, a=0.5, points=(0, 0.25, 0.5, 0.75, 1)):
    reached = {aim: Reached(own=0.8 + shift, own_interval=(0.7, 0.9), changed=0.7) for aim in AIMS}
    return Dial(
        a=a,
        points=tuple(Point(a=p, own=0.85 + p / 50 + shift, changed=0.85 - p / 30) for p in points),
        chosen={"home": 1.0, "both": 0.5, "anywhere": 0.0},
        threshold=0.9,
        reached=reached,
        cases=10,
    )


@pytest.fixture
def make_run(tmp_path):
    def make(*dials):
        for number, one in enumerate(dials):
            write_json(tmp_path / "my run" / f"fold_{number}" / DIAL, one)
        return tmp_path / "my run"

    return make


def test_without_a_dial_there_is_no_section(tmp_path):
    (tmp_path / "fold_0").mkdir()
    assert dial_section(read_run(tmp_path)) == "" and TITLE not in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_row_and_a_command_for_each_aim(make_run):
    run = make_run(dial())
    text = html.unescape(dial_section(read_run(run)))
    for aim in AIMS:
        assert f"--aim {aim}</code>" in text and MEANT[aim] in text
    assert f"-m '{run}'" in text and "both (chosen)" in text and "0 or 1" in text
    assert "0.800 (0.700 to 0.900)" in text and text.count("<img") == 1
    assert TITLE in write_report(run).read_text(encoding="utf-8")


def test_folds_are_shown_together(make_run):
    text = dial_section(read_run(make_run(dial(), dial(0.02))))
    assert "0.810" in text and "for the mean of 20 cases" in text


def test_unmeasured_dials_have_no_figure(make_run):
    text = dial_section(read_run(make_run(unmeasured("both", why="no case was held out"))))
    assert "no case was held out" in text and "not measured" in text and "<img" not in text
    assert "--aim each" not in text


def test_a_damaged_dial_is_a_note(make_run):
    run = make_run(dial())
    (run / "fold_0" / DIAL).write_text("{", encoding="utf-8")
    assert f"{DIAL} cannot be used" in write_report(run).read_text(encoding="utf-8")
    (run / "fold_0" / DIAL).unlink()
    assert DIAL not in write_report(run).read_text(encoding="utf-8"), "other methods have none, which is no lack"


def test_the_curve_of_folds_is_the_mean_of_points_that_all_have():
    *folds, mean = curves_of([dial(), dial(0.02, points=(0, 0.5, 1))])
    assert len(folds) == 2 and not any(fold.main for fold in folds) and mean.main
    assert [a for a, _, _ in mean.points] == [0, 0.5, 1] and mean.points[0][1] == pytest.approx(0.86)
    assert mean.chosen == 0.5
    assert curves_of([dial(), dial(a=1.0)])[-1].chosen is None


def test_one_fold_is_one_curve_and_one_point_is_none():
    assert curves_of([dial()]) == [Curve(tuple((p.a, p.own, p.changed) for p in dial().points), 0.5)]
    assert curves_of([dial(points=(0,))]) == [] and curves_of([]) == []


def test_the_chosen_point_is_marked_where_it_was_measured():
    (axes,) = dial_figure({"x": curves_of([dial()])}).axes
    assert [line.get_xydata().tolist() for line in axes.lines[1:]] == [[[0.86, 0.85 - 0.5 / 30]]]
    assert {text.get_text() for text in axes.texts} == {"0, general", "0.25", "0.5", "0.75", "1, home"}
    (axes,) = dial_figure({"x": curves_of([dial(a=0.6)])}).axes
    assert len(axes.lines) == 1


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_panel_for_each_world(count):
    figure = dial_figure({f"world {n} $x$": curves_of([dial(), dial(0.01)]) for n in range(count)})
    assert len(figure.axes) == count and png_bytes(figure).startswith(b"\x89PNG")


def test_a_recommendation_names_the_dial_first(make_run):
    run = make_run(dial())
    validation = {"dice": dict.fromkeys(["as they are", "inverted", "not monotone", "gamma", "bias", "noise"], 0.8)}
    write_json(run / "fold_0" / "validation" / "appearances.json", validation)
    write_json(run / "splits.json", [{"train": [], "val": ["a"]}])
    write_json(run / "recipe.json", {})
    assert ONE_SCANNER in choice_section(read_run(run))
    write_json(run / "fold_0" / DIAL, dial(a=1.0))
    assert ONE_SCANNER not in choice_section(read_run(run))
