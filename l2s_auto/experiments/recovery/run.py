"""The paper's synthetic experiment: can Learn2Synth find what a scanner with known parameters does?"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from l2s_auto.core.component import Component
from l2s_auto.core.composition import REAL_LIKE
from l2s_auto.core.errors import UserError
from l2s_auto.core.interrupts import check_interrupt
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.streams import bar_stream
from l2s_auto.experiments.folder import make_folder
from l2s_auto.experiments.recovery.anatomies import Anatomies, load_anatomies
from l2s_auto.experiments.recovery.presets import EXPONENT_NAMES, PRESETS, Preset
from l2s_auto.experiments.recovery.problem import make_parts
from l2s_auto.experiments.recovery.report import draw_paths, table
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.networks.device import choose_device
from l2s_auto.training.build import Parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.writer import theta_as_read

#: mm of a voxel: slices and volumes that a CPU trains on in minutes.
SPACING = {2: 4.0, 3: 6.0}
ITERATIONS = {2: 3000, 3: 800}
WARM_UP = 0.3
#: Theta is the mean over this last part of the training.
AVERAGED = 1 / 4
#: name -> method, and what its recipe has of its own
ESTIMATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "matching": ("learn2synth-matched", {}),
    "one-step": ("learn2synth", {"hyper_every": 2, "outer_optimiser": Component(name="adam", options={"rate": 0.02})}),
}
LOGGED = 10


@dataclass(frozen=True)
class Found:
    """What a training found.

    preset, start, theta  by name: what the scanner has, what learning began with, the mean at the end
    spread                standard deviation of theta over the iterations of that mean
    path                  [[iteration, {name: value}], ...]
    """

    name: str
    estimator: str
    seed: int
    preset: dict[str, float]
    start: dict[str, float]
    theta: dict[str, float]
    spread: dict[str, float]
    path: list[tuple[int, dict[str, float]]]
    seconds: float

    @property
    def sigma_error(self) -> float:
        """The largest error of a number of the noise."""
        return max(abs(self.theta[name] - self.preset[name]) for name in self.preset if name.startswith("sigma"))

    @property
    def exponent_error(self) -> float:
        """The mean error of the exponents."""
        return float(np.mean([abs(self.theta[name] - self.preset[name]) for name in EXPONENT_NAMES]))

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "sigma_error": self.sigma_error, "exponent_error": self.exponent_error}


def recovery(
    output: Path,
    *,
    data: Path | None = None,
    presets: Sequence[str] | None = None,
    estimators: Sequence[str] = ("matching",),
    dimensions: int = 2,
    iterations: int | None = None,
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    overwrite: bool = False,
) -> Path:
    """Train on each preset's scans, and write recovery.json and recovery.png below `output`; returns the picture.

    data        folder of label maps; None: phantoms
    presets     names of PRESETS; None: all
    estimators  names of ESTIMATORS
    dimensions  2 (slices) or 3
    overwrite   whether files in `output` may be replaced that no experiment wrote
    Settings that `output` holds already, of the same data and options, are not trained again; the table and the files
    are those of the settings that are asked for. Raises UserError.
    """
    chosen = [choose(name, PRESETS, option="--presets") for name in presets or PRESETS]
    for name in estimators:
        choose(name, ESTIMATORS, option="--estimators")
    count = iterations or ITERATIONS[dimensions]
    where = choose_device(device)
    make_folder(output, picture="recovery.png", inside="settings", data=data, overwrite=overwrite)
    anatomies = load_anatomies(data, dimensions=dimensions, spacing=SPACING[dimensions], seed=0)
    of = digest(anatomies)
    rows: list[dict[str, Any]] = []
    for preset in chosen:
        for estimator in estimators:
            for seed in seeds:
                setting = f"{first_of(preset).name}, {estimator}, {dimensions}D, seed {seed}, {count}, maps {of}.json"
                place = output / "settings" / setting
                row = read_json(place) if place.exists() else None
                if not isinstance(row, dict) or not {field.name for field in fields(Found)} <= set(row):
                    found = recover(
                        preset, anatomies, estimator, dimensions=dimensions, iterations=count, seed=seed, device=where
                    )
                    row = found.row()
                    write_json(place, row)
                rows.append({**row, "name": preset.name})
    print(table(rows))
    result = {"data": data.resolve().name if data else "phantoms", "dimensions": dimensions, "iterations": count}
    write_json(output / "recovery.json", {**result, "device": str(where), "settings": rows})
    return draw_paths(rows, output / "recovery.png")


def first_of(preset: Preset) -> Preset:
    """The first of the presets that are the same scanner: they share a training."""
    return next((known for known in PRESETS.values() if known.theta == preset.theta), preset)


def digest(anatomies: Anatomies) -> str:
    """What the label maps, as they are trained on, are known by."""
    return hashlib.sha256(anatomies.maps.tobytes() + repr(anatomies.maps.shape).encode()).hexdigest()[:8]


def choose(name: str, known: Any, *, option: str) -> Any:
    """The value of that name. UserError with those there are."""
    if name in known:
        return known[name]
    raise UserError.single(
        "The experiment has no such setting.",
        where=option,
        found=repr(name),
        expected=f"among {', '.join(map(repr, known))}",
        mend="Correct the name.",
    )


def recover(
    preset: Preset,
    anatomies: Anatomies,
    estimator: str,
    *,
    dimensions: int,
    iterations: int,
    seed: int,
    device: torch.device,
    real: int | None = None,
) -> Found:
    """One training from the start values on scans of the preset's scanner."""
    method, options = ESTIMATORS[estimator]
    recipe = Recipe(
        method=Component(name=method),
        augmenter=preset.learner,
        iterations=iterations,
        warm_up=WARM_UP,
        families={REAL_LIKE: 1.0},
        home=0.0,
        seed=seed,
        **options,
    )
    parts = make_parts(anatomies, preset, recipe, dimensions=dimensions, real=real, device=device)
    started = time.monotonic()
    start = theta_as_read(parts, initial_state(parts))
    path = follow(parts, METHODS[method](), iterations, title=f"{preset.name}, {estimator}")
    averaged = [theta for iteration, theta in path if iteration > iterations * (1 - AVERAGED)]
    return Found(
        name=preset.name,
        estimator=estimator,
        seed=seed,
        preset=preset.theta,
        start=start,
        theta={name: float(np.mean([theta[name] for theta in averaged])) for name in start},
        spread={name: float(np.std([theta[name] for theta in averaged])) for name in start},
        path=path,
        seconds=time.monotonic() - started,
    )


def follow(parts: Parts, method: Any, iterations: int, *, title: str) -> list[tuple[int, dict[str, float]]]:
    """Train, and note theta now and then."""
    state = initial_state(parts)
    path = []
    stream = bar_stream()
    interval = 0.5 if stream.isatty() else 30.0
    for number in tqdm(range(iterations), desc=title, mininterval=interval, leave=False, file=stream):
        check_interrupt()
        state = method.step(parts, state, progress=number / iterations).state
        state.step += 1
        if state.step % LOGGED == 0 or state.step == iterations:
            path.append((state.step, theta_as_read(parts, state)))
    return path
