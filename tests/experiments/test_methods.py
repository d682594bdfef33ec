"""Methods side by side: what each sees, what is tested, and what is said."""

import json
import shutil

import numpy as np
import pytest

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Dataset, Volume
from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE, CHANGES, STRUCTURAL
from l2s_auto.experiments.methods import methods
from l2s_auto.experiments.methods.bench import Bench
from l2s_auto.experiments.methods.intervals import paired_interval
from l2s_auto.experiments.methods.report import markdown, sentence, table
from l2s_auto.experiments.methods.run import content_of, divided
from l2s_auto.experiments.methods.scoring import scored
from l2s_auto.experiments.methods.statistics import adjust, compared, of_subjects, summaries
from l2s_auto.experiments.methods.subset import write_scans, write_subset
from l2s_auto.experiments.methods.trainings import same_data, some_of
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.volumes import write_label_map, write_volume


def test_two_methods_from_the_command_line(dataset, tmp_path, capsys):
    options = [
        "--data",
        str(dataset),
        "--methods",
        "learn2synth",
        "supervised",
        "--cases",
        "2,all",
        "--iterations",
        "2",
    ]
    command = ["methods", "-o", str(tmp_path / "out"), *options, "--device", "cpu"]
    assert cli.experiment(command) == 0
    printed = capsys.readouterr().out
    assert "learn2synth" in printed and "supervised" in printed and (tmp_path / "out" / "methods.png").stat().st_size
    result = json.loads((tmp_path / "out" / "methods.json").read_text())
    assert len(result["rows"]) == 4 and len(result["summary"]) == 4 and len(result["tests"]) == 2
    lines = (tmp_path / "out" / "methods.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + 4 and len({line.count("|") for line in lines}) == 1 and "**" in lines[2] + lines[3]
    row = result["rows"][0]
    assert set(row["dice"]) == {*APPEARANCES, *STRUCTURAL} and set(row["scans"]) == set(result["tests"])
    assert row["iterations"] == 2
    held_out = set(result["tests"])
    for own in (tmp_path / "out").glob("*/*/dataset/images"):
        assert not held_out & {path.name.removesuffix(".nii.gz") for path in own.iterdir()}, "test scans are not seen"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("weights.safetensors")}
    assert cli.experiment(command) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}, "nothing is trained twice"


def test_a_smaller_number_of_cases_is_part_of_a_larger_one(dataset):
    learn, held_out = divided(find_dataset(dataset), tests=1)
    assert len(held_out) == 1 and not {c.id for c in learn} & {c.id for c in held_out}
    few, more = ({case.id for case in some_of(learn, n, seed=3)} for n in (2, 5))
    assert few < more and len(few) == 2 and len(more) == 5
    assert {c.id for c in some_of(learn, 2, seed=4)} != few


def test_a_subset_is_a_dataset_with_the_same_names(dataset, tmp_path):
    whole = find_dataset(dataset)
    part = find_dataset(write_subset(whole, whole.cases[:2], tmp_path / "part"))
    assert [case.id for case in part.cases] == [case.id for case in whole.cases[:2]] and part.labels == whole.labels


def test_channels_are_changed_each_and_written_apart(tmp_path):
    folder = tmp_path / "two channels"
    data = np.random.default_rng(0).random((2, 6, 7, 8)).astype(np.float32)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number, channel in enumerate(data):
        write_volume(folder / "images" / f"a_{number:04d}.nii.gz", Volume(channel[None], np.eye(4)))
    write_label_map(folder / "labels" / "a.nii.gz", (data[0] > 0.5).astype(np.int16), np.eye(4))
    written = write_scans(find_dataset(folder).cases, tmp_path / "scans", appearance="inverted")
    assert sorted(path.name for path in written.iterdir()) == ["a_0000.nii.gz", "a_0001.nii.gz"]


#: Every test scan is of another subject.
SUBJECTS = {f"s{i}": f"s{i}" for i in range(10)}


def made_row(variant, own, changed, *, seed=0, cases=8):
    """Ten scans whose Dice differ a little, the same in every appearance that is changed."""
    off = np.linspace(-0.05, 0.05, 10)
    scans = {
        f"s{i}": {n: float((own if n == AS_THEY_ARE else changed) + o) for n in APPEARANCES} for i, o in enumerate(off)
    }
    dice = {name: float(np.mean([scan[name] for scan in scans.values()])) for name in APPEARANCES}
    return {
        "variant": variant, "cases": cases, "seed": seed, "dice": dice, "scans": scans, "iterations": 5, "seconds": 1.0,
    }  # fmt: skip


def test_summary_is_mean_and_spread_over_seeds():
    rows = [made_row("a", 0.8, 0.7), made_row("a", 0.9, 0.7, seed=1), made_row("b", 0.5, 0.5)]
    first, second = summaries(rows, APPEARANCES, SUBJECTS, first="a")
    assert first[AS_THEY_ARE]["mean"] == pytest.approx(0.85)
    assert first[AS_THEY_ARE]["sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert first["changed"]["sd"] == pytest.approx(0, abs=1e-9) and second["changed"]["sd"] is None
    assert second["against"]["own"]["difference"] == pytest.approx(-0.3), "of the seed that both have"
    assert second["against"]["own"]["p"] == pytest.approx(2 / 2**10)
    assert second["against"]["own"]["p_holm"] == pytest.approx(4 / 2**10)
    assert "a" in table([first, second], APPEARANCES) and "0.850 ± 0.071" in table([first, second], APPEARANCES)


def test_what_is_no_further_from_the_best_than_subjects_differ_is_tied_with_it():
    one, other = made_row("a", 0.8, 0.7), made_row("b", 0.79, 0.6)
    for number, scan in enumerate(other["scans"].values()):
        scan[AS_THEY_ARE] += 0.03 * (-1) ** number
    best, second = summaries([one, other], APPEARANCES, SUBJECTS, first="a")
    low, high = second[AS_THEY_ARE]["from_best"]
    sd = 0.03 * np.sqrt(10 / 9)
    assert (low, high) == pytest.approx((-0.01 - 2.262157 * sd / np.sqrt(10), -0.01 + 2.262157 * sd / np.sqrt(10)))
    assert second[AS_THEY_ARE]["tied"] and not second["inverted"]["tied"] and not second["changed"]["tied"]
    assert all(best[name]["tied"] and "from_best" not in best[name] for name in (*APPEARANCES, "changed"))
    own, tied = markdown([best, second], APPEARANCES).splitlines()[2:]
    assert "| **0.800** |" in own and "| *0.790* |" in tied and "| 0.600 |" in tied


def test_of_one_subject_no_difference_can_be_told():
    rows = [made_row(name, value, value) for name, value in (("a", 0.8), ("b", 0.7))]
    _, second = summaries(rows, APPEARANCES, dict.fromkeys(SUBJECTS, "the only one"), first="a")
    assert second["changed"]["from_best"] is None and second["changed"]["tied"]


def test_the_sentence_tells_whom_it_rests_on_and_what_is_level():
    rows = [made_row(name, value, value) for name, value in (("a", 0.8), ("b", 0.8), ("c", 0.2))]
    found = summaries(rows, APPEARANCES, SUBJECTS, first="a")
    few = sentence(found, APPEARANCES, subjects=2)
    assert "of only 2 subjects" in few and few.endswith("no difference from it can be told for a.")
    assert "only" not in sentence(found, APPEARANCES, subjects=10)


def test_where_nothing_is_found_nothing_is_recommended():
    found = summaries([made_row(name, 0.0, 0.0) for name in "ab"], APPEARANCES, SUBJECTS, first="a")
    for summary in found:
        for name in (*APPEARANCES, "changed"):
            summary[name]["mean"] = 0.0
    assert "none is recommended" in sentence(found, APPEARANCES, subjects=10)
    assert "*" not in markdown(found, APPEARANCES).replace("*0.000*", "")


def test_methods_are_tied_with_the_best_of_as_many_cases():
    rows = [made_row("a", 0.9, 0.9, cases=8), made_row("a", 0.5, 0.5, cases=2), made_row("b", 0.8, 0.8, cases=8)]
    found = summaries(rows, APPEARANCES, SUBJECTS, first="a")
    tied = {(summary["variant"], summary["cases"]): summary["changed"]["tied"] for summary in found}
    assert tied == {("a", 8): True, ("a", 2): True, ("b", 8): False}


def test_equal_methods_have_no_test():
    rows = [made_row("a", 0.8, 0.7)], [made_row("b", 0.8, 0.7)]
    found = {"difference": 0.0, "interval": [0.0, 0.0], "seeds": 1, "p": None}
    assert compared(*rows, list(CHANGES), SUBJECTS) == found


def test_scans_of_a_subject_are_one_pair():
    rows = [made_row("a", 0.8, 0.7)], [made_row("b", 0.5, 0.7)]
    alone = compared(*rows, [AS_THEY_ARE], SUBJECTS)
    in_pairs = compared(*rows, [AS_THEY_ARE], {name: str(i // 2) for i, name in enumerate(SUBJECTS)})
    assert alone["p"] == pytest.approx(2 / 2**10) and in_pairs["p"] == pytest.approx(2 / 2**5)
    assert alone["difference"] == pytest.approx(in_pairs["difference"])


def test_a_scan_without_anything_to_score_is_left_out():
    row = made_row("a", 0.8, 0.7)
    row["scans"]["s0"] = {}
    assert "s0" not in of_subjects([row], [AS_THEY_ARE], SUBJECTS)
    assert compared([row], [made_row("b", 0.5, 0.7)], [AS_THEY_ARE], SUBJECTS)["difference"] == pytest.approx(0.3)


def test_the_others_are_tested_against_the_first_that_is_named_not_found():
    rows = [made_row("b", 0.5, 0.5), made_row("a", 0.8, 0.7)]
    found = {s["variant"]: s for s in summaries(rows, APPEARANCES, SUBJECTS, first="a")}
    assert "against" not in found["a"] and found["b"]["against"]["variant"] == "a"


def test_corrected_p_never_falls_with_p():
    tests = [{"p": p} for p in (0.04, 0.01, 0.03)]
    adjust(
        [{"against": {"own": tests[0], "changed": tests[1]}}, {"against": {"own": tests[2], "changed": {"p": None}}}]
    )
    assert [test["p_holm"] for test in tests] == pytest.approx([0.06, 0.03, 0.06])


def test_the_sentence_is_of_the_largest_number_of_cases():
    rows = [made_row("a", 0.9, 0.2), made_row("b", 0.85, 0.8), made_row("a", 0.9, 0.9, cases=2)]
    assert sentence(summaries(rows, APPEARANCES, SUBJECTS, first="a"), APPEARANCES, subjects=10).startswith(
        "For these data b is recommended"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["learn2sinth"]}, "no such method"),
        ({"methods": ["synthseg:nonparametric"]}, "augmentation of its own"),
        ({"methods": ["learn2synth:nothing"]}, "augmenter"),
        ({"cases": [99]}, "too few cases"),
        ({"iterations": 3, "time_budget": 3.0}, "equal time or with equal iterations"),
    ],
)
def test_what_cannot_be_compared_is_said_first(dataset, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        methods(tmp_path, data=dataset, **options)


def test_a_folder_is_about_one_dataset(tmp_path):
    same_data({"dataset": "one"}, tmp_path / "dataset.json")
    same_data({"dataset": "one"}, tmp_path / "dataset.json")
    with pytest.raises(UserError, match="other data"):
        same_data({"dataset": "another"}, tmp_path / "dataset.json")


def test_a_dataset_that_was_changed_is_another(dataset, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(dataset, own)
    before = content_of(find_dataset(own))
    assert before == content_of(find_dataset(dataset))
    shutil.copyfile(own / "labels" / "c1.nii.gz", own / "labels" / "c0.nii.gz")
    changed = content_of(find_dataset(own))
    assert changed != before
    (own / "labels.json").write_text(json.dumps({"left": 1, "other": 2}))
    assert content_of(find_dataset(own)) not in (before, changed), "what the labels are called is part of it"


def test_test_scans_in_which_nothing_is_to_be_found(tmp_path):
    for kind in ("references", "own", "found"):
        write_label_map(tmp_path / kind / "a.nii.gz", np.zeros((4, 4, 4), np.int16), np.eye(4))
    empty = Dataset("d", tmp_path, (), ("MRI",), {0: "background", 1: "a"})
    bench = Bench(empty, lambda n, s: (), lambda: tmp_path, ("own",), {"a": "a"})
    with pytest.raises(UserError, match="nothing to find"):
        scored(bench, lambda name: tmp_path / "found")


def test_a_folder_that_cannot_be_made(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="folder cannot be made"):
        methods(tmp_path / "file", data=dataset)
    (tmp_path / "out" / "methods.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"methods.png is a folder"):
        methods(tmp_path / "out", data=dataset)


def test_label_maps_alone_cannot_be_tested_on(dataset, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "labels").symlink_to(dataset / "labels")
    with pytest.raises(UserError, match="No held-out scans"):
        methods(tmp_path / "out", data=tmp_path / "maps")


def test_options_of_other_experiments_are_refused(capsys):
    assert cli.experiment(["methods", "--presets", "sigma 0.1"]) == 2
    assert "--presets" in capsys.readouterr().err
    assert cli.experiment(["recovery", "--methods", "synthseg", "--cases", "2"]) == 2
    assert "--methods, --cases" in capsys.readouterr().err


def crossed(rng, seeds, subjects, *, seed=0.0, subject=0.0, rest=1.0):
    """(seeds, subjects) differences with true mean 0, and these standard deviations."""
    return (
        seed * rng.standard_normal((seeds, 1))
        + subject * rng.standard_normal(subjects)
        + rest * rng.standard_normal((seeds, subjects))
    )


@pytest.mark.parametrize("spreads", [{}, {"seed": 0.5}, {"subject": 1.0}, {"seed": 0.3, "subject": 0.5}])
def test_an_interval_over_subjects_and_seeds_holds_the_truth_as_often_as_it_says(spreads):
    rng = np.random.default_rng(0)
    found = [paired_interval(crossed(rng, 3, 20, **spreads)) for _ in range(1000)]
    assert 0.92 <= np.mean([low <= 0 <= high for low, high in found]) <= 1


def test_a_difference_that_is_another_with_each_seed_is_not_beyond_the_spread():
    """A pooled interval over all values would leave 0 out."""
    values = np.array([[0.03], [0.0], [0.015]]) + 1e-4 * np.random.default_rng(0).standard_normal((3, 40))
    low, high = paired_interval(values)
    assert low < 0 < high and (low + high) / 2 == pytest.approx(values.mean())
    pooled = 1.98 * values.std(ddof=1) / values.size**0.5
    assert pooled < values.mean()


def test_the_interval_keeps_order_and_unit():
    values = crossed(np.random.default_rng(1), 3, 12, seed=0.4, subject=0.4)
    low, high = paired_interval(values)
    assert paired_interval(-values) == pytest.approx([-high, -low])
    assert paired_interval(2 * values + 1) == pytest.approx([2 * low + 1, 2 * high + 1])
    assert paired_interval(values[::-1, ::-1]) == pytest.approx([low, high])


def test_intervals_of_one_seed_of_one_subject_and_of_no_difference():
    one = np.array([[0.1, 0.2, 0.3]])
    half = 4.302653 * 0.1 / 3**0.5
    assert paired_interval(one) == pytest.approx([0.2 - half, 0.2 + half])
    assert paired_interval(one.T[:, :1]) is None and paired_interval(np.zeros((0, 3))) is None
    assert paired_interval(np.full((3, 4), 0.25)) == [0.25, 0.25]


def test_differences_are_shown_with_their_interval():
    rows = [made_row(v, d + 0.01 * s, d, seed=s) for v, d in (("a", 0.8), ("b", 0.7)) for s in (0, 1)]
    found = summaries(rows, APPEARANCES, SUBJECTS, first="a")
    assert found[1]["against"]["own"]["seeds"] == 2
    for text in (markdown(found, APPEARANCES), table(found, APPEARANCES)):
        assert "own - first [95 %]" in text and "-0.100 [-0.100, -0.100]" in text


def with_structural(row, value):
    """The row with scores of structural changes too."""
    for scores in (row["dice"], *row["scans"].values()):
        scores |= dict.fromkeys(STRUCTURAL, value)
    return row


def test_structural_changes_are_apart_and_change_nothing_else():
    rows = [made_row("a", 0.8, 0.7), made_row("b", 0.7, 0.75)]
    before = summaries(rows, APPEARANCES, SUBJECTS, first="a")
    more = [with_structural(made_row("a", 0.8, 0.7), 0.5), with_structural(made_row("b", 0.7, 0.75), 0.6)]
    after = summaries(more, APPEARANCES, SUBJECTS, first="a", structural=tuple(STRUCTURAL))
    assert sentence(after, APPEARANCES, subjects=10) == sentence(before, APPEARANCES, subjects=10)
    for old, new in zip(before, after, strict=True):
        assert all(new[name] == old[name] for name in (*APPEARANCES, "changed"))
    assert [s["structural"]["mean"] for s in after] == pytest.approx([0.5, 0.6])
    assert after[1]["structural"]["tied"] and not after[0]["structural"]["tied"]
    apart = after[1]["against"]["structural"]
    assert apart["difference"] == pytest.approx(0.1) and apart["interval"] == pytest.approx([0.1, 0.1])
    assert {key: after[1]["against"][key] for key in ("own", "changed")} == {
        key: before[1]["against"][key] for key in ("own", "changed")
    }, "nor is any p corrected for them"
    shown = table(after, APPEARANCES, tuple(STRUCTURAL))
    plain, _, below = shown.partition("\n\nStructural changes:\n")
    assert plain == table(before, APPEARANCES) and all(name in below for name in (*STRUCTURAL, "structural", "+0.100"))
    assert max(map(len, shown.splitlines())) <= 80


def test_rows_of_former_versions_have_no_structural_scores():
    rows = [made_row("a", 0.8, 0.7), with_structural(made_row("b", 0.7, 0.75), 0.6)]
    found = summaries(rows, APPEARANCES, SUBJECTS, first="a", structural=tuple(STRUCTURAL))
    assert found[0]["structural"] == {"mean": None, "sd": None} and "structural" not in found[1]["against"]
    assert found[1]["structural"]["mean"] == pytest.approx(0.6) and found[1]["structural"]["tied"]
    lines = markdown(found, APPEARANCES, tuple(STRUCTURAL)).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and lines[2].count("| - |") == 3 and "**0.600**" in lines[3]
    assert "-" in table(found, APPEARANCES, tuple(STRUCTURAL)).splitlines()[-1]


def test_the_ignore_label_is_no_structure_of_a_structural_change(dataset, tmp_path, monkeypatch):
    seen = []

    def noted(data, name, *, spacing, labels):
        seen.append((name, spacing, None if labels is None else set(np.unique(labels))))
        return data

    monkeypatch.setattr("l2s_auto.experiments.methods.subset.changed", noted)
    cases = find_dataset(dataset).cases[:1]
    for name in ("inverted", "lesions"):
        write_scans(cases, tmp_path / name, appearance=name, ignore=2)
    assert seen == [("inverted", (1, 1, 1), None), ("lesions", (1, 1, 1), {0, 1})]
