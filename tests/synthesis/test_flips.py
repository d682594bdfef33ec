"""Partners of enriched labels."""

import pytest

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.flips import partners


def label(target, generation_class, centre=None):
    return EnrichedLabel(name=f"{target}", target=target, generation_class=generation_class, centre=centre)


def test_partners_are_the_same_part_on_the_other_side_and_twice_is_the_identity():
    parts = [(1, 2, 0.7), (1, 1, 0.3), (3, 1, 0.3), (3, 2, 0.7)]
    generation = GenerationPlan(
        enriched=(label(0, 0, 0.1), label(0, 3, 0.9), *(label(*part) for part in parts), label(2, 4), label(4, 4))
    )
    found = partners(generation, [(3, 1), (2, 4)])
    assert found == (0, 1, 5, 4, 3, 2, 7, 6)
    assert tuple(found[i] for i in found) == tuple(range(8))
    assert partners(generation, []) == tuple(range(8))


def test_partners_with_other_parts_are_an_error():
    generation = GenerationPlan(enriched=(label(0, 0), label(1, 1, 0.2), label(1, 2, 0.4), label(2, 1)))
    with pytest.raises(ValueError, match="1 and 2 are left and right of one another, but have 2 and 1 enriched"):
        partners(generation, [(1, 2)])
