"""Whose a folder is, and which are a dataset's."""

from __future__ import annotations

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.places import (
    MARK,
    contents,
    dataset_folder,
    kind_of,
    mark,
    replace_folder,
    require_outside_of_datasets,
    require_replaceable_folder,
)


def test_a_folder_is_known_by_its_mark(tmp_path):
    assert kind_of(tmp_path) is None
    mark(tmp_path / "run", "run")
    mark(tmp_path / "run", "demo")
    assert kind_of(tmp_path / "run") == "run" and contents(tmp_path / "run") == []
    for text in ("[]", "{", '{"program": "other", "kind": "run"}', '{"program": "l2s_auto", "kind": 1}', "[" * 99999):
        (tmp_path / "run" / MARK).write_text(text, encoding="utf-8")
        assert kind_of(tmp_path / "run") is None


def test_what_systems_leave_behind_is_no_content(tmp_path):
    for name in (".DS_Store", ".gitkeep", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    (tmp_path / "empty" / "too").mkdir(parents=True)
    assert contents(tmp_path) == []
    (tmp_path / "notes.txt").touch()
    assert contents(tmp_path) == ["empty", "notes.txt"] and contents(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("beside", "output", "refused"),
    [
        (("imagesTr",), "labelsTr", False),
        (("imagesTr", "labelsTr"), "labelsTr", True),
        (("imagesTr", "labelsTr"), "labelsTr/deep/er", True),
        (("images", "labels"), "LABELS", True),
        (("images", "labels"), "labels_mine", False),
        (("images", "labels"), "run", False),
        (("images", "labels", "labels_theirs/a.nii.gz"), "labels_theirs", True),
        (("images", "labels", "labels_ours/a.nii.gz", "labels_ours/manifest.json"), "labels_ours", False),
        (("imagesTs", "dataset.json"), "labelsTs", True),
        (("labels",), "labels", False),
    ],
)
def test_folders_of_a_dataset(tmp_path, beside, output, refused):
    for name in beside:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch() if path.suffix else path.mkdir()
    assert (dataset_folder(tmp_path / output) is not None) is refused
    if refused:
        with pytest.raises(UserError, match="never written to"):
            require_outside_of_datasets(tmp_path / output)
        (tmp_path / "link").symlink_to(tmp_path / output)
        assert dataset_folder(tmp_path / "link") is not None


def test_a_folder_is_replaced_only_if_all_in_it_is_ours(tmp_path):
    made, folder = tmp_path / "made", tmp_path / "model"
    for place in (made, folder):
        (place / "fold_0").mkdir(parents=True)
        (place / "fold_0" / "weights").write_text(place.name, encoding="utf-8")

    def is_ours(name: str) -> bool:
        return name == "fold_0/weights"

    with pytest.raises(UserError, match="add --overwrite"):
        require_replaceable_folder(folder, is_ours, overwrite=False)
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match=r"not empty: notes\.txt"):
        require_replaceable_folder(folder, is_ours, overwrite=True)
    (folder / "notes.txt").rename(folder / ".DS_Store")
    require_replaceable_folder(folder, is_ours, overwrite=True)
    replace_folder(made, folder)
    assert (folder / "fold_0" / "weights").read_text(encoding="utf-8") == "made"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    (tmp_path / "link").symlink_to(folder)
    for name, found in (("link", "a link"), ("model/fold_0/weights", "a file")):
        with pytest.raises(UserError, match=found):
            require_replaceable_folder(tmp_path / name, is_ours, overwrite=True)
