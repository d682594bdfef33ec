"""JSON from anywhere: bounded, and one error for whatever is wrong with it."""

import json

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.registered import REGISTERED
from l2s_auto.core.trust import trusting
from l2s_auto.io.dataset_json import read_dataset_json
from l2s_auto.io.json_files import LARGEST, LARGEST_MODEL, MAX_DEPTH, read_json, read_model, write_json
from l2s_auto.io.recipes import read_recipe
from l2s_auto.io.run_files import parse_line, read_metrics
from l2s_auto.io.splits import read_splits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ("-" + "1" * 40, "digits"),
        ("[" * 100_000, "recursion|deep"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "deep in each other"),
        ('{"a": {"b": 1, "b": 2}}', "'b' twice"),
        ('["\\ud800"]', "surrogate"),
        ("\x00", "Expecting value"),
        ("[1,", "Expecting value"),
        (" " * (LARGEST + 1), "more than 16,777,216 bytes"),
    ],
)
def test_what_json_is_refused(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as refused:
        read_json(path)
    str(refused.value).encode("utf-8")


def test_what_json_is_read(tmp_path):
    path = tmp_path / "a.json"
    value = {"a": [1, -2.5, None, True, 10**29, "ü😀", {"b": {}}], "deep": json.loads("[" * 30 + "]" * 30)}
    path.write_text("\ufeff" + json.dumps(value), encoding="utf-8")
    assert read_json(path) == value


def test_records_are_smaller_than_other_files_and_many_faults_are_counted(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(" " * (LARGEST_MODEL + 1) + "{}")
    with pytest.raises(UserError, match="at most 4,194,304 bytes"):
        read_model(path, Recipe)
    write_json(path, {f"field {n}": 1 for n in range(80)})
    with pytest.raises(UserError, match="30 more fields are wrong") as refused:
        read_model(path, Recipe)
    assert len(refused.value.offences) == 50


def test_the_names_in_files_are_those_of_the_registries():
    from l2s_auto.augmenters import AUGMENTERS
    from l2s_auto.hypergradients import HYPERGRADIENTS
    from l2s_auto.losses import LOSSES
    from l2s_auto.networks import NETWORKS
    from l2s_auto.optimisers import OPTIMISERS
    from l2s_auto.training.methods import METHODS
    from l2s_auto.training.schedule import SCHEDULES

    registries = {"method": METHODS, "augmenter": AUGMENTERS, "network": NETWORKS, "loss": LOSSES}
    registries |= {"optimiser": OPTIMISERS, "outer_optimiser": OPTIMISERS, "schedule": SCHEDULES}
    registries |= {"hypergradient": HYPERGRADIENTS}
    assert {field: set(names) for field, names in REGISTERED.items()} == {f: set(r) for f, r in registries.items()}
    parts = {name for name, value in Recipe() if hasattr(value, "options")}
    assert parts == set(REGISTERED)


@pytest.mark.parametrize("field", REGISTERED)
@pytest.mark.parametrize("name", ["os:system", "l2s_auto.io.json_files:write_json", "nonsense", "", "unet+os:system"])
def test_a_recipe_in_a_file_names_registered_parts(tmp_path, field, name):
    path = tmp_path / "recipe.json"
    write_json(path, {field: {"name": name}})
    with pytest.raises(UserError, match=rf"recipe.json, field {field}\.name"):
        read_recipe(path)


def test_a_recipe_may_name_what_the_user_trusts(tmp_path):
    path = tmp_path / "recipe.json"
    write_json(path, {"augmenter": {"name": "gamma+a.b:C"}, "loss": {"name": "d:E"}})
    with pytest.raises(UserError) as refused, trusting(["d:E"]):
        read_recipe(path)
    assert len(refused.value.offences) == 1 and "--trust-code a.b:C" in str(refused.value)
    with trusting(["d:E", "a.b:C"]):
        assert read_recipe(path).augmenter.name == "gamma+a.b:C"


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "1", "null", "", "{", '"a"', "[" * 100_000, '{"iteration": ' + "9" * 5000 + "}"),
        *('{"iteration": "x"}', '{"iteration": true}', '{"iteration": -1}', '{"iteration": 1, "seconds": NaN}'),
        *(
            '{"iteration": 1, "seconds": 1e300}',
            '{"iteration": 1, "theta": []}',
            '{"iteration": 1, "theta": {"a": []}}',
        ),
        *('{"iteration": 1, "val_dice": {}}', '{"loss_synth": 1}'),
        *('{"iteration": 1, "loss_real": 1e308}', '{"iteration": 1, "theta": {"\\u001b[2J": 1}}'),
    ],
)
def test_a_damaged_line_of_a_history_is_none(text):
    assert parse_line(text) is None


def test_a_line_of_a_history():
    line = {"iteration": 3, "seconds": 1.5, "loss_synth": None, "loss_real": 0.5, "theta": {"a": 1.0}, "val_dice": 0.9}
    assert parse_line(json.dumps(line)) == line


METRICS = {
    "mean": {"dice": 0.5},
    "labels": {"a": {"dice": None}},
    "cases": [{"case": "c", "labels": {}}],
    "notes": ["n"],
}


def test_metrics(tmp_path):
    write_json(tmp_path / "m.json", METRICS)
    assert read_metrics(tmp_path / "m.json") == METRICS


@pytest.mark.parametrize(
    "change",
    [
        *({"mean": []}, {"mean": {"dice": "x"}}, {"mean": {"dice": 1e300}}, {"labels": {"a": 1}}, {"labels": []}),
        *({"labels": {"\x1b[2J": {}}}, {"cases": {}}, {"cases": [1]}, {"cases": [{"case": 1}]}, {"notes": 1}),
        *({"cases": [{"case": "a", "labels": {"x": []}}]}, {"notes": [1]}),
    ],
)
def test_metrics_of_another_form(tmp_path, change):
    write_json(tmp_path / "m.json", {**METRICS, **change})
    with pytest.raises(UserError, match=r"m\.json"):
        read_metrics(tmp_path / "m.json")


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"labels": {"\x1b[2J": 1}},
            {"labels": {"x" * 300: 1}},
            {"labels": {"a": 1e308}},
            {"labels": {"a": "9" * 400}},
        ),
        *({"labels": {"a": [10**12]}}, {"labels": {f"{n}": n for n in range(70_000)}}, {"labels": [[]]}),
        *({"channel_names": {"0": "\x9b2J"}}, {"channel_names": {f"{n}": "a" for n in range(2000)}}),
        *({"channel_names": {"0": "x" * 10_000}}, {"file_ending": "x" * 100_000}, {"file_ending": "../x.nii"}),
    ],
)
def test_a_dataset_that_is_described_by_a_stranger(tmp_path, change):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"channel_names": {"0": "MRI"}, "labels": {"background": 0}, **change}))
    with pytest.raises(UserError, match=r"dataset\.json") as refused:
        read_dataset_json(path, complete=True)
    text = str(refused.value)
    assert len(text) < 20_000 and all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "content",
    [
        *([{"train": ["a"], "val": ["\x1b[2J"]}], [{"train": ["a"] * 200_000, "val": ["b"]}], [[]] * 20_000),
        *([{"train": [f"x{n}" for n in range(50_000)], "val": ["b"]}], [{"train": ["../a"], "val": ["b"]}], [10**20]),
    ],
)
def test_splits_from_a_stranger(tmp_path, content):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"splits\.json") as refused:
        read_splits(path, ["a", "b"])
    text = str(refused.value)
    assert len(text) < 50_000 and all(line.isprintable() for line in text.split("\n"))
