"""Damaged scans and odd option lists, in thousands: whatever comes, prediction ends in results or in one message.

    OMP_NUM_THREADS=1 python benchmarks/fuzz.py --count 2000 --json results.json

Scans are small NIfTI files in which bytes of the header or of the data were changed, that were cut, or whose header
says what cannot be; they are segmented in folders of 25 by an untrained network. Of each folder it is asked that every
scan is a result or a row of failures.csv, that no failure is an error of the program's own, that no result is
unreadable or left in part, and that no folder takes more than a minute. Option lists are drawn from options of the
commands with values that are right, wrong, or missing; each has to end with an exit code of the documentation and
without a traceback.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import shutil
import struct
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from inference import Scan, make_plan, write_run

from common import finish, machine, parser
from l2s_auto import cli
from l2s_auto.core.component import Component
from l2s_auto.inference.predict import predict
from l2s_auto.inference.tables import read_table
from l2s_auto.networks import build_network

FOLDER, LONGEST = 25, 60.0
#: (offset in the header, struct format) of what decides how a file is read
FIELDS = (
    *((40 + 2 * i, "<h") for i in range(8)),
    (70, "<h"),
    (72, "<h"),
    *((76 + 4 * i, "<f") for i in range(8)),
    (108, "<f"),
    (112, "<f"),
    (116, "<f"),
    (252, "<h"),
    (254, "<h"),
    *((256 + 4 * i, "<f") for i in range(6)),
    *((280 + 4 * i, "<f") for i in range(12)),
    (344, "<i"),
)
NUMBERS = (0, 1, -1, 2, 3, 5, 7, 16, 127, 255, 352, 1e4, 32767, -32768, 1e-30, 1e30, float("nan"), float("inf"))


def make_file(rng: random.Random, path: Path) -> str:
    """A scan, damaged in one way or two; tells which."""
    shape = tuple(rng.choice((1, 2, 5, 12, 20)) for _ in range(3)) if rng.random() < 0.3 else (14, 15, 16)
    kind = rng.choice((np.uint8, np.int16, np.float32, np.float64))
    generator = np.random.default_rng(rng.randrange(2**31))
    data = (generator.random(shape) * 200).astype(kind)
    if kind in (np.float32, np.float64) and rng.random() < 0.2:
        data.flat[rng.randrange(data.size)] = rng.choice(
            (np.nan, np.inf, -np.inf, 1e300 if kind is np.float64 else 1e38)
        )
    affine = np.diag([*(rng.choice((0.5, 1, 3)) for _ in range(3)), 1.0])
    if rng.random() < 0.2:
        affine[:3, :3] += generator.normal(0, rng.choice((0.01, 1)), (3, 3))
    content = bytearray(nib.Nifti1Image(data, affine).to_bytes())
    done = []
    for _ in range(rng.choice((1, 1, 2))):
        way = rng.choice(("nothing", "field", "field", "field", "header bytes", "data bytes", "cut", "empty", "more"))
        done.append(way)
        if way == "field":
            offset, form = rng.choice(FIELDS)
            value = rng.choice(NUMBERS)
            with contextlib.suppress(struct.error, ValueError, OverflowError):
                struct.pack_into(form, content, offset, value if form == "<f" else int(value))
        elif way == "header bytes":
            for _ in range(rng.randrange(1, 20)):
                content[rng.randrange(min(352, len(content)))] = rng.randrange(256) if content else 0
        elif way == "data bytes" and len(content) > 400:
            for _ in range(rng.randrange(1, 200)):
                content[rng.randrange(352, len(content))] = rng.randrange(256)
        elif way == "cut":
            del content[rng.randrange(len(content) + 1) :]
        elif way == "empty":
            content.clear()
        elif way == "more":
            content += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 500)))
        if len(content) < 353:
            break
    if path.suffix == ".gz":
        packed = bytearray(gzip.compress(bytes(content)))
        way = rng.choice(("whole", "whole", "whole", "cut gzip", "changed gzip", "no gzip"))
        done.append(way)
        if way == "cut gzip":
            del packed[rng.randrange(len(packed)) :]
        elif way == "changed gzip":
            packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
        content = bytearray(content) if way == "no gzip" else packed
    path.write_bytes(content)
    return ", ".join(done)


def check_folder(rng: random.Random, run: Path, place: Path, wrong: list[str]) -> Counter:
    """Segment a folder of damaged scans; what is amiss goes into `wrong`."""
    scans, output = place / "in", place / "out"
    scans.mkdir()
    ways = {}
    for number in range(FOLDER):
        name = f"s{number}" + rng.choice((".nii", ".nii.gz"))
        ways[f"s{number}"] = make_file(rng, scans / name)
    started = time.monotonic()
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        summary = predict(scans, output, model=run, device="cpu", workers=rng.choice((0, 1)), fast=rng.random() < 0.5)
    seconds = time.monotonic() - started
    failed = {failure.case: failure for failure in summary.failures}
    listed = {row["case"] for row in read_table(output / "failures.csv")[1]} if failed else set()
    manifest = json.loads((output / "manifest.json").read_text())["cases"]
    if seconds > LONGEST:
        wrong.append(f"a folder took {seconds:.0f} s")
    for case, way in ways.items():
        results = list(output.glob(f"{case}.nii*"))
        if (case in summary.done) == (case in failed):
            wrong.append(f"{way}: neither done nor failed, or both")
        elif case in failed:
            if results or case not in listed or "\n" in failed[case].reason:
                wrong.append(f"{way}: a failure with a result, without a row, or of several lines")
            if "traceback" in manifest[case]:
                wrong.append(f"{way}: an error of the program's own: {manifest[case]['traceback'][-1].strip()}")
        else:
            np.asanyarray(nib.load(results[0]).dataobj)
    left = list(output.rglob(".*"))
    if left:
        wrong.append(f"left behind: {left[0].name}")
    return Counter({"segmented": len(summary.done), "refused": len(failed)})


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


def check_options(rng: random.Random, run: Path, place: Path, wrong: list[str]) -> str:
    """Call a command with drawn options; what is amiss goes into `wrong`."""
    command = rng.choice(list(OPTIONS))
    drawn: list[str] = []
    for option, values in OPTIONS[command].items():
        if rng.random() < (0.9 if option in ("-i", "-o", "-p", "-r", "-m", "RUN") else 0.35):
            value = rng.choice(values)
            drawn += [option, *(str(value).split(" ") if value is not None else [])]
    names = {"IN": place / "in", "OUT": place / "out", "RUN": run, "x.zip": place / "x.zip", "new": place / "new"}
    names |= {name: place / name for name in ("nowhere", "x.nii.gz", "x.txt", "m.json")}
    arguments = [str(names.get(text, text)) for text in drawn]
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = getattr(cli, command)(arguments)
        except SystemExit as end:
            code = end.code
    if code not in (0, 1, 2) or "Traceback" in shown.getvalue() or "internal error" in shown.getvalue():
        wrong.append(f"{command} {' '.join(drawn)}: exit code {code}, {shown.getvalue()[-300:]}")
    return f"{command} {code}"


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=2000, help="of scans; a quarter as many option lists")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    rng, wrong, found, ended = random.Random(args.seed), [], Counter(), Counter()
    plan = make_plan("fuzz", Scan((14, 15, 16), (1.0,) * 3, (1.0,) * 3, (16, 16, 16), None))
    torch.manual_seed(0)
    network = build_network(Component(name="unet"), channels=1, classes=3, topology=plan.topology)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        run = write_run(Path(folder) / "run", plan, network, 3)
        for _ in range(-(-args.count // FOLDER)):
            place = Path(folder) / "now"
            place.mkdir()
            found += check_folder(rng, run, place, wrong)
            shutil.rmtree(place)
        place = Path(folder) / "options"
        (place / "in").mkdir(parents=True)
        data = np.random.default_rng(0).integers(0, 200, (14, 15, 16)).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.eye(4)), place / "in" / "s.nii.gz")
        for _ in range(args.count // 4):
            ended[check_options(rng, run, place, wrong)] += 1
    for line in wrong[:20]:
        print(line)
    finish(
        {"machine": machine("cpu"), "seed": args.seed, "scans": dict(found), "options": dict(ended), "wrong": wrong},
        args.json,
    )


if __name__ == "__main__":
    main()
