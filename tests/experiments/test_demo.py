"""The demo's order of things and what it shows; the rooms below are replaced by small stand-ins."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import nibabel
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.experiments import demo
from l2s_auto.experiments.demo_figure import Row, draw_comparison
from l2s_auto.experiments.phantoms import LABELS

METRICS = {"mean": {"dice": 0.9}, "labels": {name: {"dice": 0.9} for name in LABELS if name != "background"}}


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    """Put a module of that name with these contents in place of the real one."""
    module = types.ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


def read(path: Path) -> nibabel.Nifti1Image:
    return nibabel.load(path)


@pytest.fixture
def trained(monkeypatch) -> list[dict]:
    """Stand-ins of training, prediction (which copies the references) and evaluation; the calls of the training."""
    calls: list[dict] = []

    def plan_and_train(**given) -> Path:
        calls.append(given)
        given["output"].mkdir(parents=True)
        return given["output"]

    def predict(images: Path, output: Path, **_: object) -> types.SimpleNamespace:
        shutil.copytree(images.parent / "labelsTs", output)
        return types.SimpleNamespace(failures=())

    def read_label_map(path: Path) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(read(path).dataobj), read(path).affine

    def read_volume(path: Path) -> types.SimpleNamespace:
        return types.SimpleNamespace(data=np.asarray(read(path).dataobj)[None])

    def write_json(path: Path, value: object) -> None:
        path.write_text(json.dumps(value), encoding="utf-8")

    stand_in(monkeypatch, "l2s_auto.training.run", plan_and_train=plan_and_train)
    stand_in(monkeypatch, "l2s_auto.inference.predict", predict=predict)
    stand_in(monkeypatch, "l2s_auto.evaluation", evaluate_folders=lambda *_: METRICS)
    stand_in(monkeypatch, "l2s_auto.io.volumes", read_label_map=read_label_map, read_volume=read_volume)
    stand_in(monkeypatch, "l2s_auto.io.json_files", write_json=write_json)
    full = demo.write_dataset
    monkeypatch.setattr(demo, "write_dataset", lambda folder, *, seed: full(folder, cases=1, test_cases=1, seed=seed))
    return calls


def test_demo_trains_predicts_evaluates_and_draws(trained: list[dict], tmp_path, capsys) -> None:
    picture = demo.run_demo(tmp_path / "my demo", seed=2, time_budget=9.0)
    (call,) = trained
    assert call["recipe"].time_budget == 9.0 and call["recipe"].seed == 2
    assert picture == tmp_path / "my demo" / "demo.png" and picture.read_bytes().startswith(b"\x89PNG")
    for name in ("predictionsTs", "predictionsTs_inverted"):
        assert json.loads((picture.parent / name / "metrics.json").read_text(encoding="utf-8")) == METRICS
    text = capsys.readouterr().out
    assert "report.html" in text and "mean" in text and "0.900" in text

    with pytest.raises(UserError, match="holds a demo already"):
        demo.run_demo(tmp_path / "my demo")


def test_undefined_dice_is_said() -> None:
    results = {"inverted": {"mean": {"dice": None}, "labels": {"brainstem": {"dice": 0.5}}}}
    lines = {line.rsplit(maxsplit=1)[0]: line.split()[-1] for line in demo.format_results(results).splitlines()}
    assert lines["brainstem"] == "0.500" and lines["mean"] == lines["cerebellum"] == "undefined"


def test_picture_does_not_depend_on_the_axes(tmp_path) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((9, 11, 7))
    labels = (image > 0.7).astype(int)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    plain = draw_comparison([Row("a", image, labels, labels, affine)], tmp_path / "a.png", focus=[1])
    flipped = affine.copy()
    flipped[:3, 0] *= -1
    flipped[0, 3] = 2.0 * 8
    turned = [np.moveaxis(data[::-1], (0, 1, 2), (2, 0, 1)) for data in (image, labels, labels)]
    columns = np.eye(4)
    columns[:3, :3] = flipped[:3, [1, 2, 0]]
    columns[:3, 3] = flipped[:3, 3]
    other = draw_comparison([Row("a", *turned, columns)], tmp_path / "b.png", focus=[1])
    assert plain.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("dice", "said"), [(0.17, True), (0.0, True), (0.86, False), (None, False)])
def test_a_demo_that_has_not_worked_says_so(dice, said):
    results = {"as in training": {"mean": {"dice": dice}}, "inverted": {"mean": {"dice": 0.9}}}
    assert ("has not worked" in demo.poor_result(results, 60.0)) == said
    assert ("--time-budget 7m" in demo.poor_result(results, 60.0)) == said
    assert "--time-budget" not in demo.poor_result(results, demo.TRAINING_SECONDS)
