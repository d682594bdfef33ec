"""Demo and experiments write into folders of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.experiments import demo
from l2s_auto.experiments.folder import make_folder
from l2s_auto.experiments.phantoms import DESCRIPTION
from l2s_auto.io.places import kind_of, mark


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine", encoding="utf-8")
    return folder


def test_an_experiment_takes_a_new_folder_or_its_own(tmp_path):
    out = tmp_path / "out"
    make_folder(out, picture="a.png", inside="settings")
    write(out, "notes.txt")
    make_folder(out, picture="a.png")
    assert kind_of(out) == "experiment" and (out / "settings").is_dir()


@pytest.mark.parametrize("name", ["plans/choices.json", "settings/a, matching, 2D, seed 0, 3, maps 12345678.json"])
def test_an_experiment_of_an_earlier_version_is_known(tmp_path, name):
    make_folder(write(tmp_path / "out", name, "notes.txt"), picture="a.png")


@pytest.mark.parametrize("names", [["thesis.docx"], ["methods.json", "images/a.png"], ["settings/a.json"]])
def test_an_experiment_refuses_a_folder_of_somebody_else(tmp_path, names):
    out = write(tmp_path / "out", *names)
    before = sorted(out.rglob("*"))
    with pytest.raises(UserError, match="not of an experiment"):
        make_folder(out, picture="a.png", inside="new")
    assert sorted(out.rglob("*")) == before
    make_folder(out, picture="a.png", overwrite=True)


def test_an_experiment_beside_its_own_data(tmp_path):
    write(tmp_path, "maps/a.nii.gz")
    make_folder(tmp_path, picture="a.png", data=tmp_path / "maps")


def test_the_command_says_what_it_found(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "home", "thesis.docx"))
    for name in ("recovery", "methods", "contrast"):
        assert cli.experiment([name, "-o", ".", "--device", "cpu"]) == 2
        assert "thesis.docx" in capsys.readouterr().err
    assert cli.demo(["-o", "."]) == 2 == cli.demo(["-o", ".", "--overwrite"])
    assert "thesis.docx" in capsys.readouterr().err
    assert [path.name for path in Path().rglob("*")] == ["thesis.docx"]


def test_a_demo_is_replaced_only_where_that_is_wished(tmp_path):
    out = tmp_path / "demo"
    demo._require_free(out, overwrite=False)
    mark(out, "demo")
    demo._require_free(out, overwrite=False)
    write(out, "phantoms/x")
    with pytest.raises(UserError, match=r"holds a demo already.*\n.*--overwrite"):
        demo._require_free(out, overwrite=False)
    demo._require_free(out, overwrite=True)


def test_a_demo_of_an_earlier_version_is_known(tmp_path):
    out = write(tmp_path / "demo", "phantoms/dataset.json", "run/plan.json")
    with pytest.raises(UserError, match="not of a demo"):
        demo._require_free(out, overwrite=True)
    (out / "phantoms" / "dataset.json").write_text(json.dumps({"description": DESCRIPTION}), encoding="utf-8")
    demo._require_free(out, overwrite=True)
