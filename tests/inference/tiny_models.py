"""Tiny models and scans for the tests of inference."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from safetensors.torch import load_file

from l2s_auto.core.dial import DIAL, ENDS, GENERAL, HOME, Aim, Dial
from l2s_auto.core.plan import EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan, Topology
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.json_files import write_json
from l2s_auto.networks import build_network, save_weights

NAMES = ("background", "Left part", "Right part")
VALUES = (0, 2, 77)


def make_plan(*, channels: int = 1) -> Plan:
    return Plan(
        dataset="Tiny",
        channels=tuple(f"channel {n}" for n in range(channels)),
        labels=tuple(LabelPlan(value=v, name=n) for v, n in zip(VALUES, NAMES, strict=True)),
        spacing=(1.0, 1.0, 1.0),
        patch=(8, 8, 8),
        batch=2,
        topology=Topology(
            features=(2, 4),
            kernels=((3, 3, 3), (3, 3, 3)),
            strides=((1, 1, 1), (2, 2, 2)),
            convolutions_encoder=(1, 1),
            convolutions_decoder=(1,),
        ),
        normalisation=(Normalisation(scheme="fixed", lower=0, upper=1),) * channels,
        generation=GenerationPlan(enriched=(EnrichedLabel(name="background", target=0, generation_class=0),)),
        iterations=1,
    )


class Threshold(torch.nn.Module):
    """Intensity below 0.3: background; up to 0.7: the first label; above: the second."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image[:, :1]
        return torch.cat([0.3 - x, torch.minimum(x - 0.3, 0.7 - x), x - 0.7], dim=1) * 50


def blocks(shape: tuple[int, int, int] = (12, 13, 14)) -> np.ndarray:
    """0 outside, 0.5 in one block, 1 in another."""
    image = np.zeros(shape, dtype=np.float32)
    x, y, z = shape
    image[2 : x // 2, 3 : y - 3, 2 : z - 3] = 0.5
    image[x // 2 + 2 : x - 2, 3 : y - 3, 2 : z - 3] = 1.0
    return image


def expected_labels(image: np.ndarray) -> np.ndarray:
    return np.where(image > 0.7, 77, np.where(image > 0.3, 2, 0))


def write_scan(path: Path, image: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(image, np.eye(4) if affine is None else affine), path)
    return path


def write_run(folder: Path, *, folds: tuple[str, ...] = ("fold_0",), channels: int = 1) -> Path:
    """A run folder with an untrained network in each fold."""
    plan, recipe = make_plan(channels=channels), Recipe()
    write_json(folder / "plan.json", plan)
    write_json(folder / "recipe.json", recipe)
    for number, name in enumerate(folds):
        torch.manual_seed(number)
        network = build_network(
            recipe.network, channels=plan.input_channels, classes=len(plan.labels), topology=plan.topology
        )
        save_weights(network, folder / name / "weights.safetensors")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    """Of a table in CSV."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_dial(
    fold: Path,
    a: float = 0.5,
    *,
    aim: Aim = "both",
    chosen: dict[Aim, float] | None = None,
    threshold: float | None = 0.9,
    like_home: bool = False,
) -> Dial:
    """Both ends of a fold that `write_run` made, and its dial: the general weights are those that it has.

    like_home  whether the weights at home are the general ones
    """
    general = load_file(fold / "weights.safetensors")
    home = {name: value.clone() if like_home else value.flip(0) + 0.1 for name, value in general.items()}
    save_weights({end + n: v for end, own in ((GENERAL, general), (HOME, home)) for n, v in own.items()}, fold / ENDS)
    point = {name: (1 - a) * value + a * home[name] for name, value in general.items()}
    save_weights(point, fold / "weights.safetensors")
    points = {"home": 1.0, "both": 0.5, "anywhere": 0.0} if chosen is None else chosen
    dial = Dial(aim=aim, a=a, chosen=points, threshold=threshold)
    write_json(fold / DIAL, dial)
    return dial


class Doubting(Threshold):
    """As Threshold, but blind for what is brighter than 1.2."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.where(image > 1.2, torch.zeros_like(image), image))


def bright(shape: tuple[int, int, int] = (12, 13, 14)) -> np.ndarray:
    """`blocks` whose second block is brighter than any that `Doubting` sees."""
    image = blocks(shape)
    return np.where(image == 1, np.float32(1.4), image)
