"""Where l2s_evaluate writes: over its own metrics of the same folders, and over nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from l2s_auto import cli
from l2s_auto.io.content import hash_of
from l2s_auto.io.volumes import write_label_map


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("predictions", "references", "others"):
        for case in ("a", "b"):
            write_label_map(tmp_path / name / f"{case}.nii.gz", np.eye(4, dtype=np.int16)[None], np.eye(4))
    (tmp_path / "labels.json").write_text('{"background": 0, "one": 1}', encoding="utf-8")
    return tmp_path


def evaluate(folder: Path, *more: str, predictions: str = "predictions", references: str = "references") -> int:
    names = ["-p", str(folder / predictions), "-r", str(folder / references)]
    return cli.evaluate([*names, "--labels", str(folder / "labels.json"), *more])


def files(folder: Path) -> dict[Path, str]:
    return {path: hash_of(path) for path in folder.rglob("*") if path.is_file()}


def test_own_metrics_of_the_same_folders_are_replaced(folders, capsys) -> None:
    assert evaluate(folders) == 0 == evaluate(folders)
    assert evaluate(folders, "-o", str(folders / "new" / "m.json")) == 0
    assert evaluate(folders, "-o", str(folders / "new" / "m.json")) == 0
    metrics = json.loads((folders / "predictions" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["mean"]["dice"] == 1.0 and str(folders) not in json.dumps(metrics)


@pytest.mark.parametrize("what", ["another evaluation", "edited", "an earlier version", "notes", "link"])
def test_other_metrics_are_refused_unless_they_may_be_overwritten(folders, capsys, what) -> None:
    path = folders / "predictions" / "metrics.json"
    if what == "another evaluation":
        assert evaluate(folders, references="others") == 0
    elif what == "notes":
        path.write_text("my notes", encoding="utf-8")
    elif what == "link":
        (folders / "theirs.json").write_text("theirs", encoding="utf-8")
        path.symlink_to(folders / "theirs.json")
    else:
        assert evaluate(folders) == 0
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if what == "edited":
            metrics["notes"].append("checked by me")
        else:
            del metrics["made_by"]
        path.write_text(json.dumps(metrics), encoding="utf-8")
    before = files(folders)
    capsys.readouterr()
    assert evaluate(folders) == 2
    error = capsys.readouterr().err
    assert str(path) in error and "--overwrite" in error and files(folders) == before
    assert evaluate(folders, "--overwrite") == 0 == evaluate(folders)
    assert what != "link" or (folders / "theirs.json").read_text(encoding="utf-8") == "theirs"


@pytest.mark.parametrize("name", ["predictions/a.nii.gz", "references/b.nii.gz", "labels.json"])
def test_what_is_compared_is_never_replaced(folders, capsys, name) -> None:
    before = files(folders)
    (folders / "link").symlink_to(folders / name)
    for output in (folders / name, folders / "link"):
        for more in ([], ["--overwrite"]):
            assert evaluate(folders, "-o", str(output), *more) == 2
            assert "cannot be written" in capsys.readouterr().err
    assert {path: digest for path, digest in files(folders).items() if path.name != "link"} == before


def test_a_file_among_the_labels_of_a_dataset(folders, capsys) -> None:
    for name in ("images", "labels"):
        (folders / "references").rename(folders / name) if name == "labels" else (folders / name).mkdir()
    output = str(folders / "labels" / "m.json")
    for more in ([], ["--overwrite"]):
        assert evaluate(folders, "-o", output, *more, references="labels") == 2
        assert "never written to" in " ".join(capsys.readouterr().err.split())
