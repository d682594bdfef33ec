"""What a training says at its end, on a terminal: nothing that reads like a success where there is none."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from l2s_auto import cli
from l2s_auto.commands import parsers
from tests.end_to_end.conftest import make_scan, save

PARSERS = {
    "l2s_plan_and_train": parsers.plan_and_train,
    "l2s_predict": parsers.predict,
    "l2s_evaluate": parsers.evaluate,
    "l2s_export": parsers.export_model,
}


@pytest.fixture
def maps(tmp_path):
    """Label maps without images, in a folder whose name a shell would take apart."""
    folder = tmp_path / "label maps (it's)"
    for number in range(6):
        save(make_scan(number)[1], folder / "labels" / f"map {number}.nii.gz")
    return folder


def train(dataset, run, *options):
    always = ("-o", str(run), "--device", "cpu", "--workers", "0", "--features", "4")
    return cli.plan_and_train([str(dataset), *always, *options])


def commands_in(text):
    return [line.strip() for line in text.splitlines() if re.match(r" *l2s_\w+ (?!\d)", line)]


def check_commands(lines):
    """Each is read by the parser of its command -> the options of the trainings."""
    found = []
    for line in lines:
        name, *words = shlex.split(line)
        args = PARSERS[name]().parse(words)
        found += [args] if name == "l2s_plan_and_train" else []
    return found


def fits(text):
    return all(len(line) <= 80 or "/" in line or "l2s_" in line for line in text.replace("\r", "\n").splitlines())


def test_label_maps_alone_are_validated_on_synthetic_images(maps, tmp_path, capsys):
    run = tmp_path / "my run"
    assert train(maps, run, "--method", "synthseg", "--iterations", "2") == 0
    printed = capsys.readouterr()
    text = " ".join(printed.out.split())
    metrics = json.loads((run / "fold_0" / "validation" / "metrics.json").read_text())
    held_out = json.loads((run / "splits.json").read_text())[0]["val"]
    assert metrics["images"] == "synthetic" and sorted(row["case"] for row in metrics["cases"]) == sorted(held_out)
    assert 0 <= metrics["mean"]["dice"] <= 1 and "synthetic images" in metrics["notes"][0]
    history = [json.loads(line) for line in (run / "fold_0" / "history.jsonl").read_text().splitlines()]
    assert isinstance(history[-1]["val_dice"], float)
    log, page = (run / "log.txt").read_text(), (run / "report.html").read_text()
    assert "says little" in text and "says little" in log and "says little" in page
    assert "synthetic images" in text and "synthetic images" in page
    assert metrics["mean"]["dice"] >= 0.3 or "Warning: the training has ended, but the model" in text
    assert fits(printed.out) and printed.out.splitlines()[0].startswith("l2s_plan_and_train ")


def test_a_model_that_finds_nothing_does_not_end_like_a_success(dataset, tmp_path, capsys, monkeypatch):
    def nothing(prediction, reference, *_, **__):
        return {name: {"dice": 0.0, "hd95_mm": None, "nsd_1mm": 0.0, "volume_error": 1.0} for name in ("a", "b")}

    monkeypatch.setattr("l2s_auto.training.validate.evaluate_case", nothing)
    assert train(dataset, tmp_path / "run", "--iterations", "2") == 0
    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    assert "Warning: Fold 0: mean Dice 0.000" in text and "Segment with" not in text
    assert " ".join(printed.strip().splitlines()[-2:]).split()[-3:] == ["not", "use", "it."]
    assert "finds (almost) nothing" in (tmp_path / "run" / "report.html").read_text()


def test_where_nothing_is_held_out_nothing_was_measured(dataset, tmp_path, capsys):
    assert train(dataset, tmp_path / "run", "--fold", "all", "--iterations", "1") == 0
    assert "Nothing was measured: no case was held out" in " ".join(capsys.readouterr().out.split())


def test_commands_of_report_and_terminal_run_as_they_stand(dataset, tmp_path, capsys, monkeypatch):
    """In another folder too; the last one is run."""
    monkeypatch.chdir(tmp_path)
    run = Path("my run's")
    assert train(Path(dataset.name), run, "--iterations", "1", "--fold", "fold_1", "--augmenter", "gamma") == 0
    printed = commands_in(capsys.readouterr().out)
    page = (run / "report.html").read_text(encoding="utf-8")
    import html

    offered = [html.unescape(code) for code in re.findall("<code>(.*?)</code>", page)]
    assert len(printed) == 1 and len(offered) == 4
    (again,) = check_commands([*printed, *offered])
    assert again.dataset == dataset and again.output == tmp_path / run and again.resume and again.fold == 1
    assert again.augmenter == "gamma" and again.features == 4 and again.time_budget == 8 * 3600
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = shlex.split(offered[-1])[1:]
    words[words.index("8h")] = "1s"
    assert cli.plan_and_train(words) == 0


def test_nothing_is_promised_before_there_are_weights(dataset, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("l2s_auto.training.writer.save_checkpoint", full)
    assert train(dataset, tmp_path / "run", "--iterations", "2") == 2
    said = capsys.readouterr().err
    assert "Nothing is trained yet that could be used." in " ".join(said.split()) and "predicts" not in said
    (again,) = check_commands(commands_in(said))
    assert again.resume and again.dataset == dataset and again.output == tmp_path / "run"
    monkeypatch.undo()


def test_an_interrupted_training_says_what_predicts_and_the_whole_command(maps, tmp_path):
    run = tmp_path / "run"
    options = ["--method", "synthseg", "--features", "4", "--time-budget", "5m", "--device", "cpu", "--workers", "0"]
    command = [sys.executable, "-c", "import sys; from l2s_auto import cli; cli.plan_and_train()"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    process = subprocess.Popen(
        [*command, str(maps), "-o", str(run), *options],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    weights = run / "fold_0" / "weights.safetensors"
    for _ in range(600):
        if weights.exists() or process.poll() is not None:
            break
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "What is trained so far predicts (fold_0)." in " ".join(said.split())
    (again,) = check_commands(commands_in(said))
    assert (again.method, again.dataset, again.resume) == ("synthseg", maps, True)
