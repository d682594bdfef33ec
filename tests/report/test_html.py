"""The report holds the numbers, says what is missing, and loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import (
    CaseFingerprint,
    ClassPrior,
    EnrichedLabel,
    Fingerprint,
    GenerationPlan,
    LabelPlan,
    Normalisation,
    Plan,
    Statistics,
    Topology,
)
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.json_files import write_json
from l2s_auto.report.html import write_report

STRANGE_LINES = (
    "[]",
    "7",
    "null",
    "[" * 100_000,
    '{"iteration": "x"}',
    '{"iteration": 1, "theta": [1]}',
    '{"iteration":',
)
EVIL = "<script>alert(1)</script>"
NUMBERS = Statistics(mean=1, std=1, minimum=0, percentile_00_5=0, median=1, percentile_99_5=2, maximum=2, count=10)


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "run with spaces"
    labels = {0: "background", 1: "Anterior", 7: EVIL}
    cases = tuple(
        CaseFingerprint(
            id=f"c{n}",
            subject="",
            shape=(30 + n, 40, 20),
            spacing=(1, 1, 2.5),
            label_volume={1: 1234.0},
            label_mean={1: (0.5,)},
            label_std={1: (0.1,)},
        )
        for n in range(3)
    )
    write_json(
        folder / "fingerprint.json",
        Fingerprint(dataset="Tiny & co", channels=("T1",), labels=labels, cases=cases, intensity=(NUMBERS,)),
    )
    write_json(
        folder / "plan.json",
        Plan(
            dataset="Tiny & co",
            channels=("T1",),
            labels=tuple(LabelPlan(value=v, name=n) for v, n in labels.items()),
            spacing=(1, 1, 2.5),
            patch=(32, 40, 16),
            batch=2,
            topology=Topology(
                features=(8, 16),
                kernels=((3, 3, 3),) * 2,
                strides=((1, 1, 1), (2, 2, 2)),
                convolutions_encoder=(2, 2),
                convolutions_decoder=(2,),
            ),
            normalisation=(Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
            generation=GenerationPlan(
                enriched=(EnrichedLabel(name="air", target=0, generation_class=0),),
                priors=(ClassPrior(mean=(0,), mean_spread=(0,), std=(0,), std_spread=(0,)),),
            ),
            pairs=((1, 7),),
            iterations=100,
        ),
    )
    write_json(folder / "recipe.json", Recipe())
    fold = folder / "fold_0"
    fold.mkdir()
    (fold / "weights.safetensors").write_bytes(b"")
    lines = [
        {"iteration": i, "seconds": 6.0 * i, "loss_synth": 1.0, "loss_real": 0.9, "theta": {"sigma": 0.05 + i / 1000},
         "val_dice": 0.5}
        for i in range(10, 101, 10)
    ]  # fmt: skip
    lines[-1]["val_dice_by_theta"] = {"learned": 0.4711, "start": 0.5}  # as earlier versions wrote
    (fold / "history.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"iteration": 1', encoding="utf-8")
    write_json(
        fold / "validation" / "metrics.json",
        {
            "mean": {"dice": 0.8712, "hd95_mm": 1.413, "nsd_1mm": 0.951, "volume_error": 0.042},
            "labels": {
                "Anterior": {"dice": 0.8812, "hd95_mm": 1.5, "nsd_1mm": 0.95, "volume_error": 0.04},
                EVIL: {"dice": None, "hd95_mm": None, "nsd_1mm": None, "volume_error": None},
            },
            "cases": [
                {"case": "good", "labels": {"Anterior": {"dice": 0.9}}},
                {"case": "bad", "labels": {"Anterior": {"dice": 0.3}, EVIL: {"dice": 0.1}}},
            ],
            "notes": ["a metric is undefined because the label is absent"],
        },
    )
    return folder


class Page(HTMLParser):
    """Collects tags and addresses, and checks that what is opened is closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_holds_the_numbers(run):
    text = write_report(run).read_text(encoding="utf-8")
    for number in ("0.871", "1.413", "0.951", "0.042", "0.881", "1,234", "0.060", "0.150", "10.0 minutes"):
        assert number in text, number
    assert "Tiny &amp; co" in text and "undefined" in text and "label is absent" in text
    assert text.index("<td>bad</td>") < text.index("<td>good</td>"), "worst cases first"
    assert "l2s_predict" in text and f"'{run}'" in text.replace("&#x27;", "'"), "commands quote paths with spaces"
    assert "damaged lines" in text


def test_a_history_of_an_earlier_version_gives_a_report(run):
    """Its last line has Dice of a control training, of which the report no longer tells."""
    text = write_report(run).read_text(encoding="utf-8")
    assert "Training, fold_0" in text and "100 iterations in 10.0 minutes." in text and "0.471" not in text


def test_of_small_voxels_the_report_tells_the_surface_dice_within_one(run):
    assert "NSD 1 mm" in write_report(run).read_text(encoding="utf-8")
    path = run / "fold_0" / "validation" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    metrics["mean"]["nsd"], metrics["tolerance_mm"] = 0.777, 0.02
    path.write_text(json.dumps(metrics), encoding="utf-8")
    text = write_report(run).read_text(encoding="utf-8")
    assert "NSD 0.02 mm" in text and "0.777" in text and "NSD 1 mm" not in text and "0.951" not in text


def test_small_volumes_are_no_zeros(run):
    path = run / "fingerprint.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    for case in found["cases"]:
        case["label_volume"] = dict.fromkeys(case["label_volume"], 0.0081234)
    path.write_text(json.dumps(found), encoding="utf-8")
    assert "<td>0.008123</td>" in write_report(run).read_text(encoding="utf-8")


def test_early_patches_have_a_row_where_there_are_any(run):
    assert "<td>early</td>" not in write_report(run).read_text(encoding="utf-8")
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    early = {"patch": plan["patch"], "batch": 8, "share": 0.5}
    (run / "plan.json").write_text(json.dumps({**plan, "early": early}), encoding="utf-8")
    assert "<td>early</td><td>the first 50%: 8 patches" in write_report(run).read_text(encoding="utf-8")


def test_the_report_is_one_well_formed_page_that_escapes_and_loads_nothing(run):
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open and "script" not in page.tags and "link" not in page.tags
    assert page.addresses and all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert EVIL not in text
    assert not re.search(r"https?://|@import|url\(", text)


@pytest.mark.parametrize(
    "missing",
    ["fingerprint.json", "plan.json", "recipe.json", "fold_0/history.jsonl", "fold_0/validation/metrics.json"],
)
def test_what_is_missing_or_damaged_is_said_and_not_fatal(run, missing):
    (run / missing).write_text("{", encoding="utf-8")
    text = write_report(run).read_text(encoding="utf-8")
    assert Path(missing).name in text.split("Not in this report")[1]
    (run / missing).unlink()
    text = write_report(run).read_text(encoding="utf-8")
    assert f"{Path(missing).name} is missing" in text


def test_an_empty_folder_and_none(tmp_path):
    assert "Nothing is trained yet" in write_report(tmp_path).read_text(encoding="utf-8")
    with pytest.raises(UserError, match="no such folder"):
        write_report(tmp_path / "none")


def test_lines_of_a_history_and_metrics_of_another_form_are_notes(run):
    history = run / "fold_0" / "history.jsonl"
    history.write_text(history.read_text(encoding="utf-8") + "".join(f"{line}\n" for line in STRANGE_LINES), "utf-8")
    write_json(run / "fold_0" / "validation" / "metrics.json", {"labels": [1], "cases": {}})
    page = write_report(run).read_text(encoding="utf-8")
    assert f"{len(STRANGE_LINES)} damaged lines" in page and "metrics.json cannot be used" in page
