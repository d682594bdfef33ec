"""Runs commands on mutants, in a process that is used again and again, and tells what is amiss."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from fuzzing import archives
from fuzzing.documents import MARKER, mutated
from fuzzing.grids import grid_of, same
from fuzzing.more_scans import KINDS as MORE_KINDS
from fuzzing.scans import KINDS as FIRST_KINDS
from fuzzing.scans import Mutant
from l2s_auto import cli
from l2s_auto.inference.tables import read_table
from l2s_auto.io.volumes import read_grid

KINDS = FIRST_KINDS | MORE_KINDS
#: Scans that are segmented by one call.
FOLDER = 8
#: Texts in what a command prints that are faults of the program.
FAULTS = ("Traceback", "internal error", "Exception ignored", "Logging error", "Fatal Python error")


@dataclass
class Verdict:
    """What became of some mutants.

    counts  outcome -> how many
    wrong   one line for each mutant that was handled wrongly
    """

    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def count(self, outcome: str) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1


@dataclass(frozen=True)
class Bench:
    """What mutants are made of: a run folder and its zip, a sound scan, a dataset; made once, only read."""

    run: Path
    zip: Path
    scan: Path
    dataset: Path


def call(command: str, *arguments: object) -> tuple[int | None, str]:
    """Exit code of a command that is called in this process, and what it printed."""
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = getattr(cli, command)([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return code, shown.getvalue()


def faults(code: int | None, shown: str, *, allowed: tuple[int, ...]) -> list[str]:
    """What is wrong with how a command ended."""
    found = [f"says {fault!r}: {shown[-200:]!r}" for fault in FAULTS if fault in shown]
    if code not in allowed:
        found.append(f"exit code {code}: {shown[-200:]!r}")
    if code == 2 and not shown.strip():
        found.append("exit code 2 without a message")
    if "\x1b" in shown:
        found.append(f"sends escape codes to the terminal: {shown[-200:]!r}")
    if Path(MARKER).exists():
        Path(MARKER).unlink()
        found.append("RAN A PAYLOAD")
    return found


# --- scans ------------------------------------------------------------------------------------------------------------


def scans(kind: str, rng: random.Random, bench: Bench, place: Path) -> Verdict:
    """A folder of mutants and one sound scan is segmented: the sound one is done, whatever the others are."""
    verdict, folder, output = Verdict(), place / "in", place / "out"
    folder.mkdir()
    shutil.copy(bench.scan, folder / "sound.nii.gz")
    mutants = {f"s{number}": KINDS[kind](rng, folder, f"s{number}") for number in range(FOLDER)}
    options = rng.sample(["--fast", "--workers=0", "--workers=1"], 1)
    code, shown = call("predict", "-i", folder, "-o", output, "-m", bench.run, "--device", "cpu", *options)
    change = "; ".join(mutant.way for mutant in mutants.values())
    verdict.wrong += [f"{kind} folder: {fault} [{change}]" for fault in faults(code, shown, allowed=(0, 1))]
    if not (output / "manifest.json").exists():
        verdict.wrong.append(f"{kind} folder: nothing was done: {shown[-300:]!r} [{change}]")
        return verdict
    if not (output / "sound.nii.gz").exists():
        verdict.wrong.append(f"{kind} folder: the sound scan was not segmented [{change}]")
    failed = {row["case"]: row for row in read_table(output / "failures.csv")[1]}
    entries = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["cases"]
    for case, mutant in mutants.items():
        if case not in entries and case not in failed:
            # A folder of DICOM files may hold nothing that looks like DICOM any more; then it is no scan.
            verdict.count("not found")
            if kind not in ("dicom", "frames"):
                verdict.wrong.append(f"{mutant.way}: not mentioned at all")
            continue
        verdict.count("refused" if case in failed else "segmented")
        verdict.wrong += [f"{mutant.way}: {fault}" for fault in _of_scan(mutant, case, failed, entries, output)]
    left = [
        path for path in output.rglob(".*") if not path.name.startswith(".lock") and not path.name.endswith(".lock")
    ]
    verdict.wrong += [f"{kind} folder: left behind: {path.name}" for path in left[:1]]
    return verdict


def _of_scan(
    mutant: Mutant, case: str, failed: dict[str, dict[str, str]], entries: dict[str, Any], output: Path
) -> list[str]:
    results = [path for path in output.glob(f"{case}.*") if path.suffix != ".raw"]
    if case in failed:
        found = ["a failure with a result"] if results else []
        if "\n" in failed[case]["reason"]:
            found.append("a reason of several lines")
        if "traceback" in entries.get(case, {}):
            found.append(f"an error of the program's own: {entries[case]['traceback'][-1].strip()}")
        return found
    if not results:
        return ["done, without a result"]
    if mutant.damaged:
        return ["damaged data were segmented"]
    if results[0].name.endswith((".nii", ".nii.gz")):
        np.asanyarray(nib.load(results[0]).dataobj)
    before, after = grid_of(mutant.path), grid_of(results[0])
    if before is None or after is None:  # of which no other reader says where it lies
        return [] if before is None else ["another reader cannot read the result"]
    if mutant.path.is_file() and not same(before, read_grid(mutant.path)):
        return [f"another reader finds another grid of the scan: {before[0]} {before[1][:3].round(5).tolist()}"]
    if not same(before, after):
        return [f"another reader finds another grid: {before[0]} {after[0]} {before[1][:3].round(3).tolist()} "
                f"{after[1][:3].round(3).tolist()}"]  # fmt: skip
    return []


# --- documents of a model ---------------------------------------------------------------------------------------------


def of_model(name: str, rng: random.Random, bench: Bench, place: Path) -> Verdict:
    """A run folder whose plan, recipe, … is a mutant is used by a command that reads it."""
    verdict, run, output = Verdict(), place / "run", place / "out"
    shutil.copytree(bench.run, run)
    path = run / name
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        pieces = [mutated(rng, line) for line in lines]
        content, change = b"\n".join(piece[0] for piece in pieces), pieces[0][1]
    else:
        content, change = mutated(rng, json.loads(path.read_text()))
    path.write_bytes(content)
    before = _inventory(place)
    way = f"{name}: {change}"
    command = rng.choice(
        ("predict", "predict", "export", "nnunet", "report") if path.suffix != ".jsonl" else ("report",)
    )
    if command == "predict":
        ended = call("predict", "-i", bench.scan, "-o", output / "s.nii.gz", "-m", run, "--device", "cpu")
        ok = (output / "s.nii.gz").exists()
    elif command == "report":
        ended = _report(run)
        ok = (run / "report.html").exists()
    else:
        target = output / "x.zip"
        more = ["--format", "nnunet"] if command == "nnunet" else []
        ended = call("export_model", run, target, *more)
        ok = target.exists()
    code, shown = ended
    found = faults(code, shown, allowed=(0, 2))
    if code == 0 and not ok:
        found.append("exit code 0 without a result")
    if code == 2 and (output.exists() and any(path.is_file() for path in output.rglob("[!.]*"))):
        found.append(f"a refusal with an output: {[p.name for p in output.rglob('*')][:5]}")
    strangers = _inventory(place) - before - {path.relative_to(place).as_posix() for path in output.rglob("*")}
    strangers -= {"out", "run/report.html"}
    if strangers:
        found.append(f"files elsewhere: {sorted(strangers)[:3]}")
    verdict.count(f"{'accepted' if code == 0 else 'refused'}")
    verdict.wrong += [f"{command}, {way}: {fault}" for fault in found]
    return verdict


def _report(run: Path) -> tuple[int, str]:
    """The report is not a command: the errors of its function are counted as those of one."""
    from l2s_auto.core.errors import UserError
    from l2s_auto.report.html import write_report

    try:
        write_report(run)
    except UserError as error:
        return 2, str(error)
    except Exception as error:
        return 1, f"internal error ({type(error).__name__}: {error})"
    return 0, ""


def zips(rng: random.Random, bench: Bench, place: Path) -> Verdict:
    """A zip that is a mutant is imported, or predicts."""
    verdict, file = Verdict(), place / "model.zip"
    change = archives.mutant(rng, bench.zip, file)
    command = rng.choice(("import", "predict"))
    if command == "import":
        code, shown = call("import_model", file, "-o", place / "imported")
        ok = (place / "imported" / "plan.json").exists()
    else:
        code, shown = call("predict", "-i", bench.scan, "-o", place / "out" / "s.nii.gz", "-m", file, "--device", "cpu")
        ok = (place / "out" / "s.nii.gz").exists()
    found = faults(code, shown, allowed=(0, 2))
    if (code == 0) != ok:
        found.append(f"exit code {code}, and a result: {ok}")
    expected = {"model.zip", "imported", "out", "l2s_runs"}
    if strangers := {path.name for path in place.iterdir()} - expected:
        found.append(f"files elsewhere: {sorted(strangers)[:3]}")
    verdict.count("accepted" if code == 0 else "refused")
    verdict.wrong += [f"{command}, {change}: {fault}" for fault in found]
    return verdict


# --- datasets ---------------------------------------------------------------------------------------------------------


def datasets(rng: random.Random, bench: Bench, place: Path) -> Verdict:
    """A dataset whose description, splits or files are mutants is verified, as a training does first."""
    verdict, folder = Verdict(), place / "data"
    shutil.copytree(bench.dataset, folder)
    what = rng.choice(("dataset.json", "labels.json", "splits.json", "scan", "label map"))
    if what.endswith(".json"):
        path = folder / what
        if what == "labels.json":
            (folder / "dataset.json").unlink()
            (folder / "imagesTr").rename(folder / "images")
            (folder / "labelsTr").rename(folder / "labels")
        content, change = mutated(rng, json.loads(path.read_text()))
        path.write_bytes(content)
    else:
        kind = rng.choice(("nifti", "metaimage", "nrrd", "mgh", "pair"))
        side = folder / ("imagesTr" if what == "scan" else "labelsTr")
        (folder / "dataset.json").unlink()
        victim = sorted(side.iterdir())[0]
        victim.unlink()
        change = KINDS[kind](rng, side, "c0_0000" if what == "scan" else "c0").way
    code, shown = _verified(folder, folder / "splits.json" if what == "splits.json" else None)
    verdict.count("accepted" if code == 0 else "refused")
    verdict.wrong += [f"{what}, {change}: {fault}" for fault in faults(code, shown, allowed=(0, 2))]
    return verdict


def _verified(folder: Path, splits: Path | None) -> tuple[int, str]:
    """What a training does with a dataset before it plans, without the plan, which takes seconds."""
    from l2s_auto.core.errors import UserError
    from l2s_auto.io.dataset import find_dataset, verify_dataset
    from l2s_auto.io.splits import read_splits

    try:
        dataset = find_dataset(folder)
        if splits is not None:
            read_splits(splits, [case.id for case in dataset.cases])
        verify_dataset(dataset)
    except UserError as error:
        return 2, str(error)
    except Exception as error:
        return 1, f"internal error ({type(error).__name__}: {error})"
    return 0, ""


def _inventory(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*")}


#: kind -> (judge, mutants of one call)
JUDGES: dict[str, tuple[Callable[[random.Random, Bench, Path], Verdict], int]] = {
    **{kind: (lambda rng, bench, place, kind=kind: scans(kind, rng, bench, place), FOLDER) for kind in KINDS},
    "plan": (lambda rng, bench, place: of_model("plan.json", rng, bench, place), 1),
    "recipe": (lambda rng, bench, place: of_model("recipe.json", rng, bench, place), 1),
    "calibration": (lambda rng, bench, place: of_model("fold_0/calibration.json", rng, bench, place), 1),
    "history": (lambda rng, bench, place: of_model("fold_0/history.jsonl", rng, bench, place), 1),
    "metrics": (lambda rng, bench, place: of_model("fold_0/validation/metrics.json", rng, bench, place), 1),
    "zip": (zips, 1),
    "dataset": (datasets, 1),
}


def judge(kind: str, seed: str, bench: Bench) -> Verdict:
    """One call's mutants of a kind; the same seed gives the same ones."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="l2s_fuzz_") as folder:
        os.chdir(folder)  # what is written to the working folder is seen, and goes
        try:
            return JUDGES[kind][0](random.Random(seed), bench, Path(folder))
        finally:
            os.chdir(home)


def make_scan(path: Path, seed: int = 0) -> Path:
    """A sound scan."""
    data = np.random.default_rng(seed).integers(0, 200, (14, 15, 16)).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path
