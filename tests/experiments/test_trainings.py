"""Trainings of several methods: what they share, what each is, and what becomes of one that fails."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Dataset
from l2s_auto.evaluation.appearance import STRUCTURAL
from l2s_auto.experiments.methods import methods, trainings
from l2s_auto.experiments.methods.bench import Bench
from l2s_auto.experiments.methods.plans import settle_choices
from l2s_auto.experiments.methods.run import content_of, divided, teaches
from l2s_auto.experiments.methods.scoring import known, require_segmented
from l2s_auto.experiments.methods.subset import write_subset
from l2s_auto.experiments.methods.trainings import some_of
from l2s_auto.inference.loop import Failure
from l2s_auto.inference.predict import PredictionSummary
from l2s_auto.io import itk
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.lock import only_one
from l2s_auto.io.volumes import read_label_map, write_label_map
from l2s_auto.planning.choices import Choices
from l2s_auto.training import prepare


def test_jobs_share_the_trainings(dataset, tmp_path):
    options = {"data": dataset, "methods": ["synthseg", "supervised"], "cases": [3], "iterations": 1}
    methods(tmp_path, part=(1, 2), **options)
    assert len(list(tmp_path.rglob("row.json"))) == 1
    result = json.loads((tmp_path / "methods.json").read_text())
    assert result["missing"] == 1 and "the table is not whole" in result["sentence"]
    with pytest.raises(UserError, match="None of the trainings"):
        methods(tmp_path / "new", part=(3, 3), **options)
    given = ["--data", str(dataset), "--methods", "synthseg", "supervised", "--cases", "3", "--iterations", "1"]
    assert cli.experiment(["methods", "-o", str(tmp_path), *given, "--part", "2/2", "--device", "cpu"]) == 0
    result = json.loads((tmp_path / "methods.json").read_text())
    assert len(result["rows"]) == 2 and result["missing"] == 0 and "not whole" not in result["sentence"]


def test_one_of_a_few_cases_has_something_to_be_found():
    items = list(range(10))
    kept = some_of(items, 3, seed=0, first=lambda item: item < 10)
    assert kept == some_of(items, 3, seed=0), "nothing changes where all have something"
    (only,) = set(items) - set(some_of(items, 9, seed=0))
    for count in (1, 2, 5):
        assert only in some_of(items, count, seed=0, first=lambda item: item == only)
    assert some_of(items, 3, seed=0, first=lambda item: False) == kept


def test_what_teaches(dataset, tmp_path):
    (case, *_) = find_dataset(dataset).cases
    assert teaches(case, ignore=None) and teaches(case, ignore=1)
    write_label_map(tmp_path / "a.nii.gz", np.ones((4, 4, 4), np.int16), np.eye(4))
    assert not teaches(replace(case, label=tmp_path / "a.nii.gz"), ignore=1)
    assert not teaches(replace(case, images=()), ignore=None)


def test_all_methods_have_one_plan_which_the_rows_tell(dataset, tmp_path, monkeypatch):
    made = []
    new_plan = prepare.new_plan
    monkeypatch.setattr(prepare, "new_plan", lambda *given: made.append(given[-1].method) or new_plan(*given))
    methods(tmp_path, data=dataset, methods=["synthseg", "supervised"], cases=[3], iterations=1)
    assert len(made) == 1 and made[0].hyper_steps, "planned once, for the method that needs most"
    first, second = json.loads((tmp_path / "methods.json").read_text())["rows"]
    assert first["plan"] == second["plan"] and len(first["plan"]["patch"]) == 3


def test_choices_are_those_of_every_plan_and_of_the_command_that_is_offered(dataset, tmp_path, capsys):
    given = ["--data", str(dataset), "--methods", "synthseg", "--cases", "3", "--iterations", "1", "--device", "cpu"]
    chosen = ["--spacing", "3", "3", "3", "--patch", "16", "16", "16", "--batch", "3", "--features", "4"]
    call = ["methods", "-o", str(tmp_path / "out"), *given]
    assert cli.experiment([*call, *chosen]) == 0
    (row,) = json.loads((tmp_path / "out" / "methods.json").read_text())["rows"]
    assert row["plan"] == {"patch": [16, 16, 16], "batch": 3, "features": [4, 8, 16]}
    assert " ".join(["--method", "synthseg", *chosen]) in capsys.readouterr().out
    assert cli.experiment(call) == 0, "the plan that is there stands"
    assert " ".join(["--method", "synthseg", *chosen]) in capsys.readouterr().out, "and is what is offered"
    for other in (["--batch", "4"], ["--batch", "4", "--seeds", "1"]):
        assert cli.experiment([*call, *other]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert "The folder holds trainings by another plan" in error and "batch 3, and 4 is asked for" in error
    assert cli.experiment([*call, "--seeds", "1"]) == 0
    plans = {str(row["plan"]) for row in json.loads((tmp_path / "out" / "methods.json").read_text())["rows"]}
    assert len(plans) == 1, "one plan for all seeds"


def test_choices_that_could_not_be_planned_may_be_made_again(tmp_path):
    assert settle_choices(tmp_path, Choices(batch=1000)) == Choices(batch=1000)
    assert settle_choices(tmp_path, Choices(batch=2)) == Choices(batch=2)


def test_plans_that_are_older_than_the_note_of_choices_are_looked_at(dataset, tmp_path):
    options = {"data": dataset, "methods": ["synthseg"], "cases": [3], "iterations": 1}
    methods(tmp_path, **options, choices=Choices(batch=3))
    (tmp_path / "plans" / "choices.json").unlink()
    with pytest.raises(UserError, match="batch 3, and 4"):
        methods(tmp_path, **options, choices=Choices(batch=4))
    methods(tmp_path, **options, choices=Choices(batch=3))
    with pytest.raises(UserError, match=r"features (8|16), and 4"):
        methods(tmp_path, **options, choices=Choices(features=4))


def test_a_training_that_fails_does_not_stop_the_others(dataset, tmp_path, monkeypatch):
    train = trainings.plan_and_train

    def sometimes(**given):
        if given["recipe"].method.name == "supervised":
            raise UserError.single("It diverged.", where="loss", found="nan", expected="a number", mend="Lower it.")
        return train(**given)

    monkeypatch.setattr(trainings, "plan_and_train", sometimes)
    options = {"data": dataset, "cases": [3], "iterations": 1}
    with pytest.raises(UserError, match=r"(?s)Not all could be done.*supervised.*It diverged.*nan"):
        methods(tmp_path, methods=["supervised", "synthseg"], **options)
    result = json.loads((tmp_path / "methods.json").read_text())
    assert [row["variant"] for row in result["rows"]] == ["synthseg"] and result["missing"] == 1
    with pytest.raises(UserError, match="It diverged"):
        methods(tmp_path, methods=["supervised"], **options)


def test_an_error_of_the_program_in_one_training_does_not_stop_the_others_either(dataset, tmp_path, monkeypatch):
    train = trainings.plan_and_train

    def sometimes(**given):
        if given["recipe"].method.name == "supervised":
            raise RuntimeError("a mistake")
        return train(**given)

    monkeypatch.setattr(trainings, "plan_and_train", sometimes)
    options = {"data": dataset, "cases": [3], "iterations": 1}
    with pytest.raises(UserError, match=r"(?s)Not all could be done.*supervised.*RuntimeError: a mistake"):
        methods(tmp_path, methods=["supervised", "synthseg"], **options)
    assert [row["variant"] for row in json.loads((tmp_path / "methods.json").read_text())["rows"]] == ["synthseg"]


def test_a_full_disk_stops_them_all(dataset, tmp_path, monkeypatch):
    calls = []

    def full(**given):
        calls.append(given)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(trainings, "plan_and_train", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        methods(tmp_path, methods=["supervised", "synthseg"], data=dataset, cases=[3], iterations=1)
    assert len(calls) == 1


def test_what_another_job_is_at_is_left_to_it(dataset, tmp_path):
    options = {"data": dataset, "methods": ["supervised", "synthseg"], "cases": [3], "iterations": 1}
    other = tmp_path / "supervised" / "3 cases, 1 iterations, seed 0"
    other.mkdir(parents=True)
    with only_one(other):
        methods(tmp_path, **options)
    result = json.loads((tmp_path / "methods.json").read_text())
    assert [row["variant"] for row in result["rows"]] == ["synthseg"] and result["missing"] == 1
    assert not (other / "run").exists()


def test_a_fold_is_trained_by_one_process_and_another_fold_by_another(dataset, tmp_path, capsys):
    given = [str(dataset), "-o", str(tmp_path / "run"), "--method", "synthseg", "--iterations", "1", "--device", "cpu"]
    (tmp_path / "run").mkdir()
    with only_one(tmp_path / "run", "fold_0"):
        assert cli.plan_and_train(given) == 2
        assert "Another process is at work there" in capsys.readouterr().err
        assert cli.plan_and_train([*given, "--fold", "1"]) == 0
    assert cli.plan_and_train(given) == 0


def test_rows_of_former_calls_stay_in_the_table(dataset, tmp_path):
    options = {"data": dataset, "iterations": 1}
    methods(tmp_path, methods=["supervised"], cases=[3], **options)
    methods(tmp_path, methods=["synthseg"], cases=[2], **options)
    found = json.loads((tmp_path / "methods.json").read_text())
    assert [(row["variant"], row["cases"]) for row in found["rows"]] == [("synthseg", 2), ("supervised", 3)]
    methods(tmp_path, methods=["synthseg"], cases=[2], data=dataset, iterations=2)
    found = json.loads((tmp_path / "methods.json").read_text())
    assert len(found["rows"]) == 1 and found["rows"][0]["iterations"] == 2, "others were not trained as long"


def test_an_experiment_is_not_what_predicts_from_now_on(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    methods(tmp_path / "out", data=dataset, methods=["synthseg"], cases=[3], iterations=1)
    assert not list((tmp_path / "state").rglob("last_model.json"))


def test_scans_that_cannot_be_segmented_say_why():
    failures = (Failure("a", "a.nii.gz", "out of memory"),)
    with pytest.raises(UserError, match=r"(?s)could not be segmented.*a.nii.gz.*out of memory"):
        require_segmented(PredictionSummary(Path(), (), (), failures, (), 1.0))


def test_jobs_take_turns_with_the_methods(tmp_path, monkeypatch):
    """With two methods and two jobs, each job trains each method."""
    monkeypatch.setattr(trainings, "run_one", lambda *given, **rest: {"dice": {"own": 1.0}, "scans": {"a": {}}})
    bench = Bench(Dataset("d", tmp_path, (), ("MRI",), {}), lambda n, s: (), lambda: tmp_path, ("own",), {"a": "a"})
    settings = {"counts": [1], "seeds": [0, 1], "length": {"iterations": 1}, "device": "cpu"}
    recipes = {"one": Recipe(), "other": Recipe()}
    done = [trainings.run_all(bench, recipes, tmp_path / str(k), part=(k, 2), **settings)[0] for k in (1, 2)]
    assert [[(row["variant"], row["seed"]) for row in rows] for rows in done] == [
        [("one", 0), ("other", 1)], [("other", 0), ("one", 1)],
    ]  # fmt: skip


def test_a_row_that_is_broken_is_made_again_and_keeps_no_other_from_the_table(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trainings, "run_one", lambda *given, **rest: {"dice": {"own": 1.0}, "scans": {"a": {}}})
    bench = Bench(Dataset("d", tmp_path, (), ("MRI",), {}), lambda n, s: (), lambda: tmp_path, ("own",), {"a": "a"})
    settings = {"counts": [1], "seeds": [0], "length": {"iterations": 1}, "device": "cpu", "part": (1, 1)}

    def variants(*asked):
        rows, left, failed = trainings.run_all(bench, dict.fromkeys(asked, Recipe()), tmp_path, **settings)
        assert not left and not failed
        return {row["variant"] for row in rows}

    assert variants("one", "other") == {"one", "other"}
    (broken,) = tmp_path.glob("other/*/row.json")
    broken.write_text('{"variant"', encoding="utf-8")
    assert variants("one") == {"one"} and f"{broken} is broken" in caplog.text
    assert variants("other") == {"one", "other"}


def test_methods_by_plans_that_differ_are_told():
    def row(variant, batch, cases=3):
        return {"variant": variant, "cases": cases, "seed": 0, "plan": {"patch": [8, 8, 8], "batch": batch}}

    same = [row("a", 2), row("b", 2), row("c", 4, cases=5), {"variant": "samseg", "cases": 3, "seed": 0}]
    assert trainings.unlike_plans(same) == []
    [warning] = trainings.unlike_plans([*same, row("d", 8)])
    assert warning.startswith("a, b and d learned by different plans from 3 cases, seed 0")


def test_a_plan_that_is_edited_between_two_calls_is_told(tmp_path, monkeypatch, caplog):
    batches = iter((2, 4))
    row = {"dice": {"own": 1.0}, "scans": {"a": {}}}
    monkeypatch.setattr(trainings, "run_one", lambda *given, **rest: {**row, "plan": {"batch": next(batches)}})
    bench = Bench(Dataset("d", tmp_path, (), ("MRI",), {}), lambda n, s: (), lambda: tmp_path, ("own",), {"a": "a"})
    settings = {"counts": [1], "seeds": [0], "length": {"iterations": 1}, "device": "cpu", "part": (1, 1)}
    trainings.run_all(bench, {"one": Recipe()}, tmp_path, **settings)
    assert "different plans" not in caplog.text
    trainings.run_all(bench, {"other": Recipe()}, tmp_path, **settings)
    assert "Warning: other and one learned by different plans from 1 cases, seed 0" in caplog.text


@pytest.mark.parametrize(("recipes", "jobs"), [(1, 2), (2, 2), (3, 2), (4, 2), (6, 2), (6, 3), (2, 4), (6, 4), (5, 5)])
def test_jobs_have_as_much_to_do_and_every_method(recipes, jobs):
    rounds = 12
    whose = [trainings.job_of(number, recipes, jobs) for number in range(rounds * recipes)]
    assert {whose.count(job) for job in range(1, jobs + 1)} == {rounds * recipes / jobs}
    assert all(set(whose[recipe::recipes]) == set(range(1, jobs + 1)) for recipe in range(recipes))


def test_a_seed_that_is_named_twice_counts_once(dataset, tmp_path):
    methods(tmp_path, data=dataset, methods=["synthseg"], cases=[3], seeds=[0, 0], iterations=1)
    result = json.loads((tmp_path / "methods.json").read_text())
    assert len(result["rows"]) == 1 and result["summary"][0]["changed"]["sd"] is None


def test_an_experiment_goes_on_after_its_data_were_moved(dataset, tmp_path):
    own, out = tmp_path / "own", tmp_path / "out"
    shutil.copytree(dataset, own)
    options = {"methods": ["synthseg"], "cases": [3], "iterations": 1}
    methods(out, data=own, **options)
    next(out.rglob("row.json")).unlink()
    own.rename(tmp_path / "elsewhere")
    (tmp_path / "new").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "new" / "own")
    methods(out, data=tmp_path / "new" / "own", **options)
    assert not own.exists() and len(list(out.rglob("row.json"))) == 1


def test_names_that_end_in_a_number(dataset, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "own" / kind).mkdir(parents=True)
        for path in sorted((dataset / kind).iterdir()):
            name = path.name.replace(".nii.gz", "_0000.nii.gz")
            (tmp_path / "own" / kind / name).symlink_to(path)
    methods(tmp_path / "out", data=tmp_path / "own", methods=["synthseg"], cases=[3], iterations=1)
    assert (tmp_path / "out" / "methods.png").exists()


def test_the_voxels_of_a_header_go_along(tmp_path):
    folder = tmp_path / "data"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        itk.write(folder / kind / "a.mhd", np.ones((1, 6, 7, 8), np.int16), np.eye(4))
    found = find_dataset(folder)
    own = find_dataset(write_subset(found, found.cases, tmp_path / "own"))
    assert read_label_map(own.cases[0].label)[0].all()
    before = content_of(found)
    raw = folder / "images" / "a.raw"
    raw.write_bytes(bytes(raw.stat().st_size))
    assert content_of(found) != before


def test_the_folder_of_the_data_is_not_written_to(dataset):
    for folder in (dataset, dataset / "labels", dataset / "images" / "new"):
        with pytest.raises(UserError, match="among the data"):
            methods(folder, data=dataset)
    assert not (dataset / "images" / "new").exists()


def test_scans_to_test_on_are_verified_first(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "own")
    _, (case,) = divided(find_dataset(tmp_path / "own"), tests=1)
    write_label_map(case.label, np.ones((9, 9, 9), np.int16), np.eye(4))
    with pytest.raises(UserError, match=case.id):
        methods(tmp_path / "out", data=tmp_path / "own", methods=["synthseg"], iterations=1)
    assert not list((tmp_path / "out").rglob("weights.safetensors"))


def without_structural(out):
    """The folder as a former version left it."""
    row = next(out.rglob("row.json"))
    old = json.loads(row.read_text())
    for name in STRUCTURAL:
        for scores in (old["dice"], *old["scans"].values()):
            del scores[name]
        for folder in (*out.glob(f"tests/*/{name}"), *out.rglob(f"segmented/*, {name}")):
            shutil.rmtree(folder)
    row.write_text(json.dumps(old), encoding="utf-8")
    return row


def test_a_former_row_is_tested_under_structural_changes_where_its_model_is_still_there(dataset, tmp_path):
    options = {"data": dataset, "methods": ["synthseg"], "cases": [3], "iterations": 1}
    methods(tmp_path, **options)
    (whole,) = json.loads((tmp_path / "methods.json").read_text())["rows"]
    row = without_structural(tmp_path)
    weights = next(tmp_path.rglob("weights.safetensors"))
    before = weights.stat().st_mtime_ns
    methods(tmp_path, **options)
    assert json.loads(row.read_text()) == whole and weights.stat().st_mtime_ns == before, "and not trained again"
    without_structural(tmp_path)
    shutil.rmtree(row.parent / "run")
    methods(tmp_path, **options)
    result = json.loads((tmp_path / "methods.json").read_text())
    assert result["summary"][0]["structural"]["mean"] is None and not result["missing"]
    assert not (row.parent / "run").exists() and " - |" in (tmp_path / "methods.md").read_text(encoding="utf-8")


def test_a_row_of_other_kinds_of_scans_is_not_known(tmp_path):
    bench = Bench(
        Dataset("d", tmp_path, (), ("MRI",), {}), lambda n, s: (), lambda: tmp_path, ("own",), {"a": "a"},
        structural=("lesions",),
    )  # fmt: skip
    for dice, there in (({"own": 1.0}, True), ({"own": 1.0, "lesions": 0.5}, True), ({"lesions": 0.5}, False)):
        (tmp_path / "row.json").write_text(json.dumps({"dice": dice, "scans": {"a": dice}}))
        assert (known(tmp_path / "row.json", bench) is not None) == there
