"""Whose the folders of stored cases are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case, Dataset, Volume
from l2s_auto.io.volumes import write_label_map, write_volume
from l2s_auto.preprocessing import store
from l2s_auto.preprocessing.store import require_own, store_cases


def plain(image, target, generation, spacing) -> np.ndarray:
    """A stand-in for label enrichment."""
    return target.astype(np.uint8)


@pytest.fixture
def dataset(tmp_path, scan, label_map) -> Dataset:
    cases = []
    for name in ("a", "b"):
        image, label = tmp_path / "images" / f"{name}.nii.gz", tmp_path / "labels" / f"{name}.nii.gz"
        write_volume(image, Volume(scan.data[:1], scan.affine))
        write_label_map(label, label_map, scan.affine)
        cases.append(Case(name, (image,), label))
    return Dataset("made", tmp_path, tuple(cases), ("MRI",), {0: "background", 2: "two", 77: "many"})


def test_folders_that_are_not_ours_are_all_named_and_stay(dataset, plan_at, tmp_path):
    folder = tmp_path / "store"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "thesis.txt").write_text("years of work", encoding="utf-8")
    (folder / "b" / "key.json").write_text('{"my": "key"}', encoding="utf-8")
    for call in (
        lambda: require_own(dataset, folder),
        lambda: store_cases(dataset, plan_at(), folder, enrich=plain),
    ):
        with pytest.raises(UserError, match=r"thesis\.txt") as refused:
            call()
        assert [Path(offence.where).name for offence in refused.value.offences] == ["a", "b"]
    assert sorted(path.name for path in folder.rglob("*.*")) == ["key.json", "thesis.txt", "thesis.txt"]


def test_a_file_of_the_users_in_a_stored_case_stays_when_it_is_made_again(dataset, plan_at, tmp_path, caplog):
    folder = tmp_path / "store"
    store_cases(dataset, plan_at(), folder, enrich=plain)
    (folder / "a" / "notes.txt").write_text("mine", encoding="utf-8")
    with caplog.at_level("INFO", logger="l2s_auto"):
        store_cases(dataset, plan_at(), folder, enrich=plain)
    assert "2 of 2 cases were preprocessed already" in caplog.text and "notes.txt" in caplog.text
    store_cases(dataset, plan_at((2.0, 2.0, 2.0)), folder, enrich=plain)
    assert (folder / "a" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_file_in_place_of_a_folder_is_named(dataset, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a").touch()
    with pytest.raises(UserError, match="found a file"):
        require_own(dataset, tmp_path / "store")


def test_a_kill_while_a_case_is_made_again_leaves_a_folder_of_ours(dataset, plan_at, tmp_path, monkeypatch):
    folder = tmp_path / "store"
    store_cases(dataset, plan_at(), folder, enrich=plain)
    (folder / "a" / "notes.txt").touch()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_array", killed)
    with pytest.raises(KeyboardInterrupt):
        store_cases(dataset, plan_at((2.0, 2.0, 2.0)), folder, enrich=plain)
    monkeypatch.undo()
    require_own(dataset, folder)
    for plan in (plan_at((2.0, 2.0, 2.0)), plan_at()):
        assert len(store_cases(dataset, plan, folder, enrich=plain)) == 2
