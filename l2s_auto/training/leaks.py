"""Ways in which what is validated on may have been learned from, although no rule forbids them."""

from __future__ import annotations

from collections.abc import Sequence

from l2s_auto.core.types import Dataset
from l2s_auto.io.content import copies


def leaks(dataset: Dataset, splits: Sequence[dict[str, list[str]]]) -> list[str]:
    """Sentences of what to look at before the figures of a validation are believed."""
    return [*of_subjects(dataset, splits), *of_copies(dataset, splits), *left_out(dataset, splits)]


def of_subjects(dataset: Dataset, splits: Sequence[dict[str, list[str]]]) -> list[str]:
    """Persons on both sides of a fold, as only the user's own splits can have them."""
    group = {case.id: case.group for case in dataset.cases}
    told = []
    for number, fold in enumerate(splits):
        both = sorted({group[name] for name in fold["train"]} & {group[name] for name in fold["val"]})
        if both:
            names = _some(both)
            told.append(f"fold {number} of the splits learns from and validates on {names}: its figures are too good.")
    return told


def of_copies(dataset: Dataset, splits: Sequence[dict[str, list[str]]]) -> list[str]:
    """The same image under two names, one learned from where the other is validated on."""
    pairs = [(one.id, two.id) for one, two in copies(dataset.cases, dataset.cases) if one.id < two.id]
    apart = [
        (one, two)
        for one, two in pairs
        if any(len({one, two} & set(fold["val"])) == 1 and {one, two} & set(fold["train"]) for fold in splits)
    ]
    if not apart:
        return []
    names = _some([f"{one} and {two}" for one, two in apart])
    return [f"the same image is there twice: {names}; one is learned from and the other validated on."]


def left_out(dataset: Dataset, splits: Sequence[dict[str, list[str]]]) -> list[str]:
    """Cases that a fold of the user's neither learns from nor validates on."""
    told = []
    for number, fold in enumerate(splits):
        missing = [case.id for case in dataset.cases if case.id not in {*fold["train"], *fold["val"]}]
        if missing:
            told.append(f"fold {number} of the splits leaves {len(missing)} cases out: {_some(missing)}.")
    return told


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
