"""The program knows its own results again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from l2s_auto.io.json_files import write_json
from l2s_auto.io.origin import ORIGIN, is_own, with_origin

VALUE = {
    "mean": {"dice": 1 / 3, "hd95_mm": None},
    "cases": [{"case": "ä\udcff"}],
    "n": np.float64(0.1),
    "k": np.int64(3),
}


def test_a_file_is_known_by_its_sources_and_its_content(tmp_path):
    sources, path = [tmp_path / "a", tmp_path / "b"], tmp_path / "metrics.json"
    value = with_origin({**VALUE, "cases": []}, sources)
    write_json(path, value)
    assert is_own(path, sources) and with_origin(value, sources) == value
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    assert not is_own(path, sources[::-1]) and not is_own(tmp_path / "missing", sources)
    changed = {**json.loads(path.read_text(encoding="utf-8")), "k": 4}
    for text in (json.dumps(changed), "[]", "{}", "{", "[" * 99999, json.dumps({ORIGIN: []})):
        path.write_text(text, encoding="utf-8")
        assert not is_own(path, sources)


def test_any_name_has_a_hash(tmp_path):
    with_origin(VALUE, [tmp_path / "\udcff"])


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, "x", None, True]}])
def test_what_is_noted_does_not_depend_on_the_order(value):
    assert with_origin(value, [])[ORIGIN] == with_origin(dict(reversed(value.items())), [])[ORIGIN]
