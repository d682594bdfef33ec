"""history.jsonl is rewritten only where a line goes, and never half."""

from __future__ import annotations

import os

import pytest

from l2s_auto.io import ownership
from l2s_auto.training.history import History

WHOLE = b'{"iteration": 1}\n{"iteration": 2, "theta": {}}\n'


def test_a_history_that_loses_no_line_is_not_written(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_bytes(WHOLE)
    before = path.stat()
    History(path, first_step=2)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    History(tmp_path / "new.jsonl", first_step=0)
    assert (tmp_path / "new.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    "line",
    [
        b"[1, 2]", b"3", b"null", b'"text"', b'{"iterat', b"{}", b'{"iteration": "1"}', b'{"iteration": null}',
        b"\xff\xfe", b'{"iteration": 3}', b'{"iteration": NaN}', b"[" * 99999,
        b'{"iteration": ' + b"1" * 5000 + b"}", b"",
    ],
)  # fmt: skip
def test_lines_of_another_kind_are_dropped(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_bytes(WHOLE + line + b"\n" + b'{"iteration": 2}')
    History(path, first_step=2)
    assert path.read_bytes() == WHOLE + b'{"iteration": 2}\n'


def test_a_full_disk_leaves_the_history_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "history.jsonl"
    path.write_bytes(WHOLE + b'{"iteration": 9}\n')

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for place, name in ((os, "fsync"), (ownership, "replace")):
        monkeypatch.setattr(place, name, full)
        with pytest.raises(OSError, match="No space"):
            History(path, first_step=2)
        monkeypatch.undo()
        assert path.read_bytes() == WHOLE + b'{"iteration": 9}\n' and len(list(tmp_path.iterdir())) == 1
