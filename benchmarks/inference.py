"""Prediction beside nnU-Net's with the same weights: wall time, peak memory, and whether the two agree.

nnU-Net 2.8 is installed in a virtual environment of its own, whose Python is given:

    python benchmarks/inference.py --peer-python peer/bin/python --json results.json

Two made-up scans, a head of 160 x 192 x 224 voxels of 1 mm and a CT-like one of 512 x 512 x 300 voxels of
0.8 x 0.8 x 2 mm (the networks' voxels there are 1.6 x 1.6 x 2 mm), are segmented by networks that were trained on them
for a few minutes. Networks of 60 classes are those of 3 with heads for 57 more that are never found. Both programs
run as a user runs them, one after the other on the same machine; ours also writes its tables and pictures. nnU-Net
runs the weights through `l2s_export --format nnunet`; that folder is then given to `l2s_predict` too ("same model
folder"), which resamples and normalises for it as nnU-Net does. Peak memory is the largest sum, over the command and
all that it started, of the memory that is a process's own share (PSS).

Air that is clipped to one value has no variance, which instance normalisation makes large: there a network that
was trained for minutes finds by rounding alone what is not there. `--scans ct-with-air` does not clip it.

`--scans large --classes 60 --tta no --no-peer --steps 40` measures the memory that our side needs for
512 x 512 x 800 voxels; `--scans long --classes 3 --tta no --no-peer --steps 40` for 512 x 512 x 600 and a small model.

A folder of small scans (`--folder`, with a model in nnU-Net's and our form of the same weights) is timed too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from planning import measured
from scipy.ndimage import gaussian_filter, zoom
from torch.nn import functional

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Volume
from l2s_auto.inference.export import export_model
from l2s_auto.io.json_files import write_json
from l2s_auto.networks import build_network, save_weights
from l2s_auto.planning.topology import determine_topology
from l2s_auto.preprocessing.pipeline import prepare, prepare_labels

FEATURES, STEPS, RATE, NEVER = 16, 300, 3e-3, -30.0
MANY = 60


@dataclass(frozen=True)
class Scan:
    """shape in voxels, spacing in mm of the scan and of the network; fixed: limits in original units, or None."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    target: tuple[float, float, float]
    patch: tuple[int, int, int]
    fixed: tuple[float, float] | None


SCANS = {
    "head": Scan((160, 192, 224), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (64, 64, 64), None),
    "ct": Scan((512, 512, 300), (0.8, 0.8, 2.0), (1.6, 1.6, 2.0), (64, 64, 64), (-500.0, 500.0)),
    "ct-with-air": Scan((512, 512, 300), (0.8, 0.8, 2.0), (1.6, 1.6, 2.0), (64, 64, 64), (-1100.0, 500.0)),
    "long": Scan((512, 512, 600), (0.8, 0.8, 1.0), (1.6, 1.6, 2.0), (64, 64, 64), (-500.0, 500.0)),
    "large": Scan((512, 512, 800), (0.8, 0.8, 1.0), (1.5, 1.5, 1.5), (96, 96, 96), (-500.0, 500.0)),
}


def make_scan(scan: Scan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) int16 image and uint8 labels: two structures with smooth borders in a body, air around it."""
    coarse = [max(4, round(n * s / 12)) for n, s in zip(scan.shape, scan.spacing, strict=True)]
    field = gaussian_filter(rng.standard_normal(coarse), 1.0)
    field = zoom(field, [n / c for n, c in zip(scan.shape, coarse, strict=True)], order=1)
    field = field[tuple(slice(n) for n in scan.shape)].astype(np.float32)
    grid = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in field.shape), indexing="ij", sparse=True)
    body = (grid[0] / 0.85) ** 2 + (grid[1] / 0.8) ** 2 + (0.7 * grid[2]) ** 2 < 1
    labels = np.where(body, np.digitize(field, np.quantile(field[body], [0.5, 0.8])), 0).astype(np.uint8)
    air, tissue, step, noise = (-1000, 0, 200, 20) if scan.fixed else (0, 300, 400, 40)
    image = np.where(body, tissue + step * labels.astype(np.float32), air)
    image += noise * rng.standard_normal(image.shape, dtype=np.float32)
    if not scan.fixed:
        image = np.abs(image)  # as magnitudes are, in air too
    return np.rint(image).astype(np.int16), labels


def make_plan(name: str, scan: Scan) -> Plan:
    topology, patch = determine_topology(scan.target, scan.patch, base_features=FEATURES)
    scheme = Normalisation(scheme="percentile", lower=0.5, upper=99.5)
    if scan.fixed:
        scheme = Normalisation(scheme="fixed", lower=scan.fixed[0], upper=scan.fixed[1])
    return Plan(
        dataset=name,
        channels=("CT" if scan.fixed else "MRI",),
        labels=tuple(LabelPlan(value=i, name="background" if i == 0 else f"label {i}") for i in range(3)),
        spacing=scan.target,
        patch=patch,
        batch=2,
        topology=topology,
        normalisation=(scheme,),
        generation=GenerationPlan(enriched=(EnrichedLabel(name="all", target=0, generation_class=0),)),
        iterations=STEPS,
        mirrored=True,
    )


def trained(
    plan: Plan, image: np.ndarray, labels: np.ndarray, affine: np.ndarray, *, steps: int = STEPS
) -> torch.nn.Module:
    """A network that was trained on patches of one scan."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    prepared = prepare(Volume(image[None].astype(np.float32), affine), plan)
    target = prepare_labels(labels.astype(np.int32), prepared.geometry, plan)
    network = build_network(Component(name="unet"), channels=1, classes=len(plan.labels), topology=plan.topology)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / steps) ** 0.9
        corner = [int(rng.integers(max(1, n - p + 1))) for n, p in zip(target.shape, plan.patch, strict=True)]
        box = tuple(slice(c, c + p) for c, p in zip(corner, plan.patch, strict=True))
        shown = torch.from_numpy(prepared.image[(slice(None), *box)].copy())[None]
        wanted = torch.from_numpy(target[box].astype(np.int64))[None]
        missing = [max(0, p - n) for p, n in zip(plan.patch, shown.shape[2:], strict=True)]
        assert not any(missing), "the scan is at least as large as the patch"
        loss = functional.cross_entropy(network(shown), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"{plan.dataset}: trained, loss {loss.item():.3f}", flush=True)
    return network.eval()


def write_run(folder: Path, plan: Plan, network: torch.nn.Module, classes: int) -> Path:
    """A run folder of the network with heads for `classes` classes."""
    weights = {name: value.detach().clone() for name, value in network.named_parameters()}
    extra = classes - len(plan.labels)
    if extra:
        kernel, bias = "decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"
        weights[kernel] = torch.cat([weights[kernel], torch.zeros(extra, *weights[kernel].shape[1:])])
        weights[bias] = torch.cat([weights[bias], torch.full((extra,), NEVER)])
        labels = (*plan.labels, *(LabelPlan(value=i, name=f"label {i}") for i in range(len(plan.labels), classes)))
        plan = plan.model_copy(update={"labels": labels})
    (folder / "fold_0").mkdir(parents=True)
    write_json(folder / "plan.json", plan)
    write_json(folder / "recipe.json", Recipe())
    save_weights(weights, folder / "fold_0" / "weights.safetensors")
    return folder


def side_by_side(
    images: Path, run: Path, peer: Path, place: Path, *, tta: bool, device: str, skip_peer: bool = False
) -> dict[str, Any]:
    """Both programs on a folder of scans."""
    ours, theirs, model = place / "ours", place / "theirs", place / "model"
    command = [str(Path(sys.executable).parent / "l2s_predict"), "-i", str(images), "-o", str(ours), "-m", str(run)]
    figures: dict[str, Any] = {"l2s_auto": measured([*command, "--device", device, *["--tta"] * tta], dict(os.environ))}
    if skip_peer:
        return figures
    export_model(run, model, format="nnunet")
    command = [str(peer.parent / "nnUNetv2_predict_from_modelfolder"), "-i", str(images), "-o", str(theirs)]
    command += [
        "-m",
        str(model),
        "-f",
        "0",
        "-device",
        device,
        "-npp",
        "1",
        "-nps",
        "1",
        *["--disable_tta"] * (not tta),
    ]
    try:
        figures["nnunet"] = measured(command, dict(os.environ))
    except SystemExit as failed:
        return {**figures, "nnunet": {"failed": str(failed)[-300:]}}
    figures["times_faster"] = round(figures["nnunet"]["seconds"] / figures["l2s_auto"]["seconds"], 2)
    figures["memory_ratio"] = round(figures["l2s_auto"]["peak_mb"] / figures["nnunet"]["peak_mb"], 2)
    figures["dice"] = agreement(ours, theirs)
    same = place / "same"
    command = [str(Path(sys.executable).parent / "l2s_predict"), "-i", str(images), "-o", str(same), "-m", str(model)]
    given = measured([*command, "--device", device, *["--tta"] * tta], dict(os.environ))
    figures["same_model_folder"] = {
        **given,
        "times_faster": round(figures["nnunet"]["seconds"] / given["seconds"], 2),
        "memory_ratio": round(given["peak_mb"] / figures["nnunet"]["peak_mb"], 2),
        "dice": agreement(same, theirs),
    }
    return figures


def fast_beside(folder: Path, usual: Path, run: Path, *, device: str) -> dict[str, Any]:
    """What --fast gains in seconds, and costs in Dice with the truth."""
    out = folder / "fast"
    command = [str(Path(sys.executable).parent / "l2s_predict"), "-i", str(folder / "in"), "-o", str(out)]
    found = measured([*command, "-m", str(run), "--device", device, "--fast"], dict(os.environ))
    truth = folder / "truth"
    return {**found, "dice_with_truth": agreement(out, truth), "usual_dice_with_truth": agreement(usual, truth)}


def agreement(ours: Path, theirs: Path) -> float | None:
    """The smallest Dice, over scans and labels, between the two."""
    worst = []
    for path in sorted(ours.glob("*.nii.gz")):
        one, two = (np.asanyarray(nib.load(folder / path.name).dataobj) for folder in (ours, theirs))
        for value in np.union1d(np.unique(one), np.unique(two)):
            if value:
                worst.append(
                    2 * np.sum((one == value) & (two == value)) / (np.sum(one == value) + np.sum(two == value))
                )
    return round(float(min(worst)), 5) if worst else None


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--peer-python", type=Path, help="Python of nnU-Net's environment; not needed with --no-peer")
    options.add_argument("--scans", nargs="*", choices=tuple(SCANS), default=["head", "ct"])
    options.add_argument("--steps", type=int, default=STEPS, help="updates of each network")
    options.add_argument("--classes", nargs="+", type=int, default=[3, MANY])
    options.add_argument("--tta", nargs="+", choices=("no", "yes"), default=["no", "yes"])
    options.add_argument("--folder", type=Path, help="a folder of small scans NAME_0000.nii.gz")
    options.add_argument("--most", type=int, default=100, help="of the scans of the folder")
    options.add_argument("--no-peer", action="store_true", help="our side alone")
    args = options.parse_args()
    if args.peer_python is None and not args.no_peer:
        options.error("give --peer-python, or --no-peer")
    figures: dict[str, Any] = {"machine": machine(args.device), "cores": os.cpu_count(), "scans": {}}
    with tempfile.TemporaryDirectory() as place:
        for name in args.scans:
            scan, folder = SCANS[name], Path(place) / name
            image, labels = make_scan(scan, np.random.default_rng(0))
            affine = np.diag([*scan.spacing, 1.0])
            (folder / "in").mkdir(parents=True)
            nib.save(nib.Nifti1Image(image, affine), folder / "in" / f"{name}_0000.nii.gz")
            (folder / "truth").mkdir()
            nib.save(nib.Nifti1Image(labels, affine), folder / "truth" / f"{name}.nii.gz")
            plan = make_plan(name, scan)
            network = trained(plan, image, labels, affine, steps=args.steps)
            del image, labels
            for classes in args.classes:
                run = write_run(folder / f"run_{classes}", plan, network, classes)
                for tta in args.tta:
                    title = f"{name}, {classes} classes, {'with' if tta == 'yes' else 'without'} TTA"
                    own = folder / f"{classes}_{tta}"
                    own.mkdir()
                    found = side_by_side(
                        folder / "in",
                        run,
                        args.peer_python,
                        own,
                        tta=tta == "yes",
                        device=args.device,
                        skip_peer=args.no_peer,
                    )
                    if tta == "no" and classes == args.classes[0] and not args.no_peer:
                        found["fast"] = fast_beside(folder, own / "ours", run, device=args.device)
                    figures["scans"][title] = found
                    print(title, json.dumps(found), flush=True)
        if args.folder is not None:
            figures["folder"] = of_folder(args, Path(place))
            print("folder", json.dumps(figures["folder"]), flush=True)
    finish(figures, args.json)


def of_folder(args: Any, place: Path) -> dict[str, Any]:
    """A folder of small scans, segmented by an untrained network: seconds a case."""
    images = place / "folder"
    images.mkdir()
    paths = sorted(args.folder.glob("*.nii.gz"))[: args.most]
    for path in paths:
        name = path.name if path.name.endswith("_0000.nii.gz") else path.name.replace(".nii.gz", "_0000.nii.gz")
        (images / name).symlink_to(path.resolve())
    small = Scan((36, 50, 35), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (40, 56, 40), None)
    plan = make_plan("folder", small)
    torch.manual_seed(0)
    network = build_network(Component(name="unet"), channels=1, classes=3, topology=plan.topology)
    run = write_run(place / "run_folder", plan, network, 3)
    found = {}
    for tta in args.tta:
        own = place / f"folder_{tta}"
        own.mkdir()
        started = time.monotonic()
        found["with TTA" if tta == "yes" else "without TTA"] = {
            "cases": len(paths),
            **side_by_side(
                images, run, args.peer_python, own, tta=tta == "yes", device=args.device, skip_peer=args.no_peer
            ),
            "all_seconds": round(time.monotonic() - started, 1),
        }
    return found


if __name__ == "__main__":
    main()
