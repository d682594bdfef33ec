"""Files appear whole or not at all; JSON errors name the file and the field."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.json_files import read_json, read_model, write_json


def test_file_appears_on_success_with_its_suffixes(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "scan é.nii.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and temporary.name.endswith(".nii.gz")
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == [target.name]


def test_older_file_survives_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_file_has_the_usual_permissions(tmp_path: Path) -> None:
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"
    plain.write_text("")
    with atomic_path(atomic) as temporary:
        temporary.write_text("")
    assert atomic.stat().st_mode == plain.stat().st_mode


def test_json_reads_back(tmp_path: Path) -> None:
    value = {"é": [1, 2.5, -3e-7], "text": "[\n 1,\n 2\n]", "nested": [[1, 2], [3, 4]], "none": None, "empty": []}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "[1, 2.5, -3e-07]" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_takes_models_arrays_and_paths(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"recipe": Recipe(seed=3), "array": np.arange(3), "n": np.int64(2), "p": Path("x")})
    content = read_json(tmp_path / "a.json")
    assert content["recipe"]["seed"] == 3 and content["array"] == [0, 1, 2] and content["n"] == 2
    write_json(tmp_path / "recipe.json", Recipe(seed=4))
    assert read_model(tmp_path / "recipe.json", Recipe) == Recipe(seed=4)


def test_json_refuses_nan_and_unknown_types(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert os.listdir(tmp_path) == []


def test_missing_and_broken_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.json"):
        read_json(tmp_path / "nothing.json")
    (tmp_path / "broken.json").write_text('{"a": 1,,}')
    with pytest.raises(UserError, match=r"broken.json: found .*line 1 column 9"):
        read_json(tmp_path / "broken.json")
    (tmp_path / "latin.json").write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.json"):
        read_json(tmp_path / "latin.json")


class _Inner(BaseModel):
    count: int


class _Outer(BaseModel):
    name: str
    inner: _Inner


def test_every_wrong_field_of_a_model_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", {"inner": {"count": "many"}})
    with pytest.raises(UserError) as caught:
        read_model(tmp_path / "m.json", _Outer)
    assert len(caught.value.offences) == 2
    assert "field name: found nothing" in str(caught.value)
    assert "field inner.count: found 'many'" in str(caught.value)
