"""Names that file systems take and some programs do not: from training to evaluation."""

from __future__ import annotations

import json
import os
import unicodedata

import numpy as np
import pytest

from l2s_auto import cli
from tests.end_to_end.conftest import make_scan, save

NAMES = [
    b"M\xfcller_Jos\xe9",
    b"x" * 248,
    b"a\nb",
    "\u202egnp.b $x_1$".encode(),
    "J\u00f6rg".encode(),
    b"<b>=1+1",
    b"z",
]


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_odd_names_train_predict_and_are_scored(tmp_path, capsys):
    for number, name in enumerate(NAMES):
        for kind, array in zip(("images", "labels"), make_scan(number), strict=True):
            save(np.asarray(array), tmp_path / "one.nii.gz")
            (tmp_path / "ds" / kind).mkdir(parents=True, exist_ok=True)
            twin = name.startswith(b"J") and kind == "images"  # as macOS writes it
            stored = unicodedata.normalize("NFD", name.decode()).encode() if twin else name
            os.rename(tmp_path / "one.nii.gz", os.path.join(os.fsencode(tmp_path / "ds" / kind), stored + b".nii.gz"))
    run, output = tmp_path / "run", tmp_path / "out"
    options = ["--iterations", "2", "--device", "cpu", "--workers", "0"]
    assert cli.plan_and_train([str(tmp_path / "ds"), "-o", str(run), *options]) == 0
    splits = json.loads((run / "splits.json").read_text(encoding="utf-8"))
    cases = {case for side in splits[0].values() for case in side}
    assert cases == {"M%FCller_Jos%E9", "x" * 248, "a\nb", "\u202egnp.b $x_1$", "J\u00f6rg", "<b>=1+1", "z"}
    metrics = json.loads((run / "fold_0" / "validation" / "metrics.json").read_text(encoding="utf-8"))
    assert {case["case"] for case in metrics["cases"]} == set(splits[0]["val"])
    for place in ("report.html", "log.txt"):
        text = (run / place).read_text(encoding="utf-8")
        assert "\u202e" not in text and "<b>=1" not in text
    assert cli.plan_and_train([str(tmp_path / "ds"), "-o", str(run), *options, "--resume"]) == 0
    assert cli.predict(["-i", str(tmp_path / "ds" / "images"), "-o", str(output), "-m", str(run), "--fast"]) == 0
    arguments = ["-p", str(output), "-r", str(tmp_path / "ds" / "labels"), "-m", str(run)]
    assert cli.evaluate(arguments) == 0
    assert len(json.loads((output / "metrics.json").read_text(encoding="utf-8"))["cases"]) == len(NAMES)
    shown = "".join(capsys.readouterr())
    assert "\u202e" not in shown
