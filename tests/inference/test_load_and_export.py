"""Models from folders and zips; zips that come from anywhere; the model that was trained last."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Normalisation
from l2s_auto.inference import nnunet
from l2s_auto.inference.calibration import calibrate
from l2s_auto.inference.export import export_model, import_model
from l2s_auto.inference.last_model import last_model, remember_model, state_file
from l2s_auto.inference.load import load_model
from l2s_auto.io.json_files import write_json
from tests.inference.tiny_models import make_plan, write_run


def logits(model) -> list[torch.Tensor]:
    image = torch.linspace(0, 1, 512).reshape(1, 1, 8, 8, 8)
    return [network(image) for network in model.networks]


def test_a_run_folder_gives_all_its_folds(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1", "fold_3"))
    (run / "fold_4").mkdir()
    model = load_model(run)
    assert model.folds == ("fold_0", "fold_1", "fold_3") and len(model.networks) == 3
    assert not any(network.training for network in model.networks)
    assert "fold_4" in model.notes[0] and "3 of 4" in model.notes[0]
    assert load_model(run / "fold_1").folds == ("fold_1",)
    assert load_model(run / "fold_1" / "weights.safetensors").folds == ("fold_1",)


def test_a_folder_of_runs_names_them(tmp_path):
    for name in ("a", "b", "c c"):
        low = write_run(tmp_path / "synthseg" / name / "run") / "low_resolution"
        write_run(low)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.json").write_text("{}")
    with pytest.raises(UserError) as told:
        load_model(tmp_path)
    assert all(str(tmp_path / "synthseg" / name / "run") in str(told.value) for name in ("a", "b", "c c"))
    assert f"'{tmp_path}/synthseg/c c/run'." in str(told.value) and "low_resolution" not in str(told.value)
    write_run(tmp_path / "d")
    with pytest.raises(UserError, match="or another of the 4 there"):
        load_model(tmp_path)
    with pytest.raises(UserError, match="the folder that l2s_plan_and_train wrote"):
        load_model(tmp_path / "plans" / "none")


def test_export_and_import_keep_the_model(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_all"))
    path = export_model(run, tmp_path / "möd el.zip")
    zipped, folder = load_model(path), import_model(path, tmp_path / "imported")
    original, imported = load_model(run), load_model(folder)
    assert original.hash == zipped.hash == imported.hash
    assert zipped.source == path and zipped.folds == ("fold_0", "fold_all")
    for a, b, c in zip(logits(original), logits(zipped), logits(imported), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    with zipfile.ZipFile(path) as archive:
        assert b"Left part" in archive.read("README.txt") and b"Apache" in archive.read("LICENSE.txt")
    assert export_model(folder, tmp_path / "again.zip").read_bytes() == path.read_bytes()
    assert load_model(export_model(run / "fold_all", tmp_path / "one.zip")).folds == ("fold_all",)


def test_an_export_keeps_the_calibration(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1"))
    write_json(run / "fold_1" / "calibration.json", calibrate([{2: (0.9, 0.8)}] * 3, {2: [5.0]}, {2: [1]}))
    model = load_model(export_model(run, tmp_path / "model.zip"))
    assert model.calibration == load_model(run).calibration and model.calibration.knows(2)
    assert model.hash == load_model(run).hash


FIGURES = {"dice": 0.9123, "hd95_mm": 1.5, "nsd_1mm": None, "volume_error": 0.05}


def write_metrics(fold: Path, dice: float) -> None:
    figures = {**FIGURES, "dice": dice}
    case = {"case": "Jane Doe", "labels": {"Left part": figures}}
    metrics = {"mean": figures, "labels": {"Left part": figures}, "cases": [case], "notes": ["Jane Doe: one"]}
    write_json(fold / "validation" / "metrics.json", metrics)


def test_an_export_tells_what_was_reached_and_of_whom_nothing(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_1"))
    for fold, dice in (("fold_0", 0.9), ("fold_1", 0.8)):
        write_metrics(run / fold, dice)
    path = export_model(run, tmp_path / "model.zip")
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.txt").decode()
        texts = [archive.read(name) for name in archive.namelist() if not name.endswith("safetensors")]
    assert "Left part         0.850         1.500             -         0.050" in card and "each of 2 folds" in card
    assert not any(b"Jane" in text for text in texts)
    folder = import_model(path, tmp_path / "imported")
    assert export_model(folder, tmp_path / "again.zip").read_bytes() == path.read_bytes()
    assert json.loads((folder / "fold_0" / "validation" / "metrics.json").read_text(encoding="utf-8"))["notes"] == [
        "over 1 case, whose names and figures are left out"
    ]


def test_an_export_of_small_voxels_tells_the_surface_dice_within_one(tmp_path):
    run = write_run(tmp_path / "run")
    figures = {**FIGURES, "nsd_1mm": 1.0, "nsd": 0.75}
    content = {"mean": figures, "tolerance_mm": 0.1, "labels": {"Left part": figures}, "cases": [], "notes": []}
    write_json(run / "fold_0" / "validation" / "metrics.json", content)
    with zipfile.ZipFile(export_model(run, tmp_path / "model.zip")) as archive:
        card, metrics = archive.read("README.txt").decode(), archive.read("fold_0/validation/metrics.json")
    assert "NSD 1 voxel" in card and "0.750" in card and "NSD 1 mm" not in card
    assert json.loads(metrics)["tolerance_mm"] == 0.1


def test_an_export_that_was_not_validated_says_so(tmp_path):
    with zipfile.ZipFile(export_model(write_run(tmp_path / "run"), tmp_path / "model.zip")) as archive:
        assert "Not validated" in archive.read("README.txt").decode()


def test_the_list_of_hashes_is_what_sha256sum_reads(tmp_path):
    folder = import_model(export_model(write_run(tmp_path / "run"), tmp_path / "model.zip"), tmp_path / "imported")
    lines = dict(reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS.txt").read_text().splitlines())
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS.txt"]
    assert lines == {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.mark.parametrize("change", ["changed", "left out", "added"])
def test_a_zip_that_does_not_fit_its_hashes_is_refused(tmp_path, change):
    path = export_model(write_run(tmp_path / "run"), tmp_path / "model.zip")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as sink:
        for name in source.namelist():
            if name != "LICENSE.txt" or change == "added":
                sink.writestr(name, source.read(name))
            elif change == "changed":
                sink.writestr(name, b"all rights reserved")
        if change == "added":
            sink.writestr("fold_7/calibration.json", b"{}")
    with pytest.raises(UserError, match="changed or damaged") as refused:
        import_model(other, tmp_path / "imported")
    name = "fold_7/calibration.json" if change == "added" else "LICENSE.txt"
    assert [name in str(offence) for offence in refused.value.offences] == [True]
    assert not (tmp_path / "imported").exists()


def test_a_fold_more_changes_the_hash(tmp_path):
    one, two = write_run(tmp_path / "a"), write_run(tmp_path / "b", folds=("fold_0", "fold_1"))
    assert load_model(one).hash != load_model(two).hash == load_model(two).hash


def _edit(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}), encoding="utf-8")


def _empty_run(run: Path) -> Path:
    (run / "fold_0" / "weights.safetensors").unlink()
    return run


def _without_recipe(run: Path) -> Path:
    (run / "recipe.json").unlink()
    return run


def _future(run: Path) -> Path:
    _edit(run / "plan.json", version=99)
    return run


def _other_features(run: Path) -> Path:
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    _edit(run / "plan.json", topology={**plan["topology"], "features": [4, 8]})
    return run


def _broken_plan(run: Path) -> Path:
    (run / "plan.json").write_text('{"version": 1,', encoding="utf-8")
    return run


def _broken_weights(run: Path) -> Path:
    (run / "fold_0" / "weights.safetensors").write_bytes(b"\x10garbage")
    return run


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: run / "nowhere", "no such file or folder"),
        (lambda run: run.parent, "without plan.json"),
        (_empty_run, "no fold_"),
        (lambda run: _empty_run(run) / "fold_0", "no weights.safetensors"),
        (_without_recipe, "without recipe.json"),
        (_future, "newer version"),
        (_other_features, "do not fit"),
        (_broken_plan, "broken"),
        (_broken_weights, "cannot be read"),
        (lambda run: run / "plan.json", "zip cannot be read"),
    ],
)
def test_what_is_not_a_model_is_one_user_error(tmp_path, spoil, message):
    path = spoil(write_run(tmp_path / "run"))
    with pytest.raises(UserError, match=message):
        load_model(path)


def test_what_is_wrong_within_a_zip_is_said_of_the_zip(tmp_path):
    run = write_run(tmp_path / "run")
    path = export_model(_other_features(run), tmp_path / "model.zip")
    for load in (load_model, lambda zipped: import_model(zipped, tmp_path / "new")):
        with pytest.raises(UserError, match="do not fit") as raised:
            load(path)
        assert all(offence.where.startswith(str(path)) for offence in raised.value.offences)


def test_a_zip_is_not_exported_again(tmp_path):
    path = export_model(write_run(tmp_path / "run"), tmp_path / "model.zip")
    with pytest.raises(UserError, match="a zip already"):
        export_model(path, tmp_path / "again.zip")


def _zip(path: Path, members: dict[str, bytes], *, link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return path


@pytest.mark.parametrize(
    ("members", "link", "message"),
    [
        ({"plan.json": b"{}", "../evil.json": b"{}"}, None, r"\.\./evil\.json"),
        ({"plan.json": b"{}", "fold_0/../../weights.safetensors": b""}, None, "not part of a model"),
        ({"plan.json": b"{}", "/tmp/plan.json": b"{}"}, None, "not part of a model"),
        ({"plan.json": b"{}", "C:\\plan.json": b"{}"}, None, "not part of a model"),
        ({"plan.json": b"{}"}, "fold_0/weights.safetensors", "a link"),
        ({"plan.json": b" " * (1 << 24)}, None, "packed into"),
        ({"recipe.json": b"{}"}, None, "no plan.json"),
        ({"holiday.jpg": b"x"}, None, "not part of a model"),
    ],
)
def test_zips_that_are_not_safe_are_refused_before_anything_is_written(tmp_path, members, link, message):
    path = _zip(tmp_path / "model.zip", members, link=link)
    for attempt in (lambda: load_model(path), lambda: import_model(path, tmp_path / "target")):
        with pytest.raises(UserError, match=message):
            attempt()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.zip"]


def test_all_unsafe_members_are_named_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        load_model(_zip(tmp_path / "model.zip", {"../a": b"", "../b": b""}))
    assert len(caught.value.offences) == 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_doubled_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("plan.json", "{}")
        archive.writestr("plan.json", "[]")
    with pytest.raises(UserError, match="same name twice"):
        load_model(tmp_path / "model.zip")


def test_a_damaged_zip(tmp_path):
    path = export_model(write_run(tmp_path / "run"), tmp_path / "model.zip")
    content = bytearray(path.read_bytes())
    for spoilt in (content[: len(content) // 2], bytes(content[:200]) + b"\xff" * 300 + bytes(content[500:])):
        path.write_bytes(spoilt)
        with pytest.raises(UserError, match="zip cannot be read"):
            load_model(path)


def test_import_overwrites_nothing_and_leaves_nothing_behind(tmp_path):
    path = export_model(write_run(tmp_path / "run"), tmp_path / "model.zip")
    with pytest.raises(UserError, match="overwrite"):
        import_model(path, tmp_path / "run")
    with pytest.raises(UserError, match="no such file"):
        import_model(tmp_path / "none.zip", tmp_path / "new")
    _zip(tmp_path / "hollow.zip", {"plan.json": b"{}"})
    with pytest.raises(UserError):
        import_model(tmp_path / "hollow.zip", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hollow.zip", "model.zip", "run"]


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("model.zip", "onnx", "no such format"),
        ("model.tar", "l2s", "ends with .zip"),
    ],
)
def test_exports_that_there_are_not(tmp_path, name, format, message):
    with pytest.raises(UserError, match=message):
        export_model(write_run(tmp_path / "run"), tmp_path / name, format=format)
    assert not (tmp_path / name).exists()


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)  # where there is no l2s_runs
    return tmp_path / "home"


def test_the_last_model_is_remembered(home, tmp_path):
    with pytest.raises(UserError, match="-m"):
        last_model()
    run = write_run(tmp_path / "rün folder")
    assert remember_model(run) and last_model() == run.resolve()
    assert state_file().is_relative_to(home)
    run.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="gone"):
        last_model()
    state_file().write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="-m"):
        last_model()


def test_a_home_that_cannot_be_written_is_said_and_stops_nothing(home, tmp_path, caplog):
    home.write_text("a file where a folder should be")
    assert remember_model(tmp_path) is False
    assert "cannot be remembered" in caplog.text


def test_weights_that_are_not_numbers(tmp_path):
    run = write_run(tmp_path / "run")
    path = run / "fold_0" / "weights.safetensors"
    weights = {name: value * float("nan") for name, value in load_file(path).items()}
    save_file(weights, path)
    with pytest.raises(UserError, match="NaN or infinity in"):
        load_model(run)


@pytest.mark.parametrize("kind", ["small", "percentile", "unmirrored"])
def test_an_export_tells_where_nnunet_differs(kind):
    plan = make_plan()
    if kind == "percentile":
        scheme = Normalisation(scheme="percentile", lower=0.5, upper=99.5)
        plan = plan.model_copy(update={"normalisation": (scheme,)})
    if kind == "unmirrored":
        plan = plan.model_copy(update={"pairs": (), "mirrored": False})
    text = nnunet._readme(plan)
    assert "zeros beside a scan that is smaller than the patch" in text
    assert ("percentiles" in text) >= (kind == "percentile")
    assert ("not trained on mirrored" in text) >= (kind == "unmirrored")
