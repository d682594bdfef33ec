"""Planning and preprocessing beside nnU-Net's: wall time and peak memory on two datasets, and both plans side by side.

nnU-Net 2.8 is installed in a virtual environment of its own, whose Python is given:

    python benchmarks/planning.py Dataset004_Hippocampus --peer-python peer/bin/python --json results.json

Both run as a user runs them (`l2s_plan_and_train --dry-run`, with its trial of the plan on the device and its pictures;
`nnUNetv2_plan_and_preprocess -c 3d_fullres`), with two processes each, one after the other on the same machine. Peak
memory is the largest sum, over the command and all that it started, of the memory that is a process's own share (PSS).
Plans for made-up fingerprints are made by both planners for the same device memory, without a hyper-step on our side,
which nnU-Net does not know either.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from common import finish, machine, parser
from l2s_auto.core.plan import CaseFingerprint, Fingerprint, Statistics
from l2s_auto.planning.memory import StepMemory
from l2s_auto.planning.planner import make_plan

#: name -> spacing in mm, median shape, cases, channels; axes left to right, back to front, bottom to top
FINGERPRINTS: dict[str, tuple[tuple[float, float, float], tuple[int, int, int], int, tuple[str, ...]]] = {
    "MRI 0.7 x 0.7 x 5 mm": ((0.7, 0.7, 5.0), (320, 320, 24), 60, ("MRI",)),
    "2D, 512 x 512": ((0.3, 0.3, 1.0), (512, 512, 1), 200, ("MRI",)),
    "BRATS-like, 4 channels": ((1.0, 1.0, 1.0), (140, 171, 136), 484, ("T1", "T1c", "T2", "FLAIR")),
    "CT 512 x 512 x 600": ((0.8, 0.8, 1.0), (512, 512, 600), 100, ("CT",)),
    "5 small cases": ((1.0, 1.0, 1.0), (40, 56, 40), 5, ("MRI",)),
    "2,000 large cases": ((1.0, 1.0, 1.0), (256, 256, 256), 2000, ("MRI",)),
}
CT_SHAPE, CT_CASES, CT_LABELS = (320, 320, 200), 10, 20
INTENSITY = {"mean": 0.5, "std": 0.1, "min": 0.0, "percentile_00_5": 0.0, "median": 0.5, "percentile_99_5": 1.0}
#: Run by nnU-Net's Python: plans for the fingerprints in a JSON, with the arguments that file, output, GB.
PEER = """
import json, os, sys
from pathlib import Path
place = Path(sys.argv[1])
os.environ.update({f"nnUNet_{kind}": str(place / kind) for kind in ("raw", "preprocessed", "results")})
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
plans = {}
for name in json.loads(sys.argv[3]):
    ExperimentPlanner(name, gpu_memory_target_in_gb=float(sys.argv[2])).plan_experiment()
    made = json.loads((place / "preprocessed" / name / "nnUNetPlans.json").read_text())["configurations"]
    chosen = made.get("3d_fullres") or made["2d"]
    plans[name] = {
        "spacing": chosen["spacing"], "patch": chosen["patch_size"], "batch": chosen["batch_size"],
        "strides": chosen["architecture"]["arch_kwargs"]["strides"], "configurations": sorted(made),
    }
print(json.dumps(plans))
"""


def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Seconds and peak memory in MB of a command with everything that it starts."""
    with tempfile.TemporaryFile() as log:
        started, most = time.monotonic(), [0.0]
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.5):  # looking takes a moment too, on cores that the command would use
                most.append(sum(map(share_of, family(process.pid))))

        looking = threading.Thread(target=look)
        looking.start()
        process.wait()
        seconds = time.monotonic() - started
        ended.set()
        looking.join()
        if process.returncode:
            log.seek(0)
            sys.exit(log.read().decode(errors="replace")[-3000:])
    return {"seconds": round(seconds, 2), "peak_mb": round(max(most))}


def family(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for member in found:
        found += parents.get(member, [])
    return found


def share_of(process: int) -> float:
    """MB that are a process's own share; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0.0


def make_ct(folder: Path) -> Path:
    """Ten CT-like cases of 20 labels, nnU-Net's layout: blobs in a body, noise, air around it."""
    rng = np.random.default_rng(0)
    grid = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in CT_SHAPE), indexing="ij", sparse=True)
    affine = np.diag([1.2, 1.2, 2.0, 1.0])
    for number in range(CT_CASES):
        body = (grid[0] / 0.8) ** 2 + (grid[1] / 0.7) ** 2 + 0 * grid[2] < 1
        labels = np.zeros(CT_SHAPE, dtype=np.uint8)
        for label in range(1, CT_LABELS + 1):
            centre, size = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.08, 0.2)
            labels[sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < size**2] = label
        tissue = gaussian_filter(rng.standard_normal(CT_SHAPE).astype(np.float32), 3) * 300
        image = np.where(body, 40 + tissue + 15 * labels, -1000) + 15 * rng.standard_normal(CT_SHAPE)
        for kind, data in (("imagesTr", np.rint(image).astype(np.int16)), ("labelsTr", labels)):
            end = "_0000" if kind == "imagesTr" else ""
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(data, affine), folder / kind / f"ct_{number}{end}.nii.gz")
    names = {"background": 0, **{f"organ {label}": label for label in range(1, CT_LABELS + 1)}}
    write_dataset_json(folder, channels=("CT",), labels=names, cases=CT_CASES)
    return folder


def write_dataset_json(folder: Path, *, channels: tuple[str, ...], labels: dict[str, int], cases: int) -> None:
    about = {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": labels,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(about))


def side_by_side(dataset: Path, peer: Path, number: int) -> dict[str, Any]:
    """Both commands on one dataset, and their plans."""
    with tempfile.TemporaryDirectory() as place:
        name = f"Dataset{number:03d}_Measured"
        raw = Path(place) / "raw"
        raw.mkdir()
        (raw / name).symlink_to(dataset.resolve())
        folders = {f"nnUNet_{kind}": str(Path(place) / kind) for kind in ("raw", "preprocessed", "results")}
        command = [str(peer.parent / "nnUNetv2_plan_and_preprocess"), "-d", str(number), "-c", "3d_fullres"]
        command += ["-npfp", "2", "-np", "2", "--verify_dataset_integrity"]
        figures: dict[str, Any] = {"nnunet": measured(command, {**os.environ, **folders})}
        plans = json.loads((Path(place) / "preprocessed" / name / "nnUNetPlans.json").read_text())
        figures["nnunet"]["plan"] = of_peer(plans["configurations"]["3d_fullres"])
        run = Path(place) / "run"
        command = [str(Path(sys.executable).parent / "l2s_plan_and_train"), str(dataset), "-o", str(run), "--dry-run"]
        figures["l2s_auto"] = measured([*command, "--workers", "2", "--device", "cpu"], dict(os.environ))
        figures["l2s_auto"]["plan"] = of_ours(json.loads((run / "plan.json").read_text()))
    ours, theirs = figures["l2s_auto"], figures["nnunet"]
    figures["times_faster"] = round(theirs["seconds"] / ours["seconds"], 2)
    figures["memory_ratio"] = round(ours["peak_mb"] / theirs["peak_mb"], 2)
    return figures


def of_peer(plan: dict[str, Any]) -> dict[str, Any]:
    """nnU-Net's axes run from bottom to top first: turned to ours."""
    strides = plan["architecture"]["arch_kwargs"]["strides"]
    return {
        "spacing": plan["spacing"][::-1],
        "patch": plan["patch_size"][::-1],
        "batch": plan["batch_size"],
        "strides": [stride[::-1] for stride in strides],
    }


def of_ours(plan: dict[str, Any]) -> dict[str, Any]:
    return {
        "spacing": plan["spacing"],
        "patch": plan["patch"],
        "batch": plan["batch"],
        "strides": plan["topology"]["strides"],
        "why": plan["why"],
    }


def made_up_plans(peer: Path, memory_gb: float) -> dict[str, Any]:
    """Both planners on the made-up fingerprints."""
    names = {f"Dataset{900 + i:03d}_Made": name for i, name in enumerate(FINGERPRINTS)}
    with tempfile.TemporaryDirectory() as place:
        for folder, name in names.items():
            write_peer_fingerprint(Path(place), folder, *FINGERPRINTS[name])
        command = [str(peer), "-c", PEER, place, str(memory_gb), json.dumps(list(names))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        theirs = json.loads(done.stdout.splitlines()[-1])
    plans = {}
    for folder, name in names.items():
        ours = make_plan(fingerprint(*FINGERPRINTS[name]), memory_gb=memory_gb, device="cuda", step=StepMemory())
        own = theirs[folder]
        turned = {key: own[key][::-1] for key in ("spacing", "patch")}
        strides = [stride[::-1] for stride in own["strides"]]
        plans[name] = {
            "nnunet": {**own, **turned, "strides": strides},
            "l2s_auto": of_ours(ours.model_dump(mode="json")),
        }
    return plans


def write_peer_fingerprint(
    place: Path, name: str, spacing: Any, shape: Any, cases: int, channels: tuple[str, ...]
) -> None:
    """A dataset of one tiny case, and the fingerprint of all, as nnU-Net's planner reads them."""
    folder, made = place / "raw" / name, place / "preprocessed" / name
    made.mkdir(parents=True)
    for kind, ends in (("imagesTr", [f"_{i:04d}" for i in range(len(channels))]), ("labelsTr", [""])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for end in ends:
            nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), folder / kind / f"a{end}.nii.gz")
    write_dataset_json(folder, channels=channels, labels={"background": 0, "a": 1, "b": 2}, cases=cases)
    content = {
        "spacings": [list(spacing[::-1])] * cases,
        "shapes_after_crop": [list(shape[::-1])] * cases,
        "foreground_intensity_properties_per_channel": {
            str(i): {**INTENSITY, "max": 1.0} for i in range(len(channels))
        },
        "median_relative_size_after_cropping": 1.0,
    }
    (made / "dataset_fingerprint.json").write_text(json.dumps(content))


def fingerprint(spacing: Any, shape: Any, cases: int, channels: tuple[str, ...]) -> Fingerprint:
    """The same as ours."""
    brightness = {0: (0.5,) * len(channels), 1: (0.3,) * len(channels), 2: (0.7,) * len(channels)}
    deviation = {value: (0.1,) * len(channels) for value in brightness}
    one = CaseFingerprint(
        id="a",
        subject="a",
        shape=shape,
        spacing=spacing,
        label_volume=dict.fromkeys(brightness, 1e4),
        label_mean=brightness,
        label_std=deviation,
    )
    numbers = Statistics(
        mean=0.5, std=0.1, minimum=0, percentile_00_5=0, median=0.5, percentile_99_5=1, maximum=1, count=1000
    )
    return Fingerprint(
        dataset="made up",
        channels=channels,
        labels={0: "background", 1: "a", 2: "b"},
        cases=tuple(one.model_copy(update={"id": str(i), "subject": str(i)}) for i in range(cases)),
        intensity=(numbers,) * len(channels),
    )


def show(name: str, plans: dict[str, Any]) -> None:
    for who in ("nnunet", "l2s_auto"):
        plan = plans[who]
        spacing, patch = (" x ".join(f"{n:g}" for n in plan[key]) for key in ("spacing", "patch"))
        total = [int(np.prod([stride[axis] for stride in plan["strides"]])) for axis in range(len(plan["patch"]))]
        print(
            f"{name:26s} {who:9s} {spacing:20s} mm  patch {patch:18s} batch {plan['batch']:3d}  divided by {total}",
            flush=True,
        )


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path, help="a dataset in nnU-Net's layout")
    options.add_argument("--peer-python", type=Path, required=True, help="Python of nnU-Net's environment")
    options.add_argument("--memory-gb", type=float, default=8.0, help="of the device that plans are made for")
    options.add_argument("--only-plans", action="store_true", help="no timings")
    given = options.parse_args()
    figures: dict[str, Any] = {"machine": machine(given.device), "cores": os.cpu_count()}
    peer = given.peer_python.absolute()
    figures["plans"] = made_up_plans(peer, given.memory_gb)
    for name, plans in figures["plans"].items():
        show(name, plans)
    if not given.only_plans:
        place = Path(tempfile.mkdtemp())
        datasets = {given.dataset.name: (given.dataset, 4), "CT-like": (make_ct(place / "Dataset005_CT"), 5)}
        figures["datasets"] = {}
        for name, (folder, number) in datasets.items():
            figures["datasets"][name] = found = side_by_side(folder, peer, number)
            show(name, {who: found[who]["plan"] for who in ("nnunet", "l2s_auto")})
            print(json.dumps({key: value for key, value in found.items() if not isinstance(value, dict)}), flush=True)
        shutil.rmtree(place)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
