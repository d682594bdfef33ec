"""Which cases train and which are held out: made here, or read from the user's file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import Offence, UserError, some_of
from l2s_auto.core.types import Case
from l2s_auto.io.case_files import case_id, pair_key
from l2s_auto.io.json_files import read_json

Split = dict[str, list[str]]
#: Folds of a cross-validation, where there are as many people.
FOLDS = 5
#: Folds of a user's own: leaving one subject out at a time, of a large dataset.
MAX_FOLDS = 10_000


def make_splits(cases: Sequence[Case], *, folds: int = FOLDS, seed: int = 0) -> list[Split]:
    """Folds {"train": ids, "val": ids} of about the same size; the cases of one group are never separated.

    The same cases, in any order, and the same seed give the same folds. With fewer groups than folds there are as
    many folds as groups. Raises UserError below two groups.
    """
    assert folds >= 2, f"folds must be 2 or more, not {folds}"
    groups: dict[str, list[str]] = {}
    for case in sorted(cases, key=lambda case: case.id):
        groups.setdefault(case.group, []).append(case.id)
    if len(groups) < 2:
        raise UserError.single(
            "The dataset cannot be split.",
            where=f"{len(cases)} cases",
            found=f"{len(groups)} subject",
            expected="at least 2 subjects: one to train with, one to hold out",
            mend="Add cases of other subjects, or train on everything (--fold all).",
        )
    names = sorted(groups)
    np.random.default_rng(seed).shuffle(names)
    names.sort(key=lambda name: -len(groups[name]))  # the largest first, into the emptiest fold; stable
    held_out: list[list[str]] = [[] for _ in range(min(folds, len(groups)))]
    for name in names:
        min(held_out, key=len).extend(groups[name])
    everything = sorted(case.id for case in cases)
    return [{"train": [i for i in everything if i not in set(val)], "val": sorted(val)} for val in held_out]


def read_splits(path: str | os.PathLike[str], case_ids: Collection[str]) -> list[Split]:
    """The user's folds in the form of nnU-Net's splits_final.json. Raises UserError naming all offenders."""
    content = read_json(path)
    form = 'a list of folds [{"train": ["case", …], "val": ["case", …]}, …]'
    if not isinstance(content, list) or not content:
        raise UserError("The splits cannot be used.", [_offence(str(path), _kind(content), form)])
    if len(content) > MAX_FOLDS:
        raise UserError(
            "The splits cannot be used.", [_offence(str(path), f"{len(content)} folds", f"at most {MAX_FOLDS} folds")]
        )
    offences: list[Offence] = []
    splits = [_read_fold(fold, f"{Path(path)}, fold {k}", case_ids, offences) for k, fold in enumerate(content)]
    if offences:
        raise UserError("The splits cannot be used.", offences)
    return splits


def _kind(value: object) -> str:
    return "an empty list" if value == [] else f"a value of type {type(value).__name__}"


def _offence(where: str, found: str, expected: str) -> Offence:
    return Offence(where=where, found=found, expected=expected, mend="Correct the file of splits.")


def _read_fold(fold: object, where: str, case_ids: Collection[str], offences: list[Offence]) -> Split:
    sides: Split = {"train": [], "val": []}
    for side in sides:
        ids = fold.get(side) if isinstance(fold, dict) else None
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
            offences.append(_offence(f"{where}, {side}", "no list of names", "a list of case names"))
            continue
        known = {pair_key(case): case for case in case_ids}
        ids = [known.get(pair_key(case_id(name)), name) for name in ids]
        sides[side] = ids
        unknown = sorted(set(ids) - set(case_ids))
        twice = sorted(name for name, count in Counter(ids).items() if count > 1)
        if not ids:
            offences.append(_offence(f"{where}, {side}", "no cases", "at least one case"))
        if unknown:
            offences.append(_offence(f"{where}, {side}", some_of(unknown, most=200), "names of cases of the dataset"))
        if twice:
            offences.append(_offence(f"{where}, {side}", f"{', '.join(twice)} more than once", "each case once"))
    both = sorted(set(sides["train"]) & set(sides["val"]))
    if both:
        offences.append(_offence(where, f"{', '.join(both)} in train and in val", "each case on one side"))
    return sides
