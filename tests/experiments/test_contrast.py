"""From one sequence to others: signal equations, simulated scans, and a small run."""

import json
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.experiments.contrast import contrast
from l2s_auto.experiments.contrast.data import PHANTOM, Heads, load_heads, scans_of, write_data
from l2s_auto.experiments.contrast.physics import AIR, FIELDS, SEQUENCES, Flash, Mprage, tissues
from l2s_auto.experiments.contrast.samseg import require_samseg, segment_folder
from l2s_auto.experiments.contrast.simulate import averaged, deformed, make_person, most, scan
from l2s_auto.experiments.recovery.tissues import _KNOWN
from l2s_auto.planning.choices import Choices

WHITE, GREY = tissues(1.5)["white matter"], tissues(1.5)["cortex"]


def test_flash_is_strongest_at_ernsts_angle():
    best = np.rad2deg(np.arccos(np.exp(-20 / WHITE.t1)))
    at = {flip: Flash(flip).signal(WHITE) for flip in (best - 1, best, best + 1)}
    assert max(at, key=at.get) == best


def test_after_90_degrees_and_a_long_time_all_water_gives_a_signal():
    assert Flash(90.0, repetition=1e6, echo=0.0).signal(WHITE) == pytest.approx(WHITE.water)


@pytest.mark.parametrize("sequence", SEQUENCES.values())
def test_signals_are_proportional_to_water_and_air_has_none(sequence):
    half = replace(WHITE, water=WHITE.water / 2)
    assert sequence.signal(half) == pytest.approx(sequence.signal(WHITE) / 2)
    assert sequence.signal(AIR) == 0


@pytest.mark.parametrize("sequence", SEQUENCES.values())
def test_signals_fall_with_the_echo_time_as_t2star_says(sequence):
    later = replace(sequence, echo=sequence.echo + 10)
    assert later.signal(GREY) == pytest.approx(sequence.signal(GREY) * np.exp(-10 / GREY.t2star))


def test_mprage_without_excitations_is_inversion_recovery():
    """Of a train that does not excite, the middle is at TI."""
    quiet = Mprage(flip=1e-6, inversion=1.0)
    expected = 1 - 2 * np.exp(-1000 / WHITE.t1) / (1 + np.exp(-2730 / WHITE.t1))
    found = quiet.signal(WHITE) / (WHITE.water * np.sin(np.deg2rad(1e-6)) * np.exp(-3.3 / WHITE.t2star))
    assert found == pytest.approx(expected, rel=1e-6)


def test_mprage_is_the_steady_state_of_many_cycles():
    """The cycle, simulated pulse by pulse."""
    sequence = Mprage(readouts=10, spacing=9.0)
    m, cosine = 1.0, np.cos(np.deg2rad(sequence.flip))

    def relaxed(m, time):
        return 1 - (1 - m) * np.exp(-time / GREY.t1)

    for _ in range(50):
        m = relaxed((1 - 2 * sequence.inversion) * m, sequence.inversion_time - 45)
        for number in range(10):
            if number == 5:
                middle = m
            m = relaxed(m * cosine, 9.0)
        m = relaxed(m, sequence.repetition - sequence.inversion_time - 45)
    expected = GREY.water * abs(middle) * np.sin(np.deg2rad(sequence.flip)) * np.exp(-sequence.echo / GREY.t2star)
    assert sequence.signal(GREY) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("field", FIELDS)
def test_contrasts_are_those_that_radiologists_know(field):
    known = tissues(field)
    white, grey, fluid = (
        {n: s.signal(known[t]) for n, s in SEQUENCES.items()} for t in ("white matter", "cortex", "fluid")
    )
    for name in ("MPRAGE", "FLASH 20°", "FLASH 30°"):
        assert white[name] > 1.2 * grey[name] > 1.2 * fluid[name], f"{name} is T1-weighted"
    for name in ("FLASH 3°", "FLASH 5°"):
        assert grey[name] > white[name], f"{name} is weighted by water"


def test_every_tissue_of_the_label_maps_is_known():
    assert set(_KNOWN) == set(tissues(1.5)) == set(tissues(3.0))
    assert set(PHANTOM.values()) <= set(tissues(1.5))


def test_mixtures_are_between():
    mixed = WHITE.mixed(GREY, 0.25)
    assert WHITE.t1 < mixed.t1 < GREY.t1 and mixed.water == pytest.approx(0.75 * 0.71 + 0.25 * 0.83)
    assert WHITE.mixed(GREY, 0.0) == WHITE


def ball(size=20):
    grid = np.stack(np.meshgrid(*[np.arange(size) - size / 2 + 0.5] * 3, indexing="ij"))
    away = np.square(grid).sum(0)
    return (away < 64).astype(np.int16) + (away < 16)


TISSUES = {0: AIR, 1: GREY, 2: WHITE}
ONE = (1.0, 1.0, 1.0)


def test_the_same_name_is_the_same_person_and_scan():
    one, again, other = (make_person(ball(), ONE, TISSUES, name=name) for name in ("a", "a", "b"))
    assert np.array_equal(one.labels, again.labels) and one.tissues == again.tissues
    assert not np.array_equal(one.labels, other.labels) and one.tissues != other.tissues
    images = [scan(one, Flash(20.0), factor=(1, 1, 1), name=name) for name in ("s", "s", "t")]
    assert np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])


def test_a_deformed_head_has_the_same_labels_and_about_the_same_size():
    found = deformed(ball(32), ONE, seed=3)
    assert set(np.unique(found)) == {0, 1, 2} and not np.array_equal(found, ball(32))
    assert (found > 0).sum() == pytest.approx((ball(32) > 0).sum(), rel=0.3)
    assert np.array_equal(make_person(ball(), ONE, TISSUES, name="a", same=True).labels, ball())


def test_a_voxel_holds_the_mean_of_its_parts_and_the_label_of_most():
    parts = np.arange(8.0).reshape(2, 2, 2)
    assert averaged(parts, (2, 2, 2)).item() == 3.5
    labels = np.array([0, 0, 0, 5, 5, 5, 5, 7], np.int16).reshape(2, 2, 2)
    assert most(labels, (2, 2, 2)).item() == 5
    assert averaged(np.zeros((5, 4, 3)), (2, 2, 2)).shape == (2, 2, 1)


def test_a_scan_is_its_tissues_signals_times_a_field_and_noise():
    person = make_person(ball(40), ONE, TISSUES, name="a", same=True)
    image = scan(person, Flash(20.0), factor=(2, 2, 2), name="s")
    inner = image[most(ball(40), (2, 2, 2)) == 2]
    assert inner.mean() == pytest.approx(Flash(20.0).signal(WHITE), rel=0.45)
    air = image[:3, :3, :3]
    assert 0 < air.mean() < 0.1 * inner.mean(), "noise is Rician: not negative"


@pytest.fixture(scope="module")
def heads():
    """Small heads: a ball of white matter in one of cortex."""
    return Heads([(ball(24 + n), (2.0, 2.0, 2.0)) for n in range(3)], TISSUES, {"cortex": 1, "white matter": 2})


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_dataset_is_of_persons_and_the_tests_of_heads_that_none_has(heads, tmp_path, dimensions):
    place = write_data(heads, tmp_path / "data", persons=3, dimensions=dimensions)
    images = sorted(path.name for path in (place / "images").iterdir())
    assert images == sorted(path.name for path in (place / "labels").iterdir()) and all("person" in n for n in images)
    for sequence in SEQUENCES:
        assert all("head" in path.name for path in (place / "tests" / sequence).iterdir())
    assert 9 <= len(images) <= 18 if dimensions == 2 else len(images) == 3
    label = nib.load(place / "labels" / images[0]).get_fdata()
    assert set(np.unique(label)) <= {0, 1, 2} and (label.shape[2] == 1) == (dimensions == 2)


def test_processes_side_by_side_make_the_same_scans(heads, tmp_path):
    one, two = (write_data(heads, tmp_path / str(n), persons=2, dimensions=3, workers=n) for n in (0, 2))
    files = sorted(path.relative_to(one) for path in one.rglob("*.nii.gz"))
    assert len(files) == 2 * 2 + 1 + len(SEQUENCES)
    for path in files:
        assert np.array_equal(nib.load(one / path).get_fdata(), nib.load(two / path).get_fdata()), path


def test_labels_are_numbered_as_the_targets(heads):
    (found,) = scans_of(heads, heads.heads[0], "x", ["MPRAGE"], 3, same=True)
    assert np.array_equal(found[2], ball(24)), "a ball of 16 voxels, and 8 mm of air about it"


def write_heads(folder, labels, count=3):
    folder.mkdir()
    for number in range(count):
        nib.save(nib.Nifti1Image(labels.astype(np.int16), np.eye(4)), folder / f"{number}.nii.gz")
    return folder


def test_freesurfers_numbers_are_known_and_others_are_refused(tmp_path):
    brain = np.zeros((12, 12, 12), np.int16)
    brain[2:10, 2:10, 2:10], brain[3:6, 3:6, 3:6], brain[6:9, 3:6, 3:6], brain[7:9, 7:9, 7:9] = 3, 2, 41, 42
    brain[0, 0, 0], brain[11, 11, 11] = 512, 516
    found = load_heads(write_heads(tmp_path / "brain", brain), field=1.5)
    assert set(found.targets) == {"cortex", "white matter"}
    with pytest.raises(UserError, match="tissue is not known"):
        load_heads(write_heads(tmp_path / "other", np.where(brain == 3, 99, brain)), field=1.5)
    with pytest.raises(UserError, match="too few label maps"):
        load_heads(write_heads(tmp_path / "few", brain, count=2), field=1.5)


def test_a_small_run_from_the_command_line(tmp_path, monkeypatch, heads, capsys):
    monkeypatch.setattr("l2s_auto.experiments.contrast.run.load_heads", lambda folder, field: heads)
    monkeypatch.setattr("l2s_auto.experiments.contrast.run.CASES", (3, 2))
    options = ["--methods", "learn2synth", "supervised", "--cases", "3,2", "--iterations", "2", "--device", "cpu"]
    assert cli.experiment(["contrast", "-o", str(tmp_path / "out"), *options]) == 0
    assert "FLASH 30°" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "contrast.json").read_text())
    assert len(result["summary"]) == 4 and set(result["rows"][0]["dice"]) == set(SEQUENCES)
    assert (tmp_path / "out" / "contrast.png").stat().st_size


def pretend_samseg(folder, monkeypatch, *, script):
    program = folder / "run_samseg"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


#: Says cortex (3) where the scan is bright, on a grid that is turned and moved.
PRETENDED = """
import sys
import nibabel as nib
import numpy as np
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nib.load(given["--input"])
data = np.where(image.get_fdata() > 0.5, 3, 99).astype(np.int32)[::-1, :, 1:]
move = np.array([[-1, 0, 0, data.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
nib.save(nib.MGHImage(data, image.affine @ move), given["--output"] + "/seg.mgz")
"""


def test_samseg_is_read_on_the_scans_own_grid(tmp_path, monkeypatch):
    pretend_samseg(tmp_path, monkeypatch, script=PRETENDED)
    data = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    (tmp_path / "scans").mkdir()
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "scans" / "a.nii.gz")
    segment_folder(require_samseg(3), tmp_path / "scans", tmp_path / "out", {"white matter": 1, "cortex": 2})
    found = nib.load(tmp_path / "out" / "a.nii.gz")
    expected = np.where(data > 0.5, 2, 0)
    expected[:, :, 0] = 0  # outside of what was segmented
    assert np.array_equal(found.get_fdata(), expected) and np.allclose(found.affine, affine)
    before = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    segment_folder("none", tmp_path / "scans", tmp_path / "out", {"cortex": 2})
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == before


def test_samseg_that_fails_on_a_scan_is_quoted_and_does_the_others(tmp_path, monkeypatch):
    fails = "import sys\nif 'a.nii.gz' in str(sys.argv): raise SystemExit('no licence')\n"
    pretend_samseg(tmp_path, monkeypatch, script=fails + PRETENDED)
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4)), tmp_path / "scans" / f"{name}.nii.gz")
    [failure] = segment_folder(require_samseg(3), tmp_path / "scans", tmp_path / "out", {"cortex": 2})
    assert failure.where.endswith("a.nii.gz") and failure.found == "no licence"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.nii.gz"]


def test_samseg_that_ends_without_a_word_is_told(tmp_path, monkeypatch):
    pretend_samseg(tmp_path, monkeypatch, script="")
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4)), tmp_path / "a.nii.gz")
    [failure] = segment_folder(require_samseg(3), tmp_path, tmp_path / "out", {"cortex": 2})
    assert failure.found == "exit code 0 and no seg.mgz"


def test_samseg_that_is_not_there_or_not_for_slices(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="SAMSEG is not there"):
        contrast(tmp_path / "out", methods=["samseg"], dimensions=3)
    with pytest.raises(UserError, match="whole heads"):
        contrast(tmp_path / "out", methods=["samseg"], dimensions=2)
    with pytest.raises(UserError, match="SAMSEG alone has no plan"):
        contrast(tmp_path / "out", methods=["samseg"], dimensions=3, choices=Choices(batch=2))


def test_samseg_beside_what_is_trained(tmp_path, monkeypatch, heads):
    pretend_samseg(tmp_path, monkeypatch, script=PRETENDED)
    monkeypatch.setattr("l2s_auto.experiments.contrast.run.load_heads", lambda folder, field: heads)
    monkeypatch.setattr("l2s_auto.experiments.contrast.run.CASES", (3, 2))
    place = tmp_path / "out"
    with pytest.raises(UserError, match="SAMSEG is the first job's"):
        contrast(place, methods=["samseg"], dimensions=3, cases=[3], part=(2, 2))
    options = {"methods": ["synthseg", "samseg"], "dimensions": 3, "cases": [3, 2], "iterations": 1}
    contrast(place, **options, part=(2, 2))
    result = json.loads((place / "contrast.json").read_text())
    assert {s["variant"] for s in result["summary"]} == {"synthseg"} and result["missing"] == 2
    pretend_samseg(tmp_path, monkeypatch, script="raise SystemExit('no licence')")
    with pytest.raises(UserError, match=r"(?s)Not all could be done.*no licence"):
        contrast(place, **options, part=(1, 2))
    assert {s["variant"] for s in json.loads((place / "contrast.json").read_text())["summary"]} == {"synthseg"}
    with pytest.raises(UserError, match="no licence"):
        contrast(tmp_path / "alone", methods=["samseg"], dimensions=3, cases=[3])
    pretend_samseg(tmp_path, monkeypatch, script=PRETENDED)
    contrast(place, **options, part=(1, 2))
    summary = json.loads((place / "contrast.json").read_text())["summary"]
    assert {(s["variant"], s["cases"]) for s in summary} == {(m, n) for m in ("synthseg", "samseg") for n in (3, 2)}


def test_fields_that_are_not_known(tmp_path):
    with pytest.raises(UserError, match="two field strengths"):
        contrast(tmp_path, field=7.0)
