"""Each scan chooses its weights, by the agreement of both ends of a model."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto import Predictor, cli
from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.inference.agreement import disagreement, segment_scan
from l2s_auto.inference.aim import Setting
from l2s_auto.inference.box import agreement
from l2s_auto.inference.load import load_model
from l2s_auto.inference.predict import predict
from l2s_auto.inference.scan import ready_scan
from tests.inference.tiny_models import Doubting, Threshold, add_dial, blocks, bright, rows, write_run, write_scan

SAID = "looks unlike the training scans; the general weights were used."


@pytest.fixture
def doubting(threshold_model):
    """At home as `Doubting`, in general as `Threshold`."""

    def make(threshold: float = 0.9):
        setting = Setting("each", (1.0,), threshold, as_stored=False)
        return replace(threshold_model, networks=(Doubting(),), general=(Threshold(),), setting=setting)

    return make


@pytest.fixture
def mixed(tmp_path):
    """Two scans on which both agree, and two on which they do not."""
    folder = tmp_path / "in"
    for number in range(4):
        write_scan(folder / f"case_{number}.nii.gz", (bright if number % 2 else blocks)((12 + number, 13, 14)))
    return folder


def saved(path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def cases_of(out) -> dict:
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))["cases"]


def test_agreement_is_the_mean_dice_of_the_labels_that_are_there():
    random = np.random.default_rng(0)
    a, b = (random.choice([0, 1, 3, 4], size=(5, 6, 7)).astype(np.uint8) for _ in range(2))
    dice = [2 * ((a == k) & (b == k)).sum() / ((a == k).sum() + (b == k).sum()) for k in (1, 3, 4)]
    assert agreement(a, b, labels=6) == pytest.approx(np.mean(dice)) == agreement(b, a, labels=6)
    assert agreement(a, a, labels=6) == 1 and agreement(a[::-1], b[::-1], labels=6) == agreement(a, b, labels=6)
    nothing = np.zeros_like(a)
    assert agreement(nothing, nothing, labels=6) == 1 and agreement(a, nothing, labels=6) == 0
    half = np.where(a == 3, 0, a)
    assert agreement(a, half, labels=6) == pytest.approx(2 / 3), "one label of three is in one of them only"


def test_the_threshold_decides(doubting, tmp_path):
    for name, image, threshold, end in (
        ("like", blocks(), 0.9, "home"),
        ("unlike", bright(), 0.9, "general"),
        ("unlike", bright(), 0.0, "home"),
        ("like", blocks(), 1.0, "home"),
        ("unlike", bright(), 1.0, "general"),
    ):
        model = doubting(threshold)
        found = Predictor(model, device=torch.device("cpu")).predict(Volume(image[None], np.eye(4)))
        networks = model.networks if end == "home" else model.general
        alone = replace(model, networks=networks, general=(), setting=Setting())
        expected = Predictor(alone, device=torch.device("cpu")).predict(Volume(image[None], np.eye(4)))
        assert np.array_equal(found.labels, expected.labels) and found.scores == expected.scores
        assert found.weights == end and found.agreement == (1.0 if name == "like" else 0.5)
        assert expected.weights is None and expected.agreement is None
    assert (
        not Predictor(doubting(0.0), device=torch.device("cpu"))
        .predict(Volume(bright()[None], np.eye(4)))
        .scores["Right part"]
    ), "the scores are those of the weights that were chosen"


def test_a_folder_notes_what_each_scan_chose(doubting, mixed, tmp_path):
    shares: list[tuple[str, float]] = []
    made = {}
    for workers in (0, 2):
        out = tmp_path / f"out {workers}"
        summary = predict(
            mixed,
            out,
            model=doubting(),
            device="cpu",
            workers=workers,
            tta=True,
            probabilities=True,
            progress=lambda p: shares.append((p.case, p.share)),
        )
        assert summary.done == ("case_0", "case_1", "case_2", "case_3")
        cases = cases_of(out)
        chosen = {name: (case["weights"], case["agreement"]) for name, case in cases.items()}
        assert chosen == {f"case_{n}": (("general", 0.5) if n % 2 else ("home", 1.0)) for n in range(4)}
        assert [note for note in summary.notes if SAID in note] == [
            "2 scans (case_1, case_3): The two ends of the model disagree on this scan (Dice 0.50, usually above "
            f"0.90): it {SAID}"
        ]
        assert cases["case_1"]["notes"] and "notes" not in cases["case_0"]
        for number in range(4):
            labels = saved(out / f"case_{number}.nii.gz")
            assert (labels == 77).any()
            winners = saved(out / "probabilities" / f"case_{number}.nii.gz").argmax(-1)
            assert np.array_equal(np.asarray([0, 2, 77])[winners], labels), "the posterior of the chosen one"
        assert not list(out.rglob(".*")), "nothing is left of the other one"
        made[workers] = rows(out / "volumes.csv")
    assert made[0] == made[2] and len(made[0]) == 4
    of_one = [share for case, share in shares if case == "case_0"]
    assert 0.5 in of_one and max(of_one) == 1.0
    run = json.loads((tmp_path / "out 0" / "manifest.json").read_text(encoding="utf-8"))["runs"][0]
    assert run["model"]["aim"] == "each" and run["model"]["points"] == [1.0] and run["model"]["threshold"] == 0.9


def test_small_scans_several_at_a_time(doubting, mixed, tmp_path, set_threads):
    set_threads(2)
    summary = predict(mixed, tmp_path / "out", model=doubting(), device="cpu", workers=1)
    assert [case["weights"] for case in cases_of(tmp_path / "out").values()] == ["home", "general"] * 2
    assert len(summary.done) == 4


def test_parts_and_what_exists(doubting, mixed, tmp_path):
    out, model = tmp_path / "out", doubting()
    predict(mixed, out, model=model, device="cpu", part=(1, 2))
    assert set(cases_of(out)) == {"case_0", "case_2"}
    predict(mixed, out, model=model, device="cpu", part=(2, 2))
    again = predict(mixed, out, model=model, device="cpu", skip_existing=True)
    assert len(again.skipped) == 4 and not again.notes
    other = replace(model, hash="1" * 64, general=(), setting=Setting("home", (1.0,)))
    now = predict(mixed, out, model=other, device="cpu", skip_existing=True)
    assert any(note.startswith("Skipped, and made for another aim: case_0, case_1") for note in now.notes)


def test_a_cascade_looks_for_context_once(doubting, mixed, tmp_path, monkeypatch, threshold_model):
    from l2s_auto.inference import scan

    calls = []

    def context(image, low, **options):
        calls.append(options)
        return np.zeros((1, *image.shape[1:]), np.float32)

    monkeypatch.setattr(scan, "context_in", context)
    model = replace(doubting(), low_resolution=threshold_model)
    predict(mixed, tmp_path / "out", model=model, device="cpu", tta=True)
    assert len(calls) == 4 and all(options["tta"] and options["overlap"] == 0.5 for options in calls)
    assert [case["weights"] for case in cases_of(tmp_path / "out").values()] == ["home", "general"] * 2
    summary = predict(mixed, tmp_path / "fast", model=model, device="cpu", fast=True)
    assert len(calls) == 4 and any("predicts every scan with the same weights" in note for note in summary.notes)
    assert "weights" not in cases_of(tmp_path / "fast")["case_0"]


def test_a_failure_of_the_second_pass_fails_the_scan_and_leaves_nothing(doubting, mixed, tmp_path):
    class Broken(Threshold):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image) * float("nan")

    model = replace(doubting(), general=(Broken(),))
    summary = predict(mixed, tmp_path / "out", model=model, device="cpu", probabilities=True)
    assert len(summary.failures) == 4 and "NaN or infinity" in summary.failures[0].reason
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_the_sentence_never_gives_one_number_twice():
    assert "Dice 0.81, usually above 0.90" in disagreement(0.8123, 0.9)
    assert "Dice 0.899, usually above 0.900" in disagreement(0.8991, 0.9)


def test_a_loaded_model_keeps_its_aim(doubting, mixed, tmp_path):
    predict(mixed, tmp_path / "out", model=doubting(), device="cpu", aim="each")
    with pytest.raises(UserError, match=r"loaded for another aim(?s:.*)'home'; expected 'each'.*aim='home'"):
        predict(mixed, tmp_path / "out", model=doubting(), device="cpu", aim="home")


def test_the_command(mixed, tmp_path, capsys):
    run = write_run(tmp_path / "run")
    command = ["-i", str(mixed), "-m", str(run), "--device", "cpu"]
    assert cli.predict([*command, "-o", str(tmp_path / "none"), "--aim", "home"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "cannot predict for that aim" in said and "one end only" in said and "Predict without --aim, or" in said
    add_dial(run / "fold_0", threshold=1.0)
    for aim in ("home", "both", "anywhere", "each"):
        assert cli.predict([*command, "-o", str(tmp_path / aim), "--aim", aim]) == 0
    assert SAID in " ".join(capsys.readouterr().out.split())
    assert {case["weights"] for case in cases_of(tmp_path / "each").values()} == {"general"}
    assert np.array_equal(saved(tmp_path / "each" / "case_0.nii.gz"), saved(tmp_path / "anywhere" / "case_0.nii.gz"))
    for name, predictor in (("home", Predictor.load(run, device="cpu", aim="home")), ("both", Predictor.load(run))):
        assert np.array_equal(
            predictor.predict(mixed / "case_1.nii.gz").labels, saved(tmp_path / name / "case_1.nii.gz")
        )
    manifest = json.loads((tmp_path / "home" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["runs"][0]["options"]["aim"] == "home" and manifest["runs"][0]["model"]["points"] == [1.0]
    with pytest.raises(SystemExit) as ended:
        cli.predict([*command, "-o", str(tmp_path / "x"), "--aim", "abroad"])
    assert ended.value.code == 2


def test_ends_that_are_alike_agree_in_scans_that_a_look_sees_completely(tmp_path):
    run = write_run(tmp_path / "run")
    add_dial(run / "fold_0", aim="each", threshold=1.0, like_home=True)
    for number, shape in enumerate(((8, 8, 7), (12, 12, 12), (8, 9, 12))):
        write_scan(tmp_path / "in" / f"case_{number}.nii.gz", blocks(shape))
    predict(tmp_path / "in", tmp_path / "out", model=load_model(run), device="cpu")
    chosen = [(case["weights"], case["agreement"]) for case in cases_of(tmp_path / "out").values()]
    assert chosen == [("home", 1.0)] * 3


class Counting(Threshold):
    """As Threshold, and counts the windows that it sees."""

    windows = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.windows += len(image)
        return super().forward(image)


def passes_over(volume: Volume, doubting, threshold: float) -> tuple[int, int, list[float]]:
    """Windows that the home weights saw, those that the general ones saw, and the shares of progress."""
    home, general, shares = Counting(), Counting(), []
    model = replace(doubting(threshold), networks=(home,), general=(general,))
    scan = ready_scan(volume, model)
    options = {"device": torch.device("cpu"), "overlap": 0.5, "tta": False}
    found = segment_scan(scan, model, **options, progress=lambda done, total: shares.append(done / total))
    assert found.end == ("home" if threshold <= 1 else "general") and found.agreement == 1
    return home.windows, general.windows, shares


def noisy(shape: tuple[int, int, int], structures: np.ndarray | None = None) -> Volume:
    """No window of one value; `blocks` (12 x 13 x 14) somewhere in it."""
    image = np.random.default_rng(0).uniform(0, 0.2, shape).astype(np.float32)
    if structures is not None:
        x, y, z = structures.shape
        image[10 : 10 + x, 9 : 9 + y, 11 : 11 + z] += structures * 0.8
    return Volume(image[None], np.eye(4))


def test_scans_that_agree_take_no_second_complete_pass(doubting):
    complete, looked, shares = passes_over(noisy((40, 40, 40), blocks()), doubting, 0.0)
    assert complete == 9**3 and looked <= 3**3
    assert shares == sorted(shares) and max(shares) < 1
    complete, looked, shares = passes_over(noisy((40, 40, 40), blocks()), doubting, 1.1)
    assert looked > complete and shares == sorted(shares) and shares[-1] == 1


def test_where_a_label_is_not_found_all_of_the_scan_is_looked_at(doubting):
    complete, looked, _ = passes_over(noisy((40, 40, 40)), doubting, 0.0)
    assert complete == 9**3 and looked == 5**3


@pytest.mark.parametrize("shape", [(8, 8, 8), (12, 9, 5)])
def test_few_windows_are_seen_once_by_each_end(doubting, shape):
    for threshold in (0.0, 1.1):
        complete, looked, shares = passes_over(noisy(shape), doubting, threshold)
        assert looked == complete and shares == sorted(shares)
