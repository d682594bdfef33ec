"""Splits: disjoint, covering, balanced, deterministic, and never between the scans of one person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case
from l2s_auto.io.json_files import write_json
from l2s_auto.io.splits import make_splits, read_splits


def _cases(count: int, subjects: int, seed: int = 0) -> list[Case]:
    who = np.random.default_rng(seed).permutation(np.arange(count) % subjects)
    return [Case(id=f"c{n:03d}", images=(), subject=f"s{who[n]}") for n in range(count)]


@pytest.mark.parametrize("count, subjects", [(2, 2), (5, 3), (23, 23), (40, 7), (101, 30)])
def test_laws(count: int, subjects: int) -> None:
    cases = _cases(count, subjects)
    everything = {case.id for case in cases}
    splits = make_splits(cases)
    assert len(splits) == min(5, subjects)
    assert sorted(name for split in splits for name in split["val"]) == sorted(everything)
    subject = {case.id: case.subject for case in cases}
    for split in splits:
        train, val = set(split["train"]), set(split["val"])
        assert train and val and train | val == everything and not train & val
        assert not {subject[name] for name in train} & {subject[name] for name in val}
    sizes = [len(split["val"]) for split in splits]
    assert max(sizes) - min(sizes) <= -(-count // subjects)


def test_deterministic_and_independent_of_the_order() -> None:
    cases = _cases(30, 12)
    assert make_splits(cases, seed=3) == make_splits(cases[::-1], seed=3)
    assert make_splits(cases, seed=3) != make_splits(cases, seed=4)


def test_one_subject_cannot_be_split() -> None:
    with pytest.raises(UserError, match="1 subject"):
        make_splits(_cases(4, 1))


def test_read_splits(tmp_path: Path) -> None:
    splits = make_splits(_cases(6, 6), folds=3)
    write_json(tmp_path / "s.json", splits)
    assert read_splits(tmp_path / "s.json", [f"c{n:03d}" for n in range(6)]) == splits


@pytest.mark.parametrize(
    "content, messages",
    [
        ({}, ["a value of type dict"]),
        ([], ["an empty list"]),
        ([[]], ["fold 0, train: found no list", "fold 0, val: found no list"]),
        ([{"train": ["a"], "val": []}, {"train": ["x"], "val": ["y"]}], ["fold 0, val: found no cases", "x", "y"]),
        ([{"train": ["a", "b"], "val": ["b"]}], ["b in train and in val"]),
        ([{"train": ["a", "a"], "val": ["b"]}], ["a more than once"]),
        ([{"train": [1], "val": ["b"]}], ["no list of names"]),
    ],
)
def test_wrong_splits_name_all_offenders(tmp_path: Path, content: Any, messages: list[str]) -> None:
    write_json(tmp_path / "s.json", content)
    with pytest.raises(UserError) as caught:
        read_splits(tmp_path / "s.json", ["a", "b"])
    assert len(caught.value.offences) == len(messages)
    for message in messages:
        assert message in str(caught.value)
