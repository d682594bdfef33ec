"""Time of a prediction in which each scan chooses its weights (`--aim each`), in times of `--aim home`.

Made-up scans of three kinds: crops that are seen in one window, a large scan with structures in a small part of it,
and one that is filled by structures. The networks compute as a U-Net does, and answer by intensity, so that nothing
need be trained. "agree" is a scan on which both ends of the model agree, "disagree" one on which they do not, which is
then segmented by the general weights.

    OMP_NUM_THREADS=1 python benchmarks/aim_each.py --json results.json
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np
import torch

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.aim import Setting
from l2s_auto.inference.load import Model
from l2s_auto.inference.predict import predict
from l2s_auto.networks import build_network
from l2s_auto.planning.topology import determine_topology

#: Background and two structures.
LABELS = 3
ALWAYS, NEVER = 0.0, 2.0  # thresholds: each scan takes the weights for home, or the general ones


@dataclass(frozen=True)
class Kind:
    """Scans of one kind, in voxels: how many, their extent, and that of the structures in their middle."""

    count: int
    extent: int
    structures: int


class ByIntensity(torch.nn.Module):
    """A U-Net whose answer is exchanged for that of three thresholds; it counts the windows that it sees."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.windows = network, 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.windows += len(image)
        self.network(image)
        return torch.cat([0.4 - image, torch.minimum(image - 0.4, 0.8 - image), image - 0.8], dim=1)


def make_model(patch: int, features: int) -> Model:
    """Both ends are alike: what a scan takes is the threshold's matter."""
    topology, sizes = determine_topology((1.0, 1.0, 1.0), (patch,) * 3, base_features=features)
    plan = Plan(
        dataset="made-up",
        channels=("MRI",),
        labels=tuple(LabelPlan(value=k, name="background" if k == 0 else f"label {k}") for k in range(LABELS)),
        spacing=(1.0, 1.0, 1.0),
        patch=sizes,
        batch=2,
        topology=topology,
        normalisation=(Normalisation(scheme="fixed", lower=0.0, upper=1.0),),
        generation=GenerationPlan(enriched=(EnrichedLabel(name="all", target=0, generation_class=0),)),
        iterations=1,
    )
    torch.manual_seed(0)
    ends = [
        ByIntensity(build_network(Component(name="unet"), channels=1, classes=LABELS, topology=topology)).eval()
        for _ in range(2)
    ]
    return Model(
        plan, Recipe(), (ends[0],), source=Path("made-up"), hash="0" * 64, folds=("fold_0",), general=(ends[1],)
    )


def write_scans(folder: Path, kind: Kind) -> Path:
    """Noise, and in its middle a cube of two structures."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    start = (kind.extent - kind.structures) // 2
    middle = slice(start, start + kind.structures)
    for number in range(kind.count):
        image = rng.uniform(0, 0.3, (kind.extent,) * 3).astype(np.float32)
        image[middle, middle, middle] += 0.3
        image[start + kind.structures // 2 : start + kind.structures, middle, middle] += 0.4
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / f"case_{number}.nii.gz")
    return folder


def compare(model: Model, scans: Path, place: Path, *, rounds: int, device: str) -> dict[str, object]:
    """Seconds and windows of a prediction by each aim, and the ratios of time to `home`.

    Ratios are of the processor's time, which other programs disturb less; on another device, of the wall's.
    """
    clock = time.process_time if device == "cpu" else time.monotonic
    aims = {
        "home": Setting("home", (1.0,)),
        "agree": Setting("each", (1.0,), ALWAYS, as_stored=False),
        "disagree": Setting("each", (1.0,), NEVER, as_stored=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in aims}
    windows: dict[str, int] = {}
    ends = (*model.networks, *model.general)
    for turn in range(rounds):
        for name, setting in aims.items():
            for end in ends:
                end.windows = 0
            started = clock()
            predict(scans, place / f"{name} {turn}", model=replace(model, setting=setting), device=device, workers=0)
            seconds[name].append(clock() - started)
            windows[name] = sum(end.windows for end in ends)
    each = {name: [own / home for own, home in zip(seconds[name], seconds["home"], strict=True)] for name in aims}
    return {
        "seconds": {name: round(median(values), 3) for name, values in seconds.items()},
        "time ratio": {name: round(median(values), 3) for name, values in each.items() if name != "home"},
        "windows": windows,
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--patch", type=int, default=32, help="edge of a window, voxels")
    options.add_argument("--features", type=int, default=8, help="of the network's first stage")
    options.add_argument("--extent", type=int, default=112, help="edge of the large scans, voxels")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    patch, extent = given.patch, given.extent
    kinds = {
        "one window": Kind(8, patch - 4, patch // 2),
        "structures in a small part": Kind(1, extent, patch // 2),
        "filled by structures": Kind(1, extent, extent - 2),
    }
    model = make_model(patch, given.features)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in kinds.items():
            place = Path(folder) / name
            scans = write_scans(place / "scans", kind)
            rows[name] = compare(model, scans, place, rounds=given.rounds, device=given.device)
            print(name, rows[name], flush=True)
    setting = {"patch": model.plan.patch, "features": given.features, "extent": extent}
    finish({"machine": machine(given.device), "setting": setting, "rows": rows}, given.json)


if __name__ == "__main__":
    main()
