"""Files appear whole or not at all, and what a killed process leaves behind goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2s_auto.io import atomic
from l2s_auto.io.atomic import atomic_path, sweep, unfinished

WRITER = """
import os, sys
from pathlib import Path
from l2s_auto.io.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os._exit(1)
"""


def test_an_error_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("half")
        raise RuntimeError
    assert [one.name for one in tmp_path.iterdir()] == ["a.nii.gz"]
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell whether a process is there")
def test_what_a_killed_process_left_is_swept_away(tmp_path):
    path = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    mine, other = tmp_path / unfinished("x"), tmp_path / ".partial-12345678-1-of-another-machine"
    for one in (mine, other, path):
        one.write_text("stays")
    folder = left.with_name(left.name + "-folder")
    folder.mkdir()
    (folder / "a.raw").write_bytes(b"half")
    assert sweep(tmp_path) == sorted([left, folder])
    assert sorted(tmp_path.iterdir()) == sorted([mine, other, path])


def test_what_cannot_be_removed_stays_and_stops_nothing(tmp_path, monkeypatch):
    left = tmp_path / unfinished("x")
    left.write_text("half", encoding="utf-8")
    monkeypatch.setattr(atomic, "_runs", lambda process: False)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert sweep(tmp_path) == [] and left.exists()


def test_where_there_is_nothing_nothing_is_swept(tmp_path):
    assert sweep(Path(tmp_path / "missing")) == []
