"""A training writes into a folder of its own, and deletes there what it wrote itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.json_files import write_json
from l2s_auto.io.places import mark
from l2s_auto.training.run import plan_and_train
from l2s_auto.training.run_folder import FOLD_FILES, RunFolder
from tests.inference.tiny_models import make_plan


def check(folder: Path, *, resume: bool = False, overwrite: bool = False, recipe: Recipe | None = None) -> None:
    dataset = folder.parent / "dataset"
    RunFolder(folder).check(recipe or Recipe(), ["0"], [], dataset=dataset, resume=resume, overwrite=overwrite)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine", encoding="utf-8")


THEIRS = [
    ["thesis.docx"], ["plan.json"], ["recipe.json"], ["log.txt"], ["log.txt", "plan.json"], ["fold_0/notes.txt"],
    ["preprocessed/a/scan.nii.gz"],
]  # fmt: skip


@pytest.mark.parametrize("names", THEIRS)
def test_a_folder_of_somebody_else_is_refused_and_named(tmp_path, names):
    write(tmp_path / "run", *names)
    with pytest.raises(UserError, match="not of a run") as refused:
        check(tmp_path / "run")
    assert names[0].split("/")[0] in str(refused.value) and "--overwrite" in str(refused.value)
    check(tmp_path / "run", overwrite=True)


def test_a_recipe_of_nothing_is_none(tmp_path):
    write(tmp_path / "run", "fold_0/weights.safetensors")
    (tmp_path / "run" / "recipe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not of a run"):
        check(tmp_path / "run", resume=True)


@pytest.mark.parametrize("kind", ["missing", "hidden", "marked", "plan", "killed at once", "killed with a line"])
def test_a_folder_of_ours_is_taken(tmp_path, kind):
    folder = tmp_path / "run"
    if kind == "hidden":
        write(folder, ".DS_Store", ".gitkeep", ".lock")
    elif kind == "marked":
        RunFolder(folder).make()
        write(folder, "notes.txt", "plan.json")
    elif kind == "plan":
        write_json(folder / "plan.json", make_plan())
        write(folder, "notes.txt")
    elif kind.startswith("killed"):
        folder.mkdir()
        first = "2026-01-01 10:00:00,000 INFO Dataset a: 3 cases\n" if kind == "killed with a line" else ""
        (folder / "log.txt").write_text(first, encoding="utf-8")
    check(folder)


def test_a_demo_is_no_run(tmp_path):
    mark(tmp_path / "run", "demo")
    write(tmp_path / "run", "phantoms/dataset.json")
    with pytest.raises(UserError, match="not of a run"):
        check(tmp_path / "run")


@pytest.mark.parametrize("name", ["plan.json/inside", "preprocessed", "fold_0"])
def test_a_folder_in_place_of_a_file_or_the_other_way_round(tmp_path, name):
    RunFolder(tmp_path / "run").make()
    write(tmp_path / "run", name)
    for overwrite in (False, True):
        with pytest.raises(UserError, match=name.split("/")[0]):
            check(tmp_path / "run", overwrite=overwrite)


def test_a_trained_fold_is_replaced_where_that_is_wished_and_nothing_else(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.make()
    write_json(run.recipe, Recipe())
    write(run.path, *(f"fold_{fold}/{name}" for fold in (0, 1) for name in (*FOLD_FILES, "notes.txt")), "mine.txt")
    with pytest.raises(UserError, match="replace the folds with --overwrite"):
        check(run.path)
    with pytest.raises(UserError, match="other options"):
        check(run.path, overwrite=True, recipe=Recipe(seed=3))
    check(run.path, overwrite=True)
    run.clear(["0"])
    assert [path.name for path in run.fold("0").iterdir()] == ["notes.txt"]
    assert len([path for path in run.fold("1").rglob("*") if path.is_file()]) == len(FOLD_FILES) + 1
    assert run.recipe.exists() and (run.path / "mine.txt").exists()


def test_of_a_folder_of_somebody_else_only_files_of_our_names_go(tmp_path):
    run = RunFolder(tmp_path / "run")
    write(run.path, "plan.json", "recipe.json", "log.txt", "thesis.docx", "data/plan.json")
    run.clear(["0"], foreign=True)
    left = sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file())
    assert left == ["data/plan.json", "log.txt", "thesis.docx"]


@pytest.mark.parametrize("place", ["fold_0", "low_resolution/fold_0"])
def test_a_trained_fold_without_checkpoint_is_not_started_again(tmp_path, place):
    folder = tmp_path / "run"
    write_json(folder / "plan.json", make_plan())
    write(folder, f"{place}/weights.safetensors")
    with pytest.raises(UserError, match=r"cannot be resumed(?s:.*)without a checkpoint(?s:.*)--init"):
        check(folder, resume=True)
    check(folder, overwrite=True)


def test_no_old_plan_is_replaced(tmp_path):
    run = RunFolder(tmp_path)
    for name in ("plan.old.json", "plan.old.2.json", "plan.old.3.json"):
        assert run.former_plan == tmp_path / name
        write(tmp_path, name)


def test_the_command_deletes_nothing_of_the_working_folder(tmp_path, monkeypatch, capsys):
    from l2s_auto import cli

    home = tmp_path / "home"
    write(home, "thesis.docx", "preprocessed/a/scan.nii.gz")
    write(tmp_path / "data", "images/a.nii.gz", "labels/a.nii.gz")
    monkeypatch.chdir(home)
    assert cli.plan_and_train([str(tmp_path / "data"), "-o", ".", "--device", "cpu", "--fold", "all"]) == 2
    assert "thesis.docx" in capsys.readouterr().err
    assert sorted(path.name for path in home.rglob("*")) == ["a", "preprocessed", "scan.nii.gz", "thesis.docx"]
    assert (
        cli.plan_and_train([str(tmp_path / "data"), "-o", ".", "--device", "cpu", "--fold", "all", "--overwrite"]) == 2
    )
    assert "preprocessed" in capsys.readouterr().err
    assert sorted(path.name for path in home.rglob("*")) == ["a", "preprocessed", "scan.nii.gz", "thesis.docx"]


def test_going_on_and_replacing_exclude_each_other(tmp_path):
    with pytest.raises(UserError, match="--resume and --overwrite"):
        plan_and_train(dataset=tmp_path, resume=True, overwrite=True)


def test_a_mark_is_json(tmp_path):
    RunFolder(tmp_path / "run").make()
    assert json.loads((tmp_path / "run" / ".l2s_auto.json").read_text(encoding="utf-8"))["kind"] == "run"


def test_a_name_that_is_no_unicode_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(UserError, match="The name of the output cannot be used"):
        check(tmp_path / "run\udcff")
    assert not list(tmp_path.iterdir())
