"""The point on the dial: the rules of each aim, what is told of it, and when nothing can be chosen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from l2s_auto.core.dial import AIMS, ASSUMED, Dial
from l2s_auto.evaluation.appearance import AS_THEY_ARE, CHANGES
from l2s_auto.evaluation.dial import GENERAL_AT_HOME, NO_AGREEMENT, settle, unmeasured
from l2s_auto.evaluation.intervals import interval_of, paired_difference, pooled

A = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Own and changed Dice as in a trained model: the ends trade one for the other.
OWN = {0.0: 0.850, 0.25: 0.865, 0.5: 0.876, 0.75: 0.880, 1.0: 0.8805}
CHANGED = {0.0: 0.850, 0.25: 0.851, 0.5: 0.843, 0.75: 0.830, 1.0: 0.810}


def table(own, changed, cases=20, noise=0.0, seed=0):
    """Points of which each case has these Dice, and an offset of its own."""
    offsets = noise * np.random.default_rng(seed).standard_normal(cases)
    return {
        a: {
            f"c{n:02d}": {AS_THEY_ARE: own[a] + offset, **dict.fromkeys(CHANGES, changed[a] + offset)}
            for n, offset in enumerate(offsets)
        }
        for a in own
    }


def agreeing(cases=20, own=0.95, changed=0.80, points=A):
    row = {AS_THEY_ARE: own, **dict.fromkeys(CHANGES, changed)}
    return {a: {f"c{n:02d}": row for n in range(cases)} for a in points if a > 0}


def test_each_aim_has_its_point():
    dial = settle(table(OWN, CHANGED), {}, aim="both")
    assert dial.chosen == {"anywhere": 0.0, "both": 0.5, "home": 0.75}
    assert dial.a == 0.5 and dial.aim == "both" and dial.cases == 20 and dial.note == ""
    assert [point.a for point in dial.points] == list(A)
    assert dial.points[2].own == pytest.approx(0.876) and dial.points[2].changed == pytest.approx(0.843)


@pytest.mark.parametrize(("aim", "a"), [("home", 0.75), ("both", 0.5), ("anywhere", 0.0), ("each", 0.75)])
def test_the_aim_decides_which_weights_predict(aim, a):
    assert settle(table(OWN, CHANGED), agreeing(), aim=aim).a == a


def test_at_home_differences_of_a_thousandth_are_none():
    assert settle(table(OWN, CHANGED), {}, aim="home").a == 0.75
    assert settle(table({**OWN, 1.0: 0.8815}, CHANGED), {}, aim="home").a == 1.0


def test_both_gives_away_no_more_than_a_hundredth_abroad():
    assert settle(table(OWN, {**CHANGED, 0.5: 0.841}), {}, aim="both").a == 0.5
    assert settle(table(OWN, {**CHANGED, 0.5: 0.8409}), {}, aim="both").a == 0.25


def test_of_equal_points_both_takes_the_one_that_is_better_abroad():
    assert settle(table(dict.fromkeys(A, 0.8), CHANGED), {}, aim="both").a == 0.25
    assert settle(table({**dict.fromkeys(A, 0.8), 0.5: 0.8006}, CHANGED), {}, aim="both").a == 0.5


def test_the_order_of_points_and_cases_does_not_matter():
    points = table(OWN, CHANGED, noise=0.05)
    turned = {a: dict(reversed(points[a].items())) for a in reversed(A)}
    assert settle(turned, agreeing(), aim="both") == settle(points, agreeing(), aim="both")


def test_an_offset_of_each_case_changes_no_choice():
    plain, noisy = (settle(table(OWN, CHANGED, noise=noise), {}, aim="both") for noise in (0.0, 0.1))
    assert plain.chosen == noisy.chosen
    assert noisy.own_gain.mean == pytest.approx(OWN[1.0] - OWN[0.0]) and not noisy.own_gain.is_none


def test_what_is_measured_in_some_points_only_counts_in_none():
    points = table(OWN, CHANGED)
    points[1.0]["odd"] = dict.fromkeys((AS_THEY_ARE, *CHANGES), 0.0)
    del points[0.5]["c03"], points[0.25]["c04"]["noise"]
    for case in points[0.0].values():
        case["thick slices"] = 0.1
    dial = settle(points, {}, aim="both")
    assert dial.chosen == {"anywhere": 0.0, "both": 0.5, "home": 0.75} and dial.cases == 19
    assert dial.points[-1].own == pytest.approx(0.8805)


def test_the_threshold_takes_the_better_weights_of_each_scan():
    dial = settle(table(OWN, CHANGED), agreeing(own=0.95, changed=0.80), aim="each")
    assert dial.threshold == pytest.approx(0.875)
    assert dial.reached["each"].own == pytest.approx(OWN[0.75])
    assert dial.reached["each"].changed == pytest.approx(CHANGED[0.0])


def test_the_threshold_is_of_the_point_chosen_for_home():
    agreements = {**agreeing(own=0.99, changed=0.98), 0.75: agreeing(own=0.9, changed=0.7)[0.75]}
    assert settle(table(OWN, CHANGED), agreements, aim="each").threshold == pytest.approx(0.8)


def test_the_threshold_lies_at_the_end_where_one_of_the_weights_is_always_better():
    better = {a: 0.5 + a / 10 for a in A}
    lowest = settle(table(better, better), agreeing(own=0.95, changed=0.8), aim="each").threshold
    assert lowest == 0.8  # not 0: nothing is known of scans on which the ends agree less
    worse_abroad = {a: 0.8 - a / 2 for a in A}
    reversed_agreement = agreeing(own=0.6, changed=0.9)
    assert settle(table(OWN, worse_abroad), reversed_agreement, aim="each").threshold == 1.0


def test_of_equal_thresholds_the_middle_of_their_range_is_taken():
    agreements = agreeing(own=0.9, changed=0.5)
    for n, case in enumerate(list(agreements[0.75])):  # scans of which both weights make the same
        agreements[0.75][case] = {**agreements[0.75][case], "noise": 0.6 + 0.01 * n}
    points = table(OWN, CHANGED)
    for a in A:
        for case in points[a].values():
            case["noise"] = 0.8
    threshold = settle(points, agreements, aim="each").threshold
    assert threshold == pytest.approx(((0.5 + 0.6) / 2 + (0.79 + 0.9) / 2) / 2)


def test_own_and_changed_scans_have_the_same_weight():
    """Five changes that lose 0.02 each weigh less than the scan as it is, which gains 0.03."""
    own, changed = {0.0: 0.80, 1.0: 0.83}, {0.0: 0.80, 1.0: 0.78}
    dial = settle(table(own, changed), agreeing(own=0.9, changed=0.9), aim="each")
    assert dial.threshold == 0.9 and dial.reached["each"].own == pytest.approx(0.83)


def test_what_is_reached_was_chosen_on_other_cases():
    """Each case likes another point best: chosen on itself it would reach 0.9, on the others it reaches less."""
    points = {
        a: {f"c{n}": {AS_THEY_ARE: 0.9 if n == k else 0.5, **dict.fromkeys(CHANGES, 0.7)} for n in range(5)}
        for k, a in enumerate(A)
    }
    dial = settle(points, {}, aim="home")
    assert dial.reached["home"].own == pytest.approx(0.5)
    assert max(point.own for point in dial.points) == pytest.approx(0.58)


def test_intervals_shrink_with_cases_and_need_three():
    few, many = (settle(table(OWN, CHANGED, cases, noise=0.02), {}, aim="both").reached for cases in (4, 60))
    width = [high - low for low, high in (reached["home"].own_interval for reached in (few, many))]
    assert width[1] < width[0]
    two = settle(table(OWN, CHANGED, 2), {}, aim="both")
    assert two.reached["both"].own is not None and two.reached["both"].own_interval is None and two.own_gain.is_none


def test_no_interval_leaves_what_dice_can_be():
    perfect = settle(table(dict.fromkeys(A, 0.97), dict.fromkeys(A, 0.01), 4, noise=0.01), {}, aim="home")
    for reached in perfect.reached.values():
        assert reached.own_interval[1] <= 1 and reached.changed_interval[0] >= 0


@pytest.mark.parametrize("cases", [0, 1])
@pytest.mark.parametrize(("aim", "a"), [("home", 1.0), ("both", ASSUMED), ("anywhere", 0.0), ("each", ASSUMED)])
def test_with_fewer_than_two_cases_nothing_is_chosen(cases, aim, a):
    dial = settle(table(OWN, CHANGED, cases), agreeing(cases), aim=aim)
    assert dial.a == a and dial.reached == {} and dial.threshold is None and dial.cases == cases
    assert f"there were {cases}" in dial.note and "is assumed" in dial.note
    assert len(dial.points) == len(A)


@pytest.mark.parametrize("only", [(AS_THEY_ARE,), tuple(CHANGES)])
def test_original_and_changed_scans_are_both_needed(only):
    points = {a: {c: {k: row[k] for k in only} for c, row in t.items()} for a, t in table(OWN, CHANGED).items()}
    assert "is assumed" in settle(points, {}, aim="both").note


def test_without_points_nothing_is_known():
    dial = settle({}, {}, aim="home")
    assert dial.points == () and dial.a == 1.0 and "no point was measured" in dial.note


@pytest.mark.parametrize("agreements", [{}, agreeing(points=(0.5,)), agreeing(cases=1)])
def test_without_agreement_each_is_as_both(agreements):
    dial = settle(table(OWN, CHANGED), agreements, aim="each")
    assert dial.threshold is None and dial.a == dial.chosen["both"] and "each" not in dial.reached
    assert NO_AGREEMENT in dial.note and "point for both" in dial.note
    assert settle(table(OWN, CHANGED), agreements, aim="both").note == ""


def test_where_the_general_weights_are_the_best_at_home_each_has_nothing_to_choose():
    dial = settle(table(dict.fromkeys(A, 0.8), {a: 0.8 - a / 10 for a in A}), agreeing(), aim="each")
    assert dial.chosen["home"] == 0 and dial.threshold is None and GENERAL_AT_HOME in dial.note


@pytest.mark.parametrize("aim", AIMS)
def test_unmeasured_says_why_and_what_is_assumed(aim):
    dial = unmeasured(aim, why="no case was held out")
    assert dial.chosen == {"home": 1.0, "both": ASSUMED, "anywhere": 0.0}
    assert dial.a == dial.chosen["both" if aim == "each" else aim]
    assert "since no case was held out" in dial.note and ("--aim each cannot be given" in dial.note) == (aim == "each")


@pytest.mark.parametrize("aim", AIMS)
def test_a_dial_is_the_same_when_it_was_written_and_read(aim):
    dial = settle(table(OWN, CHANGED, noise=0.03), agreeing(), aim=aim)
    assert Dial.model_validate(json.loads(json.dumps(dial.model_dump(mode="json")))) == dial


def test_a_difference_below_the_noise_is_none():
    values = np.random.default_rng(1).normal(0, 0.05, 30)
    values -= values.mean()
    noise = {f"c{n}": value for n, value in enumerate(values)}
    zero = dict.fromkeys(noise, 0.0)
    assert paired_difference(noise, zero).is_none
    difference = paired_difference({case: value + 0.05 for case, value in noise.items()}, zero)
    assert not difference.is_none and difference.mean == pytest.approx(0.05)
    assert paired_difference(zero, zero).is_none and paired_difference({"a": 1.0}, {"b": 1.0}) is None


def test_a_difference_turns_with_its_sides():
    one, other = {"a": 0.9, "b": 0.8, "c": 0.7, "x": 0.1}, {"a": 0.5, "b": 0.6, "c": 0.4, "y": 0.9}
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.mean == pytest.approx(-back.mean) == pytest.approx(0.3)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))


def test_a_paired_difference_of_few_cases_is_none():
    assert paired_difference({"a": 0.9, "b": 0.9}, {"a": 0.1, "b": 0.1}).is_none
    assert interval_of([0.5, 0.5]) is None


def test_pooling_a_group_with_itself_narrows_its_interval():
    mean, interval = pooled([(0.8, (0.7, 0.9), 10)] * 4)
    assert mean == pytest.approx(0.8) and interval == pytest.approx((0.75, 0.85))
    assert pooled([(0.8, (0.7, 0.9), 10)]) == (pytest.approx(0.8), pytest.approx((0.7, 0.9)))
    assert pooled([(0.5, (0.4, 0.6), 30), (0.9, None, 10)]) == (pytest.approx(0.6), None)
