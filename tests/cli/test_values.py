"""Laws of the values that a user types."""

from __future__ import annotations

import argparse

import pytest

from l2s_auto.commands import values


@pytest.mark.parametrize("number", [0.5, 1, 7, 90, 3600])
def test_duration_units_agree(number: float) -> None:
    assert values.duration(f"{number}s") == number
    assert values.duration(f"{number}m") == values.duration(f"{number * 60}s")
    assert values.duration(f"{number}h") == values.duration(f"{number * 60}m")


def test_duration_adds_up() -> None:
    assert values.duration("1h30m15s") == values.duration("1H 30M 15S") == 3600 + 1800 + 15


@pytest.mark.parametrize("text", ["3", "3.5", " 90 ", "0"])
def test_a_time_without_a_unit_is_asked_about(text: str) -> None:
    number = text.strip()
    with pytest.raises(argparse.ArgumentTypeError, match=f"{number}s, {number}m or {number}h\\?"):
        values.duration(text)


@pytest.mark.parametrize("text", ["", "m", "10x", "-5m", "ten", "0", "0m", "1h30", "nan", "inf", "5 m s", "1e3"])
def test_bad_duration_names_what_was_found_and_what_is_right(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"found .*; expected a duration .*10m"):
        values.duration(text)


@pytest.mark.parametrize(("text", "expected"), [("1/1", (1, 1)), ("2/4", (2, 4)), (" 4 / 4 ", (4, 4))])
def test_part(text: str, expected: tuple[int, int]) -> None:
    share = values.part(text)
    assert (share.index, share.count) == expected
    assert values.part(str(share)) == share


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/", "a/b", "1/0", "-1/3"])
def test_bad_part(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected I/N"):
        values.part(text)


def test_fold() -> None:
    assert values.fold("all") == "all"
    assert [values.fold(str(k)) for k in range(5)] == list(range(5))
    assert values.fold("fold_3") == 3 and values.fold("fold_all") == "all"
    for text in ("-1", "first", "1.0", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a fold number"):
            values.fold(text)


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (values.count, ["1", "12"], ["0", "-1", "1.5", "many", ""]),
        (values.count_or_zero, ["0", "3"], ["-1", "0.5", "x"]),
        (values.positive, ["0.5", "8"], ["0", "-1", "nan", "inf", "x"]),
        (values.share, ["0.01", "0.5", "1"], ["0", "1.1", "-0.5", "nan", "all"]),
        (values.overlap, ["0", "0.5", "0.99"], ["1", "-0.1", "nan", "half"]),
    ],
)
def test_numbers(parse, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert parse(text) == float(text)
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=r"found .*; expected a"):
            parse(text)
