"""What is read is never written to, and what others wrote is replaced only where that is wished for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io import ownership
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.json_files import write_json
from l2s_auto.io.ownership import discard, is_own, protected, remove, replace, require_free


def linked(source: Path, target: Path, kind: str) -> Path:
    """Another name of a file."""
    if kind == "the same":
        return source
    (os.link if kind == "hard" else os.symlink)(source, target)
    return target


@pytest.mark.parametrize("kind", ["the same", "soft", "hard"])
def test_a_file_that_is_read_is_not_written_to_by_any_name(tmp_path, kind):
    scan = tmp_path / "scan.nii.gz"
    scan.write_text("voxels", encoding="utf-8")
    name = linked(scan, tmp_path / "other.nii.gz", kind)
    new = tmp_path / "new"
    new.write_text("new", encoding="utf-8")
    with protected([scan]):
        for write in (lambda: write_json(name, {}), lambda: replace(new, name), lambda: remove(name)):
            with pytest.raises(UserError, match="read would be replaced"):
                write()
        with pytest.raises(UserError), atomic_path(name):
            pass
    assert scan.read_text(encoding="utf-8") == "voxels"
    remove(name)
    assert not name.exists()


def test_files_of_a_series_are_protected_too(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").touch()
    with protected([tmp_path / "series"]), pytest.raises(UserError):
        remove(tmp_path / "series" / "1.dcm")


def test_all_that_is_in_the_way_is_named_at_once(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    names = ["folder", "file", "link", "free"]
    with pytest.raises(UserError, match="--overwrite") as refused:
        require_free(tmp_path / name for name in names)
    assert [offence.found for offence in refused.value.offences] == ["a folder", "a file", "a link"]
    with pytest.raises(UserError) as refused:
        require_free((tmp_path / name for name in names), overwrite=True)
    assert [offence.found for offence in refused.value.offences] == ["a folder"]


def test_own_files_are_known_until_somebody_changes_them(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {})
    assert is_own(path)
    require_free([path])
    before = path.stat()
    path.write_text("[]\n", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not is_own(path)
    with pytest.raises(UserError):
        require_free([path])


def test_a_link_is_replaced_itself(tmp_path):
    theirs, link = tmp_path / "theirs.json", tmp_path / "link.json"
    theirs.write_text("theirs", encoding="utf-8")
    link.symlink_to(theirs)
    write_json(link, {})
    assert theirs.read_text(encoding="utf-8") == "theirs" and not link.is_symlink()


def test_nothing_finished_is_discarded(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(AssertionError):
        discard(tmp_path / "folder")
    (tmp_path / f"{ownership.UNFINISHED}x" / "inside").mkdir(parents=True)
    discard(tmp_path / f"{ownership.UNFINISHED}x")
    discard(tmp_path / f"{ownership.UNFINISHED}y")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("name", [f"{'x' * 223}.nii.gz", f"a.{'y' * 226}", f"a.{'y' * 200}.{'z' * 24}"])
def test_long_names_are_written(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("whole", encoding="utf-8")
    assert (tmp_path / name).read_text(encoding="utf-8") == "whole"
