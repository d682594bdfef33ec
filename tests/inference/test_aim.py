"""What the weights are chosen for: the points between both ends of a model, in folds, cascades and zips."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from l2s_auto.commands import parsers
from l2s_auto.core.dial import AIMS
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.ends import between, read_ends
from l2s_auto.inference.export import export_model, import_model
from l2s_auto.inference.load import load_first, load_model, read_plan
from l2s_auto.inference.usable import Weights, why_unusable
from l2s_auto.io.json_files import write_json
from l2s_auto.networks import network_for, parameters, save_weights
from tests.inference.tiny_models import add_dial, write_run

KERNEL = (3, 4)
GENERAL = {"w": torch.rand(KERNEL), "half": torch.rand(2, dtype=torch.float16), "n": torch.tensor([1, 2])}
HOME = {"w": torch.rand(KERNEL), "half": torch.rand(2, dtype=torch.float16), "n": torch.tensor([3, 4])}


def weights(model, fold: int = 0) -> dict[str, torch.Tensor]:
    return parameters(model.networks[fold])


def same(some, others) -> bool:
    return set(some) == set(others) and all(torch.equal(value, others[name]) for name, value in some.items())


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def test_the_ends_are_points_and_the_middle_is_the_mean():
    assert same(between(GENERAL, HOME, 0.0), GENERAL) and same(between(GENERAL, HOME, 1.0), HOME)
    middle = between(GENERAL, HOME, 0.5)
    torch.testing.assert_close(middle["w"], (GENERAL["w"] + HOME["w"]) / 2)
    assert middle["half"].dtype == torch.float32, "averaged in no less than 32 bits"
    for a in (0.2, 0.9):
        back = between(HOME, GENERAL, 1 - a)
        torch.testing.assert_close(between(GENERAL, HOME, a)["w"], back["w"])
        torch.testing.assert_close(between(HOME, HOME, a)["w"], HOME["w"])
    assert between(GENERAL, HOME, 0.4)["n"].tolist() == [1, 2] and between(GENERAL, HOME, 0.5)["n"].tolist() == [3, 4]


def test_each_aim_gives_the_weights_of_its_point(run):
    add_dial(run / "fold_0", 0.25, chosen={"home": 1.0, "both": 0.25})
    ends = read_ends(run / "fold_0" / "ends.safetensors")
    stored = load_file(run / "fold_0" / "weights.safetensors")
    assert same(weights(load_model(run)), stored) and load_model(run).setting.aim == "both"
    assert same(weights(load_model(run, aim="both")), stored)
    assert same(weights(load_model(run, aim="home")), ends.home)
    assert same(weights(load_model(run, aim="anywhere")), ends.general)
    each = load_model(run, aim="each")
    assert same(weights(each), ends.home) and same(parameters(each.general[0]), ends.general)
    assert each.setting.threshold == 0.9 and not each.general[0].training
    assert load_model(run, aim="anywhere").setting.points == (0.0,) and load_model(run).setting.points == (0.25,)


def test_folds_have_dials_of_their_own(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1"))
    for number, (a, threshold) in enumerate(((0.25, 0.8), (0.75, 0.9))):
        add_dial(run / f"fold_{number}", a, chosen={"home": a + 0.1, "both": a}, threshold=threshold)
    model = load_model(run, aim="home")
    assert model.setting.points == pytest.approx((0.35, 0.85))
    for number, a in enumerate(model.setting.points):
        expected = read_ends(run / f"fold_{number}" / "ends.safetensors").at(a)
        assert same(weights(model, number), expected)
    assert load_model(run, aim="each").setting.threshold == pytest.approx(0.85)
    assert load_model(run / "fold_1", aim="home").setting.points == pytest.approx((0.85,))


def test_a_hash_tells_the_aim_the_dial_and_the_ends(run):
    plain = load_model(run).hash
    add_dial(run / "fold_0", 0.0)
    assert load_model(run).hash == load_model(run, aim="both").hash == plain, "the same weights"
    hashes = {aim: load_model(run, aim=aim).hash for aim in AIMS}
    assert len(set(hashes.values())) == 4
    add_dial(run / "fold_0", 0.0, threshold=0.8)
    assert load_model(run, aim="each").hash != hashes["each"] and load_model(run).hash == plain
    add_dial(run / "fold_0", 0.0, like_home=True)
    assert load_model(run, aim="home").hash != hashes["home"]


def test_a_training_for_each_scan_predicts_so(run):
    add_dial(run / "fold_0", 1.0, aim="each")
    model = load_model(run)
    assert model.setting.aim == "each" and model.general and model.hash == load_model(run, aim="each").hash
    assert not load_model(run, aim="home").general
    (run / "fold_0" / "ends.safetensors").unlink()
    with pytest.raises(UserError, match=r"ends.safetensors: found no such file.* use --aim home"):
        load_model(run)
    assert load_model(run, aim="home").setting.points == (1.0,), "as the message says"


def test_folds_of_which_scans_choose_in_some_only_predict_for_both(tmp_path):
    """By itself a training chooses each where validation cases tell when, and else both: so in each fold of several."""
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1"))
    add_dial(run / "fold_0", 1.0, aim="each")
    add_dial(run / "fold_1", 0.5, threshold=None)
    model = load_model(run)
    assert model.setting.aim == "both" and model.setting.points == (0.5, 0.5) and not model.general
    assert same(weights(model), read_ends(run / "fold_0" / "ends.safetensors").at(0.5))


def test_a_model_with_one_end_predicts_as_before_and_has_no_aim(run):
    assert load_model(run).setting.described() == {}
    for aim in AIMS:
        with pytest.raises(UserError, match=r"fold_0: found no dial.json: there is one end.*Predict without --aim, or"):
            load_model(run, aim=aim)
    with pytest.raises(UserError, match=r"Unknown aim(?s:.*)'hme'; expected one of home, both, anywhere, each"):
        load_model(run, aim="hme")


def test_nor_has_one_of_nnunet(run, tmp_path):
    export_model(run, tmp_path / "theirs", format="nnunet")
    assert load_model(tmp_path / "theirs").setting.aim is None
    with pytest.raises(UserError, match="--aim home for a model with one end only"):
        load_model(tmp_path / "theirs", aim="home")


def test_folds_that_lack_the_aim_are_named(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1", "fold_2", "fold_3"))
    add_dial(run / "fold_0")
    add_dial(run / "fold_1", chosen={"both": 0.5}, threshold=None)
    add_dial(run / "fold_3")
    (run / "fold_3" / "ends.safetensors").unlink()
    for aim in ("home", "each"):
        with pytest.raises(UserError) as told:
            load_model(run, aim=aim)
        wheres = [offence.where for offence in told.value.offences]
        expected = ["fold_1/dial.json", "fold_2", "fold_3/ends.safetensors"]
        assert wheres == [str(run / name) for name in expected]
        assert "expected one of both, anywhere. Use --aim both" in str(told.value)
    model = load_model(run)
    assert model.setting.aim is None and model.setting.points == ()
    assert any("different aims (fold_0: both, fold_1: both, fold_2: one end only, fold_3" in n for n in model.notes)


def test_a_dial_is_read_with_suspicion(run):
    add_dial(run / "fold_0")
    path = run / "fold_0" / "dial.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for changed, message in (
        ({"a": 2}, r"dial.json, field a: found 2"),
        ({"chosen": {"home": float("1e9")}}, r"dial.json, field chosen.home"),
        ({"chosen": {"abroad": 0.5}}, r"dial.json, field chosen.abroad"),
        ({"more": 1}, r"dial.json, field more"),
    ):
        write_json(path, {**content, **changed})
        with pytest.raises(UserError, match=message):
            load_model(run)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"dial.json"):
        load_model(run)
    weights = Weights(run, (run / "fold_0" / "weights.safetensors",), 0.0)
    assert why_unusable(weights) == "A JSON file is broken"


def test_damaged_ends_are_refused_and_named(run):
    add_dial(run / "fold_0", aim="each")
    path = run / "fold_0" / "ends.safetensors"
    good = load_file(path)
    name = next(iter(good)).removeprefix("general/").removeprefix("home/")
    few = {key: value for key, value in good.items() if not key.endswith(name)}
    for changed, message in (
        ({**good, "other": torch.ones(1)}, "do not fit each other(?s:.*)1 tensors.*such as other"),
        ({key: value for key, value in good.items() if key != f"home/{name}"}, "do not fit each other"),
        ({**good, f"home/{name}": torch.ones(7)}, "do not fit each other"),
        (few, "do not fit the network"),
        ({**good, f"home/{name}": good[f"home/{name}"] * float("nan")}, "NaN or infinity"),
        ({**good, f"general/{name}": good[f"general/{name}"].int()}, "not numbers"),
    ):
        save_file(changed, path)
        with pytest.raises(UserError, match=message) as told:
            load_model(run)
        assert str(path) in str(told.value)
    path.write_bytes(b"\x80\x04 no safetensors")
    with pytest.raises(UserError, match=r"weights cannot be read(?s:.*)ends.safetensors"):
        load_model(run)
    stored = Weights(run, (run / "fold_0" / "weights.safetensors",), 0.0)
    assert why_unusable(stored) == "fold_0/ends.safetensors is damaged or cut short"
    assert load_model(run, aim="home").setting.as_stored, "which does not need the ends"


def test_an_export_keeps_both_ends(run, tmp_path):
    add_dial(run / "fold_0", 0.25, chosen={"home": 1.0, "both": 0.25})
    path = export_model(run, tmp_path / "model.zip")
    folder = import_model(path, tmp_path / "imported")
    for aim in (None, *AIMS):
        assert load_model(run, aim=aim).hash == load_model(path, aim=aim).hash == load_model(folder, aim=aim).hash
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.txt").decode()
    assert "Aim        both" in card and "0.25" in card and "--aim home, both, anywhere or each" in card
    assert export_model(folder, tmp_path / "again.zip").read_bytes() == path.read_bytes()
    add_dial(run / "fold_0", chosen={"both": 0.5}, threshold=None)
    narrow = export_model(run, tmp_path / "narrow.zip")
    with pytest.raises(UserError, match=r"narrow.zip/fold_0/dial.json: found no weights for the aim 'home'"):
        load_model(narrow, aim="home")


def test_an_import_refuses_damaged_ends(run, tmp_path):
    add_dial(run / "fold_0")
    save_file({"general/x": torch.ones(1), "home/x": torch.ones(1)}, run / "fold_0" / "ends.safetensors")
    path = export_model(run, tmp_path / "model.zip")
    with pytest.raises(UserError, match=r"model.zip/fold_0/ends.safetensors"):
        import_model(path, tmp_path / "imported")
    (run / "fold_0" / "dial.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"dial.json"):
        export_model(run, tmp_path / "other.zip")


@pytest.fixture
def cascade(run):
    """A run of two networks, without dials."""
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    own = {name: plan[name] for name in ("patch", "batch", "topology")}
    write_json(run / "plan.json", {**plan, "low_resolution": {**own, "spacing": [2.0, 2.0, 2.0]}})
    full = read_plan(run / "plan.json")
    write_run(run / "low_resolution")
    write_json(run / "low_resolution" / "plan.json", full.first_stage)
    save_weights(network_for(full, Recipe().network), run / "fold_0" / "weights.safetensors")
    return run


def test_the_first_network_of_a_cascade_has_the_same_aim(cascade):
    fold = cascade / "low_resolution" / "fold_0"
    add_dial(cascade / "fold_0")
    plain = load_model(cascade, aim="home")
    assert plain.low_resolution.setting.aim is None and not plain.notes, "the first one has no dial"
    add_dial(fold, 0.75, chosen={"home": 1.0, "both": 0.75})
    ends = read_ends(fold / "ends.safetensors")
    for aim, a in (("home", 1.0), ("anywhere", 0.0), ("both", 0.75), ("each", 0.75), (None, 0.75)):
        low = load_model(cascade, aim=aim).low_resolution
        torch.testing.assert_close(weights(low), ends.at(a))
        assert low.setting.points == (a,) and not low.general
    assert load_model(cascade, aim="home").hash != plain.hash
    add_dial(fold, 1.0, aim="each", chosen={"home": 1.0, "both": 0.5})
    assert load_first(fold).setting.points == (0.5,) and load_model(fold).setting.aim == "each"
    assert load_model(cascade, aim="each").low_resolution.setting.aim == "both"
    add_dial(fold, 1.0, aim="home", chosen={"home": 1.0})
    odd = load_model(cascade, aim="each")
    assert odd.low_resolution.setting.points == (1.0,) and "it predicts as it was trained" in odd.notes[0]


def test_the_options_name_the_aims():
    assert parsers.AIMS == AIMS


def test_a_training_for_each_without_a_threshold_predicts_as_for_both(run):
    add_dial(run / "fold_0", 0.25, aim="each", chosen={"home": 1.0, "both": 0.25}, threshold=None)
    stored = load_file(run / "fold_0" / "weights.safetensors")
    model = load_model(run)
    assert model.setting.aim == "both" and same(weights(model), stored) and not model.general
    with pytest.raises(UserError, match="cannot predict for that aim"):
        load_model(run, aim="each")
