"""Fractions of the families of training images: what a batch has of each, as text, and as earlier recipes said it."""

import math

import pytest

from l2s_auto.core.composition import (
    FAMILIES,
    FROM_SCANS,
    RENDERED,
    Composition,
    as_text,
    of_shares,
    parsed,
    problem_of,
    uniform,
)
from l2s_auto.core.recipe import Recipe

SOME = (
    {"real-like": 0.6, "random-curve": 0.4},
    {"real-like": 0.5, "reversed": 0.15, "uniform-tissues": 0.25, "uniform-labels": 0.1},
    {"original": 0.5, "random-curve": 0.25, "recontrasted": 0.25},
    {"original": 1.0},
    {name: 1 / len(FAMILIES) for name in FAMILIES},
)
#: Starts, both ends of their range among them.
STARTS = [0.0, 1 - 2**-53, *(number / 997 for number in range(997))]


@pytest.mark.parametrize("fractions", SOME)
@pytest.mark.parametrize("batch", [1, 2, 3, 8, 10])
def test_a_batch_has_of_each_family_its_part_rounded_up_or_down_and_in_the_mean_just_that(fractions, batch):
    composition, total = Composition(fractions), dict.fromkeys(fractions, 0)
    for start in STARTS:
        families = composition.of_batch(batch, start)
        assert len(families) == batch and list(families) == sorted(families, key=FAMILIES.index)
        for name, fraction in fractions.items():
            count, expected = families.count(name), round(fraction * batch, 9)
            assert math.floor(expected) <= count <= math.ceil(expected), (name, start)
            total[name] += count
    for name, fraction in fractions.items():
        assert total[name] / len(STARTS) == pytest.approx(fraction * batch, abs=0.01)


def test_rendered_images_come_first():
    families = Composition(SOME[-1]).of_batch(14, 0.5)
    kinds = [name in RENDERED for name in families]
    assert kinds == sorted(kinds, reverse=True) and any(kinds) and not all(kinds)


def test_fractions_sum_to_one_and_what_has_none_is_left_out():
    composition = Composition({"original": 0.5000001, "reversed": 0.5, "real-like": 0.0})
    assert sum(composition.fractions.values()) == pytest.approx(1, abs=1e-15)
    assert list(composition.fractions) == ["reversed", "original"] and composition["real-like"] == 0
    assert composition.rendered + composition.from_scans == pytest.approx(1)


@pytest.mark.parametrize("fractions", SOME)
def test_the_composition_of_a_compositions_fractions_is_the_same(fractions):
    once = Composition(fractions)
    assert Composition(once.fractions) == once


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"real-like": 0.5, "curves": 0.5}, "unknown family curves; the families are real-like, reversed,"),
        ({"real-like": 1.5, "reversed": -0.5}, "numbers from 0 to 1"),
        ({"real-like": math.nan}, "numbers from 0 to 1"),
        ({"real-like": math.inf}, "numbers from 0 to 1"),
        ({"real-like": 0.5}, "must sum to 1, not 0.5"),
        ({}, "must sum to 1, not 0"),
    ],
)
def test_what_is_no_composition_is_refused_with_the_reason(fractions, message):
    assert message in problem_of(fractions)
    with pytest.raises(ValueError, match=message):
        Composition(fractions)


@pytest.mark.parametrize("fractions", SOME)
def test_text_and_fractions_are_each_others_inverse(fractions):
    assert parsed(as_text(fractions)) == pytest.approx(fractions, abs=1e-6)
    assert as_text(parsed(as_text(fractions))) == as_text(fractions)
    spaced = as_text(fractions).replace(",", " , ").replace("=", " = ")
    assert parsed(spaced) == parsed(as_text(fractions))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not NAME=FRACTION"),
        ("real-like", "'real-like' is not NAME=FRACTION, such as real-like=0.6"),
        ("real-like=much", "is not NAME=FRACTION"),
        ("real-like=0.5,real-like=0.5", "real-like is there twice"),
        ("real-like=0.5,original=0.4", "must sum to 1, not 0.9"),
        ("fake=1", "unknown family fake"),
        ("real-like=nan", "numbers from 0 to 1"),
    ],
)
def test_text_that_says_no_fractions_is_refused_with_the_reason(text, message):
    with pytest.raises(ValueError, match=message):
        parsed(text)


def test_another_fraction_of_one_family_leaves_the_others_in_their_proportions():
    before = Composition({"real-like": 0.6, "reversed": 0.1, "random-curve": 0.3})
    after = before.with_fraction("real-like", 0.2)
    assert dict(after.fractions) == pytest.approx({"real-like": 0.2, "reversed": 0.2, "random-curve": 0.6})
    assert Composition({"real-like": 1.0}).with_fraction("real-like", 0.0) == Composition(uniform())


def test_rendered_families_alone_keep_their_proportions():
    mixed = Composition({"real-like": 0.3, "reversed": 0.1, "random-curve": 0.6})
    assert dict(mixed.only_rendered().fractions) == pytest.approx({"real-like": 0.75, "reversed": 0.25})
    assert Composition({"original": 1.0}).only_rendered() == Composition(uniform())


def test_without_statistics_of_scans_contrasts_like_theirs_are_random():
    found = Composition({"real-like": 0.4, "reversed": 0.2, "random-curve": 0.4}).without_scans_statistics()
    assert dict(found.fractions) == pytest.approx({**uniform(0.6), "random-curve": 0.4})
    assert Composition(uniform()).without_scans_statistics() == Composition(uniform())


def test_shares_of_earlier_recipes_are_fractions():
    assert dict(of_shares(0.4, 0.2).fractions) == pytest.approx({"real-like": 0.4, "reversed": 0.2, **uniform(0.4)})
    assert dict(of_shares(None, None).fractions) == pytest.approx({"real-like": 0.6, "reversed": 0.15, **uniform(0.25)})
    assert dict(of_shares(1.0, None).fractions) == {"real-like": 1.0}
    assert dict(of_shares(0.0, 0.0).fractions) == pytest.approx(uniform())


LEARNED = {"real-like": 0.6, "reversed": 0.15, **uniform(0.25)}


@pytest.mark.parametrize(
    ("method", "prior", "turned", "families"),
    [
        ("learn2synth", None, None, LEARNED),
        ("learn2synth-matched", None, None, LEARNED),
        ("learn2synth", 0.0, 0.0, uniform()),
        ("learn2synth", 0.4, None, {"real-like": 0.4, "reversed": 0.15, **uniform(0.45)}),
        ("learn2synth", 1.0, None, {"real-like": 1.0}),
        ("synthseg", None, None, None),
        ("synthseg", 0.0, None, uniform()),
        ("synthseg", 0.4, None, {"real-like": 0.4, **uniform(0.6)}),
        ("supervised", None, None, None),
    ],
)
def test_a_recipe_of_shares_is_read_as_what_it_stood_for_without_a_home_phase(method, prior, turned, families):
    recipe = Recipe.model_validate({"method": {"name": method}, "prior_share": prior, "reversed_share": turned})
    assert recipe.home == 0
    assert recipe.families == (None if families is None else pytest.approx(families))
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_recipe_of_shares_without_a_method_is_of_the_default_one():
    assert Recipe.model_validate({"prior_share": None}).families == pytest.approx(LEARNED)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prior_share": 2}, "numbers from 0 to 1"),
        ({"prior_share": "much"}, "numbers from 0 to 1"),
        ({"prior_share": True}, "numbers from 0 to 1"),
        ({"reversed_share": math.nan}, "numbers from 0 to 1"),
        ({"prior_share": 0.4, "families": uniform()}, "leave the shares out"),
        ({"families": {"real-like": 0.4}}, "must sum to 1"),
        ({"families": {"curves": 1.0}}, "unknown family curves"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Recipe.model_validate(values)


def test_each_family_is_rendered_or_made_of_scans():
    assert set(RENDERED) | set(FROM_SCANS) == set(FAMILIES) and not set(RENDERED) & set(FROM_SCANS)


def test_a_recipe_of_earlier_versions_without_an_aim_is_for_both():
    assert Recipe.model_validate({"aim": None}).aim == Recipe().aim == "both"
    assert Recipe.model_validate({"aim": "each"}).aim == "each"
