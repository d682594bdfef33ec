"""The recovery experiment: label maps on one grid, presets, and a tiny run from the command line's function."""

import json

import nibabel as nib
import numpy as np
import pytest

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.experiments.recovery.anatomies import load_anatomies, sample, slices
from l2s_auto.experiments.recovery.presets import PRESETS
from l2s_auto.experiments.recovery.run import recovery
from l2s_auto.experiments.recovery.tissues import tissues_of


@pytest.fixture
def label_maps(tmp_path):
    """Two heads of blocks, with FreeSurfer's numbers, one stored in floats and other axes."""
    folder = tmp_path / "label maps"
    folder.mkdir()
    for number in range(2):
        labels = np.zeros((60, 66, 62), dtype=np.int16)
        labels[6:54, 8:60, 6:58] = 515
        labels[12:48, 14:54, 12:50] = 24
        labels[16:30, 18:50, 16:46], labels[30:44, 18:50, 16:46] = 3, 42
        labels[20:30, 24:44, 20:40], labels[30:40, 24:44, 20:40] = 2, 41
        data = labels if number == 0 else labels.transpose(2, 0, 1).astype(np.float32)
        affine = np.diag([2.5, 2.5, 2.5, 1.0])
        nib.save(
            nib.Nifti1Image(data, affine if number == 0 else affine[:, [2, 0, 1, 3]]), folder / f"h{number}.nii.gz"
        )
    return folder


def write_label_map(path, labels):
    nib.save(nib.Nifti1Image(labels.astype(np.int16), np.diag([4.0, 4.0, 4.0, 1.0])), path)


def test_presets_are_the_papers():
    noise = {preset.sigma for name, preset in PRESETS.items() if name.startswith("sigma")}
    assert noise == {(0.0,), (0.05,), (0.1,), (0.15,), (0.025, 0.2)}
    exponents = {preset.exponents for name, preset in PRESETS.items() if name.startswith("exponents")}
    assert exponents == {(0.2,) * 3, (0.5,) * 3, (0.8,) * 3, (1.0, 0.0, 0.0)}


def test_both_sides_are_one_tissue():
    tissues = tissues_of(np.array([0, 2, 3, 10, 41, 42, 49]))
    left, right = tissues.of(np.array([2, 3, 10])), tissues.of(np.array([41, 42, 49]))
    assert np.array_equal(left, right)
    assert len(set(tissues.names)) == 4 and tissues.targets[0] == 0 and sorted(tissues.targets) == [0, 1, 2, 3]


def test_unknown_numbers_are_tissues_of_their_own():
    tissues = tissues_of(np.array([0, 2, 3, 7]))
    assert len(tissues.names) == 4 and len(set(tissues.brightness)) == 4
    assert all(0 <= value <= 1 for value in tissues.brightness)


def test_any_integers_are_labels_and_0_comes_first():
    values = np.array([-3, 0, 70000, 5])
    tissues = tissues_of(values)
    assert tissues.names[0] == "air" and tissues.of(np.array([0])) == 0
    assert len(set(tissues.of(values).tolist())) == 4


def test_more_than_256_tissues_stay_apart():
    values = np.arange(1000, 1400)
    assert len(set(tissues_of(values).of(values).tolist())) == 400


def test_heads_in_any_orientation_lie_on_one_grid(label_maps):
    anatomies = load_anatomies(label_maps, dimensions=3, spacing=2.5, seed=0)
    assert anatomies.maps.shape == (2, 48, 56, 56)
    assert np.array_equal(anatomies.maps[0], anatomies.maps[1])
    flat = load_anatomies(label_maps, dimensions=2, spacing=2.5, seed=0)
    assert flat.maps.shape[1:] == (1, 48, 56) and len(flat.maps) == 40


def test_hidden_files_are_no_label_maps(label_maps):
    """Such as macOS leaves beside each file on foreign disks."""
    (label_maps / "._h0.nii.gz").write_bytes(b"no NIfTI")
    assert len(load_anatomies(label_maps, dimensions=3, spacing=2.5, seed=0).maps) == 2


def test_sampling_keeps_a_head_that_has_the_spacing():
    labels = np.zeros((9, 8, 7), dtype=np.int16)
    labels[2:6, 1:7, 3:5] = np.arange(48).reshape(4, 6, 2) + 1
    assert np.array_equal(sample(labels, (2.0, 2.0, 2.0), 2.0), labels[2:6, 1:7, 3:5])
    assert sample(labels, (2.0, 2.0, 2.0), 4.0).shape == (2, 3, 1)


def test_slices_are_axial_and_around_the_middle():
    head = np.broadcast_to(np.arange(40), (5, 6, 40))
    found = [int(plane[0, 0, 0]) for plane in slices(head, 2.5)]
    assert all(plane.shape == (1, 5, 6) for plane in slices(head, 2.5))
    assert min(found) == 10 and max(found) == 30 and found == sorted(found)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_run_writes_table_json_and_figure(label_maps, tmp_path, capsys, monkeypatch, dimensions):
    monkeypatch.setattr("l2s_auto.experiments.recovery.problem.REAL", {2: 6, 3: 2})
    monkeypatch.setattr("l2s_auto.experiments.recovery.run.SPACING", {2: 6.0, 3: 10.0})
    output = tmp_path / "out"
    arguments = ["recovery", "--data", str(label_maps), "-o", str(output), "--iterations", "12", "--device", "cpu"]
    arguments += ["--presets", "sigma 0.025 to 0.2", "--estimators", "matching", "one-step"]
    assert cli.experiment([*arguments, "--dimensions", str(dimensions)]) == 0
    shown = capsys.readouterr().out
    assert "sigma_max" in shown and "0.2 -> " in shown
    result = json.loads((output / "recovery.json").read_text())
    assert [row["estimator"] for row in result["settings"]] == ["matching", "one-step"]
    for row in result["settings"]:
        assert set(row["theta"]) == set(row["preset"]) and row["theta"] != row["start"]
        assert row["path"][-1][0] == 12
    assert (output / "recovery.png").stat().st_size > 1000
    # What is there is not trained again, unless it is of other data.
    before = {path: path.stat().st_mtime_ns for path in (output / "settings").iterdir()}
    assert cli.experiment([*arguments, "--dimensions", str(dimensions)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (output / "settings").iterdir()} == before
    # A damaged one is, and so are those of other label maps, wherever these lie.
    damaged = sorted(before)[0]
    damaged.write_text("{}")
    label_maps.rename(tmp_path / "elsewhere")
    arguments[2] = str(tmp_path / "elsewhere")
    assert cli.experiment([*arguments, "--dimensions", str(dimensions)]) == 0
    assert "theta" in json.loads(damaged.read_text()) and set((output / "settings").iterdir()) == set(before)
    write_label_map(tmp_path / "elsewhere" / "new.nii.gz", 1 + np.indices((12, 14, 12)).sum(0) // 12 % 2)
    assert cli.experiment([*arguments, "--dimensions", str(dimensions)]) == 0
    assert len(list((output / "settings").iterdir())) == 2 * len(before)


def test_settings_of_one_scanner_share_a_training(label_maps, tmp_path, monkeypatch):
    monkeypatch.setattr("l2s_auto.experiments.recovery.problem.REAL", {2: 6, 3: 2})
    monkeypatch.setattr("l2s_auto.experiments.recovery.run.SPACING", {2: 6.0, 3: 10.0})
    names = ["sigma 0.05", "exponents 0.2 0.2 0.2"]
    recovery(tmp_path, data=label_maps, presets=names, iterations=4)
    assert len(list((tmp_path / "settings").iterdir())) == 1
    rows = json.loads((tmp_path / "recovery.json").read_text())["settings"]
    assert [row["name"] for row in rows] == names and rows[0]["theta"] == rows[1]["theta"]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_small_and_flat_label_maps_are_padded(tmp_path, monkeypatch, dimensions):
    monkeypatch.setattr("l2s_auto.experiments.recovery.problem.REAL", {2: 6, 3: 2})
    maps = tmp_path / "maps"
    maps.mkdir()
    write_label_map(maps / "small.nii.gz", np.ones((6, 6, 1)))
    assert recovery(tmp_path / "out", data=maps, presets=["sigma 0.1"], dimensions=dimensions, iterations=2).exists()


def test_label_maps_without_labels_are_an_error(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    write_label_map(maps / "empty.nii.gz", np.zeros((6, 6, 6)))
    with pytest.raises(UserError, match="no label"):
        recovery(tmp_path / "out", data=maps, iterations=2)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "out" / "recovery.png").mkdir(parents=True)
    for output in ("file", "file/below", "out"):
        with pytest.raises(UserError, match="-o"):
            recovery(tmp_path / output, iterations=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presets": ["sigma 7"]}, "--presets"),
        ({"estimators": ["guess"]}, "--estimators"),
        ({"data": "nowhere"}, "--data"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, options, message):
    if "data" in options:
        options = {**options, "data": tmp_path / "nowhere"}
    with pytest.raises(UserError, match=message):
        recovery(tmp_path / "out", iterations=2, **options)
