"""What l2s_predict and l2s_evaluate ask for, say, and end with."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from l2s_auto import cli
from l2s_auto.commands.labels import read_labels
from l2s_auto.commands.tables import format_metrics
from l2s_auto.core.errors import UserError
from l2s_auto.inference.last_model import Choice

METRICS = {
    "mean": {"dice": 0.75, "hd95_mm": None},
    "labels": {"left": {"dice": 0.5, "hd95_mm": 1.25}, "right": {"dice": 1.0, "hd95_mm": None}},
    "cases": [],
    "notes": ["right: hd95_mm is undefined, the reference is empty"],
}


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    """Put a module of that name with these contents in place of the real one."""
    module = types.ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def predictions(monkeypatch) -> dict:
    """Calls that reach the prediction, and the failures that it shall report."""
    state: dict = {"calls": [], "failures": ()}

    def predict(*paths: Path, **options: object) -> types.SimpleNamespace:
        state["calls"].append((paths, options))
        progress = options["progress"]
        progress(types.SimpleNamespace(done=0, total=2, case="a", share=0.5))  # type: ignore[operator]
        return types.SimpleNamespace(
            folder=Path("out"),
            done=("a",),
            skipped=("b",),
            failures=state["failures"],
            flagged=("a",),
            seconds=3.2,
            notes=("fold 1 has no weights",),
        )

    stand_in(monkeypatch, "l2s_auto.inference.predict", predict=predict, PredictionSummary=None, Progress=None)
    monkeypatch.setattr("l2s_auto.inference.last_model.choose_model", lambda: Choice(Path("runs/last")))
    monkeypatch.delitem(sys.modules, "l2s_auto.commands.prediction", raising=False)
    yield state
    sys.modules.pop("l2s_auto.commands.prediction", None)  # it was imported with the stand-ins


def test_last_model_is_named_on_the_first_line(predictions, capsys) -> None:
    assert cli.predict(["-i", "in", "-o", "out", "--device", "cpu"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"Model: {Path('runs/last')}"
    text = "\n".join(rest)
    assert "fold 1 has no weights" in text and "1 scan segmented in 3 s, 1 were there already" in text
    assert "Look at a" in text


def test_options_reach_the_prediction(predictions) -> None:
    options = "-m my.zip --device cpu --tta --overlap 0.25 --probabilities --part 2/3 --skip-existing --workers 0"
    options += " --aim each"
    assert cli.predict(["-i", "in put", "-o", "Übersicht", *options.split()]) == 0
    ((paths, given),) = predictions["calls"]
    assert paths == (Path("in put"), Path("Übersicht"))
    del given["progress"], given["loaded"]
    assert given == {
        "model": Path("my.zip"),
        "aim": "each",
        "device": "cpu",
        "tta": True,
        "overlap": 0.25,
        "probabilities": True,
        "part": (2, 3),
        "skip_existing": True,
        "workers": 0,
        "fast": False,
    }


def test_a_failed_case_ends_with_1(predictions, capsys) -> None:
    predictions["failures"] = (types.SimpleNamespace(case="c", file="in/c.nii.gz", reason="not a scan"),)
    assert cli.predict(["-i", "in", "-o", "out", "--device", "cpu"]) == 1
    text = capsys.readouterr().err
    assert "in/c.nii.gz: not a scan" in text and "failures.csv" in text


def test_evaluation_writes_and_prints(monkeypatch, capsys, tmp_path) -> None:
    calls = []

    def evaluate_folders(*given: object, **options: object) -> dict:
        calls.append((*given, options))
        return METRICS

    def write_json(path: Path, value: object) -> None:
        path.write_text(json.dumps(value), encoding="utf-8")

    stand_in(monkeypatch, "l2s_auto.evaluation", evaluate_folders=evaluate_folders)
    stand_in(monkeypatch, "l2s_auto.io.json_files", write_json=write_json, read_json=read_json)
    (tmp_path / "dataset.json").write_text(
        '{"labels": {"background": 0, "left": 3, "both": [3, 4], "ignore": 9}}', encoding="utf-8"
    )
    arguments = ["-p", str(tmp_path), "-r", "references", "--labels", str(tmp_path / "dataset.json")]
    assert cli.evaluate(arguments) == 0
    options = {"regions": {"both": (3, 4), "left": (3,)}, "ignore": 9}
    assert calls == [(tmp_path, Path("references"), {3: "left", 4: "label 4"}, options)]
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == METRICS
    assert "left" in capsys.readouterr().out


def test_evaluation_needs_labels(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.evaluate(["-p", "a", "-r", "b"])
    assert end.value.code == 2 and "--labels" in capsys.readouterr().err


def test_metrics_table_shows_undefined_as_a_dash_and_the_reason() -> None:
    header, left, right, mean, note = format_metrics(METRICS).splitlines()
    assert header.split() == ["label", "dice", "hd95_mm"]
    assert left.split() == ["left", "0.500", "1.250"]
    assert right.split() == ["right", "1.000", "-"] and mean.split() == ["mean", "0.750", "-"]
    assert "the reference is empty" in note


@pytest.mark.parametrize(
    ("tolerances", "title", "value"),
    [((1.0, 1.0), "nsd_1mm", "1.000"), ((0.02, 0.02), "nsd_0.02mm", "0.500"), ((4.0, 4.2), "nsd_1voxel", "0.500")],
)
def test_metrics_table_has_the_surface_dice_that_says_more(tolerances, title, value) -> None:
    row = {"dice": 0.75, "hd95_mm": 0.0283, "nsd_1mm": 1.0, "nsd": 0.5, "volume_error": 0.1}
    cases = [{"case": str(t), "tolerance_mm": t, "labels": {"left hippocampus": row}} for t in tolerances]
    metrics = {"mean": row, "tolerance_mm": tolerances[0], "labels": {"left hippocampus": row}, "cases": cases}
    header, *rows = format_metrics(metrics).splitlines()
    assert header.split() == ["label", "dice", "hd95_mm", title, "volume_error"]
    assert all(line.split()[-4:] == ["0.750", "0.0283", value, "0.100"] for line in rows)
    assert max(map(len, [header, *rows])) <= 80


def read_json(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def label_file(monkeypatch, tmp_path):
    stand_in(monkeypatch, "l2s_auto.io.json_files", read_json=read_json)

    def write(content: object) -> Path:
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        {"labels": {"background": 0, "left": 4, "other": -1}, "channel_names": {"0": "T1"}},
        {"background": 0, "left": 4, "other": -1},
        {"0": "background", "4": "left", "-1": "other"},
    ],
)
def test_labels_in_every_form(label_file, content: object) -> None:
    assert read_labels(model=None, file=label_file(content)).names == {4: "left", -1: "other"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "no labels"),
        ({"labels": {}}, "no labels"),
        ({"labels": {"tumour": ["a", 2], "left": 1.5}}, r"tumour: found \['a', 2\](.|\n)*left: found 1.5"),
        ({"labels": {"a": 1, "b": 1}}, "found 1, which is also a"),
    ],
)
def test_labels_that_are_none(label_file, content: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_labels(model=None, file=label_file(content))


def test_tables_of_metrics_fit_a_terminal() -> None:
    name = "left inferior lateral ventricle with a choroid plexus, of the second observer"
    row = {"dice": 0.5, "hd95_mm": 1234.5, "nsd_1mm": 0.9, "nsd": 0.3, "volume_error": 0.1}
    text = format_metrics({"mean": row, "tolerance_mm": 2.5, "labels": {name: row, "short": row}, "notes": []})
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.splitlines()[1] == name and text.splitlines()[2].split() == ["0.500", "1234.500", "0.300", "0.100"]
