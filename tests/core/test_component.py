"""Parts by name, by import path, and with options that must exist."""

from collections.abc import Sequence
from functools import partial

import pytest
from pydantic import ValidationError

from l2s_auto.core.component import Component, build
from l2s_auto.core.errors import UserError
from l2s_auto.core.trust import trusting


class Part:
    def __init__(self, *, size: int = 1, given: int = 0) -> None:
        self.size, self.given = size, given


REGISTRY = {"part": Part}


def test_a_part_gets_its_options_and_what_the_program_gives():
    made = build(Component(name="part", options={"size": 3}), REGISTRY, kind="thing", given=7, unused=1)
    assert (made.size, made.given) == (3, 7)


def test_a_part_by_import_path():
    with trusting(["fractions:Fraction"]):
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
    with trusting([path]), pytest.raises(UserError, match="cannot be imported"):
        build(Component(name=path), REGISTRY, kind="thing")


@pytest.mark.parametrize(
    "path", ["antigravity:xx", "l2s_auto.io.json_files:write_json", "tests.core.test_component:Part"]
)
def test_what_nobody_trusts_is_not_imported(path, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    with (
        trusting(["fractions:Fraction", f"{path}2", path[:-1]]),
        pytest.raises(UserError, match=f"code outside of l2s_auto(?s:.*)--trust-code {path}"),
    ):
        build(Component(name=path), REGISTRY, kind="thing")


@pytest.mark.parametrize(
    "name", ["os.system", ":", "os:", ":system", "os:system()", "os:system\n", "", "part ", "x" * 9999]
)
def test_what_is_neither_a_name_nor_a_path_is_refused(name):
    with pytest.raises(UserError, match="no thing of that name") as refused:
        build(Component(name=name), REGISTRY, kind="thing")
    assert len(str(refused.value)) < 500 and str(refused.value).count("\n") == 1


def test_options_never_replace_what_the_program_gives():
    with pytest.raises(UserError, match=r"another value there(?s:.*)'given': found what the program decides"):
        build(Component(name="part", options={"given": 9}), REGISTRY, kind="thing", given=7)
    with trusting([f"{__name__}:anything"]), pytest.raises(UserError, match="what the program decides"):
        build(Component(name=f"{__name__}:anything", options={"given": 9}), REGISTRY, kind="thing", given=7)


def anything(**options):
    return options


class Typed:
    def __init__(
        self, *, size: int = 1, rate: float = 1.0, name: str = "", on: bool = False, many: Sequence[float] = ()
    ):
        self.values = size, rate, name, on, many


@pytest.mark.parametrize(
    "options", [{"size": 3, "rate": 2, "name": "x", "on": True, "many": [1, 2.5]}, {"many": (1.0,)}, {"size": 0}]
)
def test_options_of_the_declared_type_are_taken(options):
    made = build(Component(name="typed", options=options), {"typed": Typed}, kind="thing")
    assert all(value in made.values for value in options.values())


@pytest.mark.parametrize(
    "options",
    [
        {"size": 1.5},
        {"size": True},
        {"size": [1]},
        {"rate": "1"},
        {"name": {}},
        {"on": "x"},
        {"on": 1},
        {"many": ["a"]},
    ],
)
def test_options_of_another_type_are_one_error(options):
    for registry in ({"typed": Typed}, {"typed": partial(Typed, size=2)}):
        with pytest.raises(UserError, match="cannot have such an option") as refused:
            build(Component(name="typed", options=options), registry, kind="thing")
        assert len(refused.value.offences) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"size": 10**10},
        {"rate": 1e308},
        {"rate": float("nan")},
        {"name": "x" * 10_000},
        {"name": "\x1b[2J"},
        {"many": [0] * 10_000},
        {"a": {"b": {"c": {"d": {}}}}},
    ],
)
def test_options_have_bounds(options):
    with pytest.raises(ValidationError):
        Component(name="typed", options=options)
