"""Models from strangers: data that names no code, has bounds, and leads nowhere."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.inference.export import export_model, import_model
from l2s_auto.inference.export_nnunet import dataset_folder
from l2s_auto.inference.load import load_model, read_plan
from l2s_auto.inference.predict import predict
from l2s_auto.inference.predictor import Predictor
from l2s_auto.inference.written import check_zip
from l2s_auto.io.json_files import write_json
from l2s_auto.networks import network_for, save_weights
from l2s_auto.networks.unet import unet
from tests.inference.tiny_models import blocks, make_plan, write_run, write_scan

FIELDS = ("network", "method", "augmenter", "loss", "optimiser", "outer_optimiser", "schedule", "hypergradient")
#: Payloads that would leave a file, by the standard library and by the package's own functions.
PAYLOADS = {
    "os:system": lambda path: {"command": f"echo > '{path}'"},
    "l2s_auto.io.json_files:write_json": lambda path: {"path": str(path), "value": 1},
    "parametric+os:system": lambda path: {"os:system": {"command": f"echo > '{path}'"}},
}


def own_network(**given):
    """A user's own part."""
    return unet(**given)


def no_network(**given):
    """A user's own mistake."""
    return object()


OWN = f"{__name__}:own_network"


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("good") / "run")


@pytest.fixture
def run(good, tmp_path) -> Path:
    return shutil.copytree(good, tmp_path / "run")


def edit(path: Path, *place: str | int, value: object) -> None:
    content = inner = json.loads(path.read_text(encoding="utf-8"))
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")


def packed(run: Path) -> Path:
    """A zip as a stranger makes one."""
    path = run.parent / "stranger.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in run.rglob("*"):
            if file.is_file():
                archive.write(file, file.relative_to(run).as_posix())
    return path


def ways(run: Path, tmp_path: Path) -> dict[str, list[object]]:
    """The commands that take a model, each as its function and arguments."""
    scan = write_scan(tmp_path / "scans" / "a.nii.gz", blocks())
    data = [str(scan.parent), "-o", str(tmp_path / "out")]
    zipped = str(packed(run))
    found: dict[str, list[object]] = {}
    for name, model in (("run", str(run)), ("zip", zipped)):
        found |= {
            f"predict {name}": [cli.predict, "-i", *data, "-m", model],
            f"evaluate {name}": [cli.evaluate, "-p", str(scan.parent), "-r", str(scan.parent), "-m", model],
        }
    return found | {
        "import": [cli.import_model, zipped, "-o", str(tmp_path / "imported")],
        "export": [cli.export_model, str(run), str(tmp_path / "out.zip")],
        "export to nnunet": [cli.export_model, str(run), str(tmp_path / "nnunet"), "--format", "nnunet"],
    }


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("field", FIELDS)
def test_no_command_runs_what_a_model_names(run, tmp_path, capsys, field, name):
    canary = tmp_path / "canary"
    edit(run / "recipe.json", field, value={"name": name, "options": PAYLOADS[name](canary)})
    for way, (command, *arguments) in ways(run, tmp_path).items():
        assert command(arguments) == 2, way
        told = capsys.readouterr().err
        assert f"field {field}.name" in told and "Traceback" not in told, way
        assert not canary.exists(), way
    assert {path.name for path in tmp_path.iterdir()} == {"run", "scans", "stranger.zip"}


def test_nor_what_the_first_network_of_a_cascade_names(good, run, tmp_path):
    write_run(run / "low_resolution")
    edit(run / "low_resolution" / "recipe.json", "network", value={"name": "os:getcwd", "options": {}})
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    low = {name: plan[name] for name in ("spacing", "patch", "batch", "topology")}
    edit(run / "plan.json", "low_resolution", value=low)
    for attempt in (load_model, lambda path: export_model(path, tmp_path / "x.zip"), Predictor.load):
        with pytest.raises(UserError, match=r"low_resolution/recipe.json, field network.name(?s:.*)os:getcwd"):
            attempt(run)


def test_a_users_own_part_works_where_the_call_names_it(run, tmp_path, capsys):
    edit(run / "recipe.json", "network", "name", value=OWN)
    with pytest.raises(UserError, match=f"--trust-code {OWN}"):
        load_model(run)
    with pytest.raises(UserError, match="code outside"):
        load_model(run, trust_code=["os:system"])
    assert load_model(run, trust_code=[OWN]).folds == ("fold_0",)
    assert Predictor.load(run, device="cpu", trust_code=OWN).model.recipe.network.name == OWN
    zipped = export_model(run, tmp_path / "model.zip", trust_code=[OWN])
    assert import_model(zipped, tmp_path / "imported", trust_code=[OWN]).is_dir()
    for way, (command, *arguments) in ways(run, tmp_path).items():
        if way != "import" and "nnunet" not in way:
            assert command([*arguments, "--trust-code", "a.b:C", "--trust-code", OWN]) in (0, 2), way
            assert "trust" not in capsys.readouterr().err, way
    with pytest.raises(UserError, match="code outside"):
        load_model(run)


def test_nothing_is_imported_even_to_look(run):
    edit(run / "recipe.json", "network", "name", value="antigravity:fly")
    with pytest.raises(UserError, match="code outside"):
        load_model(run)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 10**9}, "at most|to 1e|what the program decides"),
        ({"classes": 3}, "what the program decides"),
        ({"channels": 1, "topology": {}}, "what the program decides"),
        ({"activation": {}}, "type str"),
        ({"activation": ["elu"]}, "type str"),
        ({"bias": "x"}, "type bool"),
        ({"checkpointing": [True]}, "type bool"),
        ({"rate": 1e308}, "numbers from"),
    ],
)
def test_options_are_checked(run, options, message):
    edit(run / "recipe.json", "network", "options", value=options)
    with pytest.raises(UserError, match=message):
        load_model(run)


DEEP = "[" * 100_000
WIDE = [[3, 3, 3]] * 16


@pytest.mark.parametrize(
    ("file", "place", "value"),
    [
        ("plan.json", ("topology", "convolutions_encoder"), [10**6, 1]),
        ("plan.json", ("topology", "features"), [4096, 4096]),
        ("plan.json", ("topology", "features"), [2] * 1000),
        ("plan.json", ("topology", "kernels"), [[10**9] * 3, [3, 3, 3]]),
        ("plan.json", ("spacing",), [1e-300, 1.0, 1.0]),
        ("plan.json", ("spacing",), [1e308, 1.0, 1.0]),
        ("plan.json", ("patch",), [4096, 4096, 4096]),
        ("plan.json", ("patch",), [8, 8, 65536]),
        ("plan.json", ("batch",), 10**9),
        ("plan.json", ("iterations",), 10**18),
        ("plan.json", ("labels",), [{"value": 2**31, "name": "a"}]),
        ("plan.json", ("labels",), [{"value": n, "name": str(n)} for n in range(66_000)]),
        ("plan.json", ("channels",), [f"c{n}" for n in range(2000)]),
        ("plan.json", ("normalisation",), [{"scheme": "fixed", "lower": -1e308, "upper": 1e308}]),
        ("plan.json", ("normalisation",), [{"scheme": "z-score", "lower": 0, "upper": 1, "std": 1e-300}]),
        ("plan.json", ("dataset",), "../../evil"),
        ("plan.json", ("dataset",), "a\\b"),
        ("plan.json", ("dataset",), "\ud800"),
        ("plan.json", ("labels", 1, "name"), "\x1b[2Jevil"),
        ("plan.json", ("labels", 1, "name"), "x" * 100_000),
        ("plan.json", ("channels",), ["\x9b31m"]),
        ("plan.json", ("why",), {"patch": "\x1b]0;title\x07"}),
        ("recipe.json", ("iterations",), 10**18),
        ("recipe.json", ("time_budget",), 1e308),
        ("recipe.json", ("seed",), 2**64),
        ("fold_0/calibration.json", ("labels", "2", "pieces"), 10**18),
        ("fold_0/calibration.json", ("labels", "2", "excess"), 1e308),
        ("fold_0/calibration.json", ("labels", "2", "largest"), -1e308),
        ("fold_0/calibration.json", ("labels",), {"9" * 40: {"excess": 0, "error": 0, "cases": 3}}),
    ],
)
def test_numbers_and_names_have_bounds(run, file, place, value):
    write_json(run / "fold_0" / "calibration.json", {"labels": {"2": {"excess": 0.1, "error": 0.1, "cases": 3}}})
    edit(run / file, *place, value=value)
    with pytest.raises(UserError) as refused:
        load_model(run)
    text = str(refused.value)
    assert file in text and len(text) < 20_000 and all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("file", ["plan.json", "recipe.json", "fold_0/calibration.json"])
@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "1", "1e999", "\x00", DEEP, '{"a":' * 50_000, '{"a": ' + "9" * 5000 + "}"),
        *('{"a": 1, "a": 1}', '{"\\ud800": 1}', "[" + "[]," * 2_000_000 + "[]]"),
    ],
)
def test_json_of_any_other_kind_is_one_error(run, file, text):
    (run / file).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load_model(run)
    assert len(refused.value.offences) <= 20 and all(line.isprintable() for line in str(refused.value).split("\n"))


def test_calibrations_of_many_folds_add_up_within_their_bounds(tmp_path):
    model = write_run(tmp_path / "run", folds=("fold_0", "fold_1"))
    for fold in ("fold_0", "fold_1"):
        write_json(model / fold / "calibration.json", {"labels": {"2": {"excess": 0, "error": 0, "cases": 2**31 - 1}}})
    assert load_model(model).calibration.knows(2)


def test_weights_that_the_network_cannot_hold_are_one_error(run):
    path = run / "fold_0" / "weights.safetensors"
    weights = load_file(path)
    save_file({name: torch.full_like(value, 1e300, dtype=torch.float64) for name, value in weights.items()}, path)
    with pytest.raises(UserError, match="NaN or infinity"):
        load_model(run)
    save_file({name: value.to(torch.float8_e4m3fn) for name, value in weights.items()}, path)
    assert load_model(run).folds == ("fold_0",)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("labels", 1, "value"), 5),
        (("spacing",), [1e-4] * 3),
        (("orientation",), "stored"),
    ],
)
def test_the_networks_of_a_cascade_belong_together(run, place, value):
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    low = {name: plan[name] for name in ("spacing", "patch", "batch", "topology")}
    edit(run / "plan.json", "low_resolution", value={**low, "spacing": [2.0, 2.0, 2.0]})
    cascade = read_plan(run / "plan.json")
    write_run(run / "low_resolution")
    write_json(run / "low_resolution" / "plan.json", cascade.first_stage)
    save_weights(network_for(cascade, Recipe().network), run / "fold_0" / "weights.safetensors")
    assert load_model(run).low_resolution is not None
    edit(run / "low_resolution" / "plan.json", *place, value=value)
    with pytest.raises(UserError, match="do not belong together"):
        load_model(run)
    edit(run / "plan.json", "low_resolution", "spacing", value=[1e-4, 500.0, 500.0])
    with pytest.raises(UserError, match="needs to be coarser"):
        load_model(run)


@pytest.mark.parametrize("scheme", ["z-score", "none"])
def test_what_nnunet_has_no_counterpart_of_is_one_error(run, tmp_path, scheme):
    edit(run / "plan.json", "normalisation", 0, "scheme", value=scheme)
    with pytest.raises(UserError, match=f"no counterpart(?s:.*)the normalisation {scheme}"):
        export_model(run, tmp_path / "out", format="nnunet")
    assert not (tmp_path / "out").exists()


def test_a_trusted_part_that_is_no_network_is_one_error(run):
    edit(run / "recipe.json", "network", "name", value=f"{__name__}:no_network")
    with pytest.raises(UserError, match="The network cannot be used"):
        load_model(run, trust_code=[f"{__name__}:no_network"])


@pytest.mark.parametrize("change", ["integers", "complex numbers", "one more", "one less"])
def test_weights_of_another_kind_are_one_error(run, change):
    path = run / "fold_0" / "weights.safetensors"
    weights = load_file(path)
    changed = {
        "integers": {name: value.to(torch.int32) for name, value in weights.items()},
        "complex numbers": {name: value.to(torch.complex64) for name, value in weights.items()},
        "one more": {**weights, "\x1b[2J": torch.zeros(1)},
        "one less": dict(list(weights.items())[1:]),
    }[change]
    save_file(changed, path)
    with pytest.raises(UserError, match=r"of another type|do not fit"):
        load_model(run)


def test_a_network_takes_no_memory_before_its_weights_fit(run, monkeypatch):
    plan = make_plan()
    network = network_for(plan, load_model(run).recipe.network, empty=True)
    assert all(p.is_meta for p in network.parameters())
    features = plan.topology.model_copy(update={"features": (2000, 2000)})
    write_json(run / "plan.json", plan.model_copy(update={"topology": features}))
    monkeypatch.setattr(torch.nn.Module, "to_empty", lambda *given, **named: pytest.fail("memory was taken"))
    with pytest.raises(UserError, match="do not fit"):
        load_model(run)


def test_an_export_to_nnunet_stays_within_its_zip(run, tmp_path):
    edit(run / "plan.json", "dataset", value="x" * 250)
    path = export_model(run, tmp_path / "out" / "model.zip", format="nnunet")
    with zipfile.ZipFile(path) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
    assert folders == {dataset_folder("x" * 250)} and len(folders.pop()) < 150
    assert dataset_folder("Dataset004_Hippocampus") == "Dataset004_Hippocampus"
    assert dataset_folder("../../evil") == "Dataset999_.._.._evil" and dataset_folder("..") == "Dataset999_dataset"
    assert [file.name for file in path.parent.iterdir()] == ["model.zip"]


@pytest.mark.parametrize("fault", ["missing", "empty", "more", "damaged", "nothing"])
def test_an_export_reads_again_what_it_wrote(tmp_path, fault):
    path, members = tmp_path / "m.zip", {"a": b"1" * 99, "b": b"2" * 99}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items() if fault != "nothing" else ():
            if name == "a" or fault != "missing":
                archive.writestr(name, b"" if (fault, name) == ("empty", "b") else content)
        if fault == "more":
            archive.writestr("c", b"3")
    if fault == "damaged":
        path.write_bytes(path.read_bytes().replace(b"222", b"223", 1))
    with pytest.raises(UserError, match="not what it should be"):
        check_zip(path, members if fault != "nothing" else {}, target=tmp_path / "model.zip")


def test_a_name_of_a_zip_never_leads_out_of_the_models_folder(good, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = export_model(good, tmp_path / "model.zip").rename(tmp_path / "...zip")
    assert cli.import_model([str(path)]) == 0
    assert (tmp_path / "l2s_runs" / "model" / "plan.json").is_file()


def test_a_fold_that_could_not_be_imported_is_not_exported(run, tmp_path):
    (run / "fold_0").rename(run / "fold_0 b")
    with pytest.raises(UserError, match="fold cannot be exported"):
        export_model(run, tmp_path / "model.zip")


def test_trust_of_the_call_around_is_kept(run):
    edit(run / "recipe.json", "network", "name", value=OWN)
    with trusting([OWN]):
        assert load_model(run).recipe.network.name == OWN


def test_weights_that_give_no_numbers_are_no_segmentation(run, tmp_path):
    """A score of NaN wins nowhere, so that everything would be background."""
    path = run / "fold_0" / "weights.safetensors"
    save_file({name: torch.full_like(value, 3e38) for name, value in load_file(path).items()}, path)
    write_scan(tmp_path / "scans" / "a.nii.gz", blocks())
    summary = predict(tmp_path / "scans", tmp_path / "out", model=run, device="cpu", probabilities=True)
    assert "NaN or infinity" in summary.failures[0].reason and not (tmp_path / "out" / "a.nii.gz").exists()
