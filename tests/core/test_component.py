"""Parts by name, by import path, and with options that must exist."""

import pytest

from l2s_auto.core.component import Component, build
from l2s_auto.core.errors import UserError


class Part:
    def __init__(self, *, size: int = 1, given: int = 0) -> None:
        self.size, self.given = size, given


REGISTRY = {"part": Part}


def test_a_part_gets_its_options_and_what_the_program_gives():
    made = build(Component(name="part", options={"size": 3}), REGISTRY, kind="thing", given=7, unused=1)
    assert (made.size, made.given) == (3, 7)


def test_a_part_by_import_path():
    made = build(Component(name="fractions:Fraction", options={"numerator": 3}), REGISTRY, kind="thing")
    assert made == 3


def test_an_unknown_name_is_an_error_with_a_hint():
    with pytest.raises(UserError, match=r"no thing of that name(?s:.*)Did you mean 'part'"):
        build(Component(name="parth"), REGISTRY, kind="thing")


def test_a_misspelt_option_is_an_error_that_names_the_right_ones():
    with pytest.raises(UserError, match=r"'sise'(?s:.*)size"):
        build(Component(name="part", options={"sise": 3}), REGISTRY, kind="thing", given=1)


@pytest.mark.parametrize("path", ["no.such.module:Class", "fractions:Nothing"])
def test_an_import_path_to_nowhere_is_an_error(path):
    with pytest.raises(UserError, match="cannot be imported"):
        build(Component(name=path), REGISTRY, kind="thing")
