"""A training at the default settings beside nnU-Net's 3d_fullres, for the same time on the same machine.

nnU-Net 2.8 is installed in a virtual environment of its own, whose Python is given:

    python benchmarks/beside_nnunet.py DATASET -o FOLDER --peer-python peer/bin/python --json results.json

Up to 40 scans of the first of five folds are held out of the dataset that both get, and are tested on, as they are and
changed. What is left has folds of its own, the same for both, and the first is trained: its validation cases choose
nothing for nnU-Net, theta and the clean-up of small pieces for l2s_auto. nnU-Net's trainer is
its own but for the end: its learning rate falls with the time that has passed rather than with the epochs, and it
stops when the time is over (its 250,000 iterations would take days on a CPU). It predicts as it does by default, with
mirrored copies and by its last weights. One runs after the other; planning and preprocessing are not part of the time
and are given beside it. What FOLDER holds of the same settings is not made again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import finish, machine, parser
from l2s_auto.core.types import Case, Dataset
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE, mean_of_changed
from l2s_auto.experiments.methods.run import TESTS, content_of, divided
from l2s_auto.experiments.methods.scoring import last_line
from l2s_auto.experiments.methods.subset import link, write_references, write_scans, write_subset
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, write_json

NUMBER, NAME, CONFIGURATION, TRAINER = 900, "Dataset900_Measured", "3d_fullres", "TimedTrainer"
#: A trainer for nnU-Net that ends by the clock. SECONDS comes from outside.
TIMED = f"""
import json, os, time
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

SECONDS = float(os.environ["SECONDS"])


class {TRAINER}(nnUNetTrainer):
    def run_training(self):
        self.on_train_start()
        started, updates = time.monotonic(), 0
        passed = lambda: time.monotonic() - started
        while passed() < SECONDS:
            self.on_epoch_start()
            self.on_train_epoch_start()
            outputs = []
            while passed() < SECONDS and len(outputs) < self.num_iterations_per_epoch:
                self.lr_scheduler.step(self.num_epochs * min(passed() / SECONDS, 1.0))
                outputs.append(self.train_step(next(self.dataloader_train)))
            updates += len(outputs)
            self.on_train_epoch_end(outputs)
            with torch.no_grad():
                self.on_validation_epoch_start()
                outputs = [self.validation_step(next(self.dataloader_val))]
                while passed() < SECONDS and len(outputs) < self.num_val_iterations_per_epoch:
                    outputs.append(self.validation_step(next(self.dataloader_val)))
                self.on_validation_epoch_end(outputs)
            self.on_epoch_end()
        taken = passed()
        self.on_train_end()
        with open(os.path.join(self.output_folder, "updates.json"), "w") as file:
            json.dump({{"iterations": updates, "seconds": taken}}, file)

    def perform_actual_validation(self, save_probabilities=False):
        pass
"""


def run(command: list[str], environment: dict[str, str], log: Path) -> float:
    """Seconds of a command, whose output goes to a file."""
    started = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        code = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"{command[0]} ended with exit code {code}: see {log}")
    return round(time.monotonic() - started, 1)


def commands(place: Path) -> str:
    """The folder of the commands of this interpreter, or of another."""
    return str(place.parent)


def ours(given: Any, learn: Path, folder: Path) -> dict[str, Any]:
    """A run by the command, with nothing chosen but the time."""
    trained = folder / "run"
    options = ["--time-budget", f"{given.time_budget:g}s", "--device", given.device, "--seed", str(given.seed)]
    if (trained / "fold_0" / "checkpoint").exists():
        options.append("--resume")
    command = [f"{commands(Path(sys.executable))}/l2s_plan_and_train", str(learn), "-o", str(trained)]
    seconds = run([*command, *options], dict(os.environ), folder / "log.txt")
    plan = read_json(trained / "plan.json")
    return {
        **{name: value for name, value in last_line(trained / "fold_0" / "history.jsonl").items() if name != "theta"},
        "with planning and validation": seconds,
        "plan": {"patch": plan["patch"], "batch": plan["batch"], "features": plan["topology"]["features"]},
        "splits": read_json(trained / "splits.json"),
    }


def theirs(given: Any, learn: Path, folder: Path, splits: list[dict]) -> dict[str, Any]:
    """nnU-Net's commands, with the trainer that ends by the clock."""
    environment = environment_of(given, folder)
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    link(learn, folder / "raw" / NAME)
    trainers = folder / "trainers"
    trainers.mkdir(exist_ok=True)
    (trainers / "timed.py").write_text(TIMED, encoding="utf-8")
    programs, log = commands(given.peer_python), folder / "log.txt"
    place = folder / "preprocessed" / NAME
    seconds = 0.0
    if not (place / "splits_final.json").exists():
        plan = ["-d", str(NUMBER), "-c", CONFIGURATION, "-npfp", "2", "-np", "2"]
        seconds = run([f"{programs}/nnUNetv2_plan_and_preprocess", *plan], environment, log)
        write_json(place / "splits_final.json", splits)
    train = [str(NUMBER), CONFIGURATION, "0", "-tr", TRAINER, "-device", given.device]
    seconds += run([f"{programs}/nnUNetv2_train", *train], environment, log)
    plan = read_json(place / "nnUNetPlans.json")["configurations"][CONFIGURATION]
    (found,) = (folder / "results").rglob("updates.json")
    return {
        **read_json(found),
        "with planning and validation": seconds,
        "plan": {
            "patch": plan["patch_size"][::-1],
            "batch": plan["batch_size"],
            "features": plan["architecture"]["arch_kwargs"]["features_per_stage"],
        },
    }


def environment_of(given: Any, folder: Path) -> dict[str, str]:
    places = {f"nnUNet_{kind}": str(folder.resolve() / kind) for kind in ("raw", "preprocessed", "results")}
    own = {"nnUNet_extTrainer": str(folder.resolve() / "trainers"), "SECONDS": str(given.time_budget)}
    # nnU-Net looks for trainers in files beside these too; what is imported from here would confuse it.
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **places, **own}


def tested(given: Any, folder: Path, dataset: Dataset, cases: list[Case]) -> dict[str, dict[str, Any]]:
    """Dice and seconds of both under each appearance."""
    labels = {value: name for value, name in dataset.labels.items() if value != 0}
    references = write_references(cases, folder / "references")
    found: dict[str, dict[str, Any]] = {"l2s_auto": {}, "nnunet": {}}
    programs = {
        "l2s_auto": f"{commands(Path(sys.executable))}/l2s_predict",
        "nnunet": f"{commands(given.peer_python)}/nnUNetv2_predict",
    }
    peer = ["-d", str(NUMBER), "-c", CONFIGURATION, "-f", "0", "-tr", TRAINER, "-device", given.device]
    own = ["-m", str(folder / "l2s_auto" / "run"), "--device", given.device]
    for name in APPEARANCES:
        scans, numbered = folder / "scans" / name, folder / "numbered" / name
        if not scans.exists():
            made = write_scans(cases, folder / ".scans", appearance=name)
            scans.parent.mkdir(exist_ok=True)
            made.rename(scans)
        for path in scans.iterdir():
            link(path, numbered / path.name.replace(".nii.gz", "_0000.nii.gz"))
        for who, source, options, environment in (
            ("l2s_auto", scans, own, dict(os.environ)),
            ("nnunet", numbered, [*peer, "-npp", "1", "-nps", "1"], environment_of(given, folder / "nnunet")),
        ):
            output = folder / who / "segmented" / name
            command = [programs[who], "-i", str(source), "-o", str(output), *options]
            seconds = run(command, environment, folder / who / "log.txt")
            dice = evaluate_folders(output, references, labels)["mean"]["dice"]
            found[who][name] = {"dice": dice, "seconds": seconds}
            print(f"{name:15s} {who:10s} {dice:.4f} {seconds:.0f} s", flush=True)
    return found


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path, help="in nnU-Net's layout, of one channel")
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/beside_nnunet"))
    options.add_argument("--peer-python", type=Path, required=True, help="Python of nnU-Net's environment")
    options.add_argument("--time-budget", type=float, default=1800.0, help="seconds of training each")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    dataset = find_dataset(given.dataset)
    settings = {
        "content": content_of(dataset),
        "seconds": given.time_budget,
        "seed": given.seed,
        "device": given.device,
    }
    note = given.output / "settings.json"
    if note.exists() and read_json(note) != settings:
        sys.exit(f"{given.output} holds what was made with other settings, {read_json(note)}. Choose another folder.")
    note.parent.mkdir(parents=True, exist_ok=True)
    write_json(note, settings)
    learn, cases = divided(dataset, TESTS)
    own = write_subset(dataset, learn, given.output / "learn" / NAME)
    rows: dict[str, dict[str, Any]] = {}
    for who in ("l2s_auto", "nnunet"):
        note = given.output / who / "row.json"
        if not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            if who == "l2s_auto":
                write_json(note, ours(given, own, note.parent))
            else:
                write_json(note, theirs(given, own, note.parent, rows["l2s_auto"]["splits"]))
        rows[who] = dict(read_json(note))
    split = rows["l2s_auto"].pop("splits")[0]
    for who, found in tested(given, given.output, dataset, cases).items():
        dice = {name: row["dice"] for name, row in found.items()}
        rows[who] |= {
            "dice": dice,
            "mean of the changed": mean_of_changed(dice),
            "seconds of a scan": round(found[AS_THEY_ARE]["seconds"] / len(cases), 3),
        }
    counts = {"learned from": len(split["train"]), "validation": len(split["val"]), "tested on": len(cases)}
    figures = {"machine": machine(given.device), "cpus": os.cpu_count(), "dataset": dataset.name, "cases": counts}
    finish({**figures, "seconds": given.time_budget, "seed": given.seed, **rows}, given.json)


if __name__ == "__main__":
    main()
