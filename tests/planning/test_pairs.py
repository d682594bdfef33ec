from __future__ import annotations

import pytest

from l2s_auto.planning.pairs import determine_pairs


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left lung", "right lung"),
        ("Lung left", "lung Right"),
        ("x_l", "x_r"),
        ("X.L", "X.R"),
        ("ctx-lh-bankssts", "ctx-rh-bankssts"),
        ("lh", "rh"),
        ("Left-Hippocampus", "Right-Hippocampus"),
        ("LeftPutamen", "RightPutamen"),
        ("putamenL", "putamenR"),
        ("rib_left_1", "rib_right_1"),
        ("Rippe 3 left", "Rippe 3 right"),
    ],
)
@pytest.mark.parametrize("order", [(5, 9), (9, 5)])
def test_partners_are_found(left, right, order) -> None:
    assert determine_pairs({0: "background", order[0]: left, order[1]: right, 7: "other"}) == (order,)


@pytest.mark.parametrize(
    "names",
    [
        {0: "background", 1: "Anterior", 2: "Posterior"},
        {0: "left", 1: "right"},
        {0: "background", 1: "left lung", 2: "right kidney"},
        {0: "background", 1: "rib_left_1", 2: "rib_right_2"},
        {0: "background", 1: "left lung", 2: "right lung", 3: "right_lung"},
        {0: "background", 1: "liver", 2: "river"},
        {0: "", 1: "", 2: "1", 3: "2"},
    ],
)
def test_others_are_not(names) -> None:
    assert determine_pairs(names) == ()


def test_several_pairs_come_in_the_order_of_the_left_values() -> None:
    names = {0: "b", 41: "Right-WM", 2: "Left-WM", 53: "Right-Hippocampus", 17: "Left-Hippocampus", 16: "Brain-Stem"}
    assert determine_pairs(names) == ((2, 41), (17, 53))
