"""What is said where a validation may be of what was learned."""

from l2s_auto.core.types import Case, Dataset
from l2s_auto.training.leaks import leaks


def dataset(tmp_path):
    cases = []
    for name, subject, content in (("a", "p", "1"), ("b", "p", "22"), ("c", "", "333"), ("d", "", "333")):
        path = tmp_path / f"{name}.nii"
        path.write_text(content)
        cases.append(Case(name, (path,), path, subject))
    return Dataset("made", tmp_path, tuple(cases), ("MRI",), {0: "background", 1: "one"})


def test_good_splits_are_not_warned_of(tmp_path):
    split = [{"train": ["a", "b"], "val": ["c", "d"]}, {"train": ["c", "d"], "val": ["a", "b"]}]
    assert leaks(dataset(tmp_path), split) == [] and leaks(dataset(tmp_path), []) == []


def test_a_person_a_copy_and_cases_left_out_are_told(tmp_path):
    splits = [{"train": ["a", "c"], "val": ["b", "d"]}, {"train": ["a"], "val": ["c"]}]
    person, copy, out = leaks(dataset(tmp_path), splits)
    assert "fold 0" in person and "validates on p" in person
    assert "c and d" in copy
    assert "fold 1 of the splits leaves 2 cases out: b, d" in out
