"""What had to be assumed is said once per assumption."""

from l2s_auto.io.notes import sentences


def test_one_line_per_assumption_with_a_few_names():
    notes = [("a", "no unit"), ("b", "no unit"), ("c", "no unit"), ("d", "no unit"), ("d", "no direction")]
    assert sentences(notes) == ["4 scans (a, b, c and 1 more): no unit", "d: no direction"]


def test_the_same_note_of_the_same_file_counts_once():
    assert sentences([("a", "no unit"), ("a", "no unit")]) == ["a: no unit"]


def test_without_assumptions_there_is_nothing_to_say():
    assert sentences([]) == []
