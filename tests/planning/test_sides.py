"""Which datasets may be mirrored."""

import pytest

from l2s_auto.planning.sides import may_flip, why_flips


@pytest.mark.parametrize(
    ("labels", "pairs", "allowed"),
    [
        ({0: "background", 1: "anterior", 2: "posterior"}, [], False),
        ({0: "background", 1: "left kidney", 2: "right kidney"}, [(1, 2)], True),
        ({0: "background", 1: "left kidney", 2: "spleen"}, [], False),
        ({0: "background", 1: "Left_Kidney", 2: "Right_Kidney", 3: "ctx-lh-insula"}, [(1, 2)], False),
    ],
)
def test_a_label_with_a_side_needs_a_partner(labels, pairs, allowed):
    assert may_flip(labels, pairs) is allowed
    assert why_flips(labels, pairs).startswith("every label") is allowed
