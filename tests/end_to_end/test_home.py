"""A training with a home phase from the command line: both ends, the point between them, and when there is none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from l2s_auto import cli
from l2s_auto.core.dial import ASSUMED, DIAL, ENDS, GENERAL, HOME, Dial
from l2s_auto.inference.ends import between
from l2s_auto.io.json_files import read_model, write_json
from tests.end_to_end.test_commands import history, train

#: The last 2 of 8 iterations are at home.
LONG = ("--iterations", "8", "--home", "0.25", "--memory-gb", "2")


def said(capsys):
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


def ends_of(run):
    ends = load_file(run / "fold_0" / ENDS)
    parts = ({k.removeprefix(p): v for k, v in ends.items() if k.startswith(p)} for p in (GENERAL, HOME))
    return tuple(parts)


def test_both_ends_are_kept_and_the_point_between_them_predicts(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("l2s_auto.training.dial.MOST_TIME", 1000.0)  # seconds of training are too short to measure in
    run = tmp_path / "run"
    assert train(dataset, run, *LONG) == 0
    dial = read_model(run / "fold_0" / DIAL, Dial)
    general, home = ends_of(run)
    weights = load_file(run / "fold_0" / "weights.safetensors")
    assert set(weights) == set(general) == set(home) and dial.cases >= 1
    assert dial.aim == "both"
    for name, value in between(general, home, dial.a).items():
        torch.testing.assert_close(weights[name], value)
    assert any(not torch.equal(general[name], home[name]) for name in general)
    assert cli.predict(["-i", str(dataset / "images"), "-o", str(tmp_path / "out"), "-m", str(run)]) == 0
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 6
    capsys.readouterr()

    # Longer: from the general weights.
    assert train(dataset, run, "--resume", "--iterations", "16", *LONG[2:]) == 0
    assert history(run)[-1]["iteration"] == 16
    assert not torch.equal(next(iter(ends_of(run)[0].values())), next(iter(general.values())))
    # Another aim chooses on what is trained.
    before = ends_of(run)
    assert train(dataset, run, "--resume", "--iterations", "16", "--aim", "anywhere", *LONG[2:]) == 0
    assert read_model(run / "fold_0" / DIAL, Dial).a == 0
    weights = load_file(run / "fold_0" / "weights.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in before[0].items())
    # Other lengths of the phase are another training.
    assert train(dataset, run, "--resume", "--iterations", "16", "--home", "0.5", "--memory-gb", "2") == 2
    assert "home (--home) = 0.25, and 0.5 is asked for" in said(capsys)


def test_without_validation_cases_a_point_is_assumed_and_said(dataset, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(dataset, run, *LONG, "--fold", "all") == 0
    dial = read_model(run / "fold_all" / DIAL, Dial)
    assert dial.a == ASSUMED and not dial.points and "no case with a scan was held out" in dial.note


@pytest.mark.parametrize("method", ["supervised", "synthseg"])
def test_a_method_with_one_end_has_no_dial_and_no_other_aim(dataset, tmp_path, capsys, method):
    run = tmp_path / "run"
    assert train(dataset, run, "--method", method, "--iterations", "2") == 0
    assert not (run / "fold_0" / DIAL).exists() and not (run / "fold_0" / ENDS).exists()
    capsys.readouterr()
    assert train(dataset, tmp_path / "other", "--method", method, "--aim", "home") == 2
    text = said(capsys)
    assert "it would have one end only" in text and "--aim home" in text and f"the method {method}" in text
    assert not (tmp_path / "other").exists()


@pytest.fixture
def maps(dataset):
    """Label maps alone."""
    shutil.rmtree(dataset / "images")
    return dataset


def test_label_maps_alone_have_one_end(maps, tmp_path, capsys):
    assert train(maps, tmp_path / "run", "--method", "synthseg", "--aim", "home") == 2
    assert "label maps without images, which gives no weights" in said(capsys)
    assert train(maps, tmp_path / "run", "--method", "synthseg", "--home", "0.25", "--iterations", "8") == 0
    assert not (tmp_path / "run" / "fold_0" / DIAL).exists()


def test_label_maps_alone_cannot_be_made_into_images_of_scans(maps, tmp_path, capsys):
    families = ("--method", "synthseg", "--families", "uniform-tissues=0.5,random-curve=0.5")
    assert train(maps, tmp_path / "run", *families) == 2
    text = said(capsys)
    assert "The family random-curve learns from real images too" in text and "without --families" in text


def test_an_earlier_run_is_resumed_with_the_images_that_it_had(dataset, tmp_path, capsys):
    """Its recipe told shares, and it had no home phase."""
    run = tmp_path / "run"
    families = "real-like=0.6,reversed=0.15,uniform-tissues=0.1875,uniform-labels=0.0625"
    same = ("--families", families, "--home", "0")
    assert train(dataset, run, "--iterations", "2", *same) == 0
    recipe = json.loads((run / "recipe.json").read_text())
    for name in ("families", "home", "home_rate", "aim"):
        recipe.pop(name)
    write_json(run / "recipe.json", {**recipe, "prior_share": None, "reversed_share": None})
    assert train(dataset, run, "--iterations", "4", "--resume") == 2
    assert "families (--families or --contrasts) = real-like=0.6" in said(capsys)
    assert train(dataset, run, "--iterations", "4", "--resume", *same) == 0
    assert history(run)[-1]["iteration"] == 4 and not (run / "fold_0" / DIAL).exists()
