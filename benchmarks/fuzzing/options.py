"""Lists of options for the commands, with values that are right, wrong or missing."""

from __future__ import annotations

import random
from pathlib import Path

from fuzzing.judge import Bench, Verdict, call, faults, make_scan

#: command -> options and values that may be drawn for them; None: without a value
OPTIONS: dict[str, dict[str, tuple[object, ...]]] = {
    "predict": {
        "-i": ("IN", "nowhere", ""),
        "-o": ("OUT", "IN", "x.nii.gz", "x.txt", ""),
        "-m": ("RUN", "nowhere", "IN", "x.zip"),
        "--device": ("cpu", "cuda:7", "gpu", ""),
        "--overlap": ("0", "0.5", "1", "-1", "nan", "x"),
        "--part": ("1/1", "2/3", "0/1", "3/2", "a/b", "1/1000"),
        "--workers": ("0", "1", "-1", "x"),
        "--tta": (None,),
        "--fast": (None,),
        "--skip-existing": (None,),
        "--probabilities": (None,),
        "--unknown": (None,),
    },
    "evaluate": {
        "-p": ("OUT", "IN", "nowhere"),
        "-r": ("IN", "nowhere"),
        "-m": ("RUN", "nowhere"),
        "--labels": ("IN", "nowhere"),
        "-o": ("m.json", "IN"),
    },
    "export_model": {"RUN": (None,), "x.zip": (None,), "nowhere": (None,), "--format": ("l2s", "nnunet", "onnx", "")},
    "import_model": {"x.zip": (None,), "nowhere": (None,), "-o": ("OUT", "new", "IN")},
    "plan_and_train": {
        "nowhere": (None,),
        "IN": (None,),
        "--iterations": ("0", "1", "x"),
        "--fold": ("all", "9", "x"),
        "--patch": ("1 1 1", "64", "a b c"),
        "--spacing": ("1 1 1", "0 0 0", "1e9 1 1"),
        "--method": ("supervised", "none"),
        "--time-budget": ("1s", "-1", "soon"),
        "--dry-run": (None,),
        "--cv": (None,),
    },
}


def options(rng: random.Random, bench: Bench, place: Path) -> Verdict:
    """A command is called with options that were drawn; it ends with an exit code of the documentation."""
    verdict = Verdict()
    make_scan(place / "in" / "s.nii.gz")
    command = rng.choice(list(OPTIONS))
    drawn: list[str] = []
    for option, values in OPTIONS[command].items():
        if rng.random() < (0.9 if option in ("-i", "-o", "-p", "-r", "-m", "RUN") else 0.35):
            value = rng.choice(values)
            drawn += [option, *(str(value).split(" ") if value is not None else [])]
    names = {"IN": place / "in", "OUT": place / "out", "RUN": bench.run, "x.zip": place / "x.zip", "new": place / "new"}
    names |= {name: place / name for name in ("nowhere", "x.nii.gz", "x.txt", "m.json")}
    code, shown = call(command, *(names.get(text, text) for text in drawn))
    verdict.count(f"{command} {code}")
    verdict.wrong += [f"{command} {' '.join(drawn)}: {fault}" for fault in faults(code, shown, allowed=(0, 1, 2))]
    return verdict
