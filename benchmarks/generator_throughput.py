"""Time of generating synthetic images: each step, beside cornucopia's, and as a share of a training iteration.

Images of 96^3 from brain label maps (54 labels), with every step of the generator on, and with the bias field and the
noise of A_theta too, since cornucopia's `SynthFromLabelTransform` makes these. That one runs with its defaults in a
process of its own, by an interpreter that has it:

    python3 -m venv peer && peer/bin/pip install torch numpy cornucopia==0.5.1
    python benchmarks/generator_throughput.py brain_label_maps --peer-python peer/bin/python

Rounds of both alternate, so that a busy machine slows both; `load` is the system's load average before the first.
Without --peer-python only this project's time is taken.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from made_up import make_cases, make_plan, plain_topology

from common import finish, machine, parser
from l2s_auto.augmenters import AUGMENTERS
from l2s_auto.core.composition import Composition, uniform
from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.separable import along_axes
from l2s_auto.networks.device import fast_dtype
from l2s_auto.synthesis.deform import DeformationRanges, coarse_positions, jacobian, refine
from l2s_auto.synthesis.generator import Generator, Ranges
from l2s_auto.synthesis.intensity import gamma, paint, rescale
from l2s_auto.synthesis.resolution import ResolutionRanges, blurring, sampling
from l2s_auto.synthesis.texture import texture
from l2s_auto.synthesis.thin import warp_labels
from l2s_auto.synthesis.view import ViewRanges
from l2s_auto.training.batches import MARGIN, draw_batch, draw_noise
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.step import synthetic_step

EDGE = 96
#: Every step in every image.
ALL = Ranges(
    deformation=DeformationRanges(flip=1.0),
    resolution=ResolutionRanges(thick=1.0),
    view=ViewRanges(cropped=1.0, black=0.5, flat=0.5, stripped=1.0),
)
#: (patch, batch, features) of the plans whose iterations are timed.
PLANS = (((64, 64, 64), 2, 8), ((64, 64, 64), 2, 16), ((40, 56, 40), 2, 16))
PEER = """
import json, sys, time
import numpy as np, torch
from cornucopia import SynthFromLabelTransform
torch.set_num_threads(int(sys.argv[2]))
labels = torch.from_numpy(np.load(sys.argv[1]).astype(np.int64))[None].to(sys.argv[3])
synth = SynthFromLabelTransform()
for line in sys.stdin:
    started = time.perf_counter()
    image, _ = synth(labels)
    image.sum().item()
    print(time.perf_counter() - started, flush=True)
"""


def read_labels(folder: Path, edge: int) -> tuple[np.ndarray, int]:
    """The first label map's middle, (edge,)³, as numbers from 0 on, and how many labels the whole map has."""
    path = sorted(folder.glob("*.nii*"))[0]
    values, labels = np.unique(np.asarray(nib.load(path).dataobj), return_inverse=True)
    labels = labels.reshape(nib.load(path).shape)
    start = [(n - edge) // 2 for n in labels.shape]
    return labels[tuple(slice(s, s + edge) for s in start)].astype(np.uint8), len(values)


def seconds(function: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Median of some rounds after one to warm up."""
    taken = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def brain_generator(labels: int, device: torch.device) -> Generator:
    """One class a label, clusters of unlabelled tissue aside."""
    enriched = [EnrichedLabel(name=str(i), target=i, generation_class=i) for i in range(labels)]
    plan = GenerationPlan(enriched=tuple(enriched))
    shape, spacing = (EDGE,) * 3, (1.0,) * 3
    random = Composition(uniform())
    return Generator(
        plan, channels=1, spacing=spacing, shape=shape, composition=random, device=device, ranges=ALL, flips=True
    )


@torch.no_grad()
def time_steps(generator: Generator, boxes: torch.Tensor, device: torch.device, rounds: int) -> dict[str, float]:
    """Seconds of each step of one image."""
    random = torch.Generator(device).manual_seed(0)
    draw = generator.draw(1, random)
    shape, box, spacing = generator.shape, tuple(boxes.shape[1:]), generator.spacing
    coarse = coarse_positions(draw.deformation, shape=shape, box=box, spacing=spacing)
    positions, slope, small = refine(coarse, shape), jacobian(coarse, shape), boxes.to(torch.uint8)
    layout = generator.layout(boxes, draw)
    image, noise = generator.render(layout, draw), texture(draw.texture, spacing)
    partial, slices = (lambda: blurring(draw.resolution.partial, shape)), (lambda: sampling(draw.resolution, shape))
    steps: dict[str, Callable[[], object]] = {
        "draw": lambda: generator.draw(1, random),
        "velocity, flow and affine": lambda: coarse_positions(draw.deformation, shape=shape, box=box, spacing=spacing),
        "positions": lambda: refine(coarse, shape),
        "labels, nearest": lambda: warp_labels(small, positions),
        "labels, thin ones kept": lambda: warp_labels(small, positions, slope),
        "texture": lambda: texture(draw.texture, spacing),
        "paint with partial volume": lambda: paint(layout.classes, draw.mixture, noise, mix=partial()),
        "point spread and slices": lambda: along_axes(image, slices()),
        "gamma": lambda: gamma(image, draw.gamma),
        "layout": lambda: generator.layout(boxes, draw),
        "render": lambda: generator.render(layout, draw),
        "rescale": lambda: rescale(image),
    }
    return {name: seconds(step, device, rounds) for name, step in steps.items()}


@torch.no_grad()
def compare(generator: Generator, boxes: torch.Tensor, device: torch.device, given) -> dict[str, float]:
    """Seconds an image of this project, and of the peer if there is one, in alternating rounds."""
    random, augmenter = torch.Generator(device).manual_seed(0), AUGMENTERS["parametric"]().to(device)

    def clean() -> torch.Tensor:
        return generator.apply(boxes, generator.draw(1, random)).image

    def augmented() -> torch.Tensor:
        image = clean()
        return rescale(augmenter(image, augmenter.draw(image, random)))

    figures = {"generator": [], "generator, bias field, noise": [], "cornucopia": []}
    with tempfile.TemporaryDirectory() as folder:
        peer = start_peer(given, boxes, Path(folder)) if given.peer_python else None
        for number in range(given.rounds + 1):
            taken = {
                "generator": seconds(clean, device, 5),
                "generator, bias field, noise": seconds(augmented, device, 5),
            }
            if peer is not None:
                taken["cornucopia"] = ask(peer)
            for name, value in taken.items() if number else ():
                figures[name].append(value)
        if peer is not None:
            peer.stdin.close()
            peer.wait()
    return {name: statistics.median(values) for name, values in figures.items() if values}


def start_peer(given, boxes: torch.Tensor, folder: Path) -> subprocess.Popen:
    """The peer's process: a line asks for an image, a line answers with its seconds."""
    margin = (boxes.shape[1] - EDGE) // 2
    middle = boxes[0, margin : margin + EDGE, margin : margin + EDGE, margin : margin + EDGE]
    np.save(folder / "labels.npy", middle.cpu().numpy().astype(np.uint8))
    command = [given.peer_python, "-c", PEER, str(folder / "labels.npy"), str(torch.get_num_threads()), given.device]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(peer: subprocess.Popen) -> float:
    peer.stdin.write("next\n")
    peer.stdin.flush()
    return float(peer.stdout.readline())


def share_of_iteration(parts: Parts, rounds: int) -> dict[str, float]:
    """Seconds of an iteration without a hyper-step, and of what in it makes the clean images."""
    plan, device = parts.plan, parts.device
    state = initial_state(parts)
    boxes = parts.sampler.sample(plan.batch, plan.patch, margin=MARGIN).enriched
    drawn = draw_batch(parts)

    def iteration() -> None:
        synthetic_step(parts, state, rate_scale=1.0)

    def generation() -> None:
        parts.generator.apply(boxes, parts.generator.draw(plan.batch, parts.random))

    image = drawn.rendered.clean.image
    with torch.no_grad():
        taken = {
            "reading boxes": seconds(
                lambda: parts.sampler.sample(plan.batch, plan.patch, margin=MARGIN), device, rounds
            ),
            "A_theta": seconds(
                lambda: parts.augmenter(image, draw_noise(parts, parts.augmenter, plan.batch, slice(None))),
                device,
                rounds,
            ),
            "rescale": seconds(lambda: rescale(drawn.rendered.clean.image), device, rounds),
        }
    taken |= {"generation": seconds(generation, device, rounds), "iteration": seconds(iteration, device, rounds)}
    return {**taken, "share": taken["generation"] / taken["iteration"]}


def plan_parts(patch: tuple[int, int, int], batch: int, features: int, device: torch.device) -> Parts:
    """A made-up training: U-Net of four stages, real-like images."""
    plan = make_plan(plain_topology(tuple(features * 2**i for i in range(4))), patch, batch)
    return build_parts(
        plan, Recipe(families={"real-like": 1.0}), make_cases(patch), device=device, autocast=fast_dtype(device)
    )


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("label_maps", type=Path, help="folder of label maps (NIfTI) with 54 labels")
    options.add_argument("--peer-python", help="interpreter that has cornucopia")
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    device = torch.device(given.device)
    labels, count = read_labels(given.label_maps, round(EDGE * (1 + MARGIN)))
    boxes = torch.from_numpy(labels).long()[None].to(device)
    generator = brain_generator(count, device)
    figures: dict = {"machine": machine(given.device), "load": os.getloadavg()[0], "edge": EDGE, "labels": count}
    figures["seconds_an_image"] = compare(generator, boxes, device, given)
    if given.peer_python:
        ours, peer = figures["seconds_an_image"], figures["seconds_an_image"]["cornucopia"]
        figures["times_cornucopia"] = {name: peer / value for name, value in ours.items() if name != "cornucopia"}
    print(json.dumps(figures, indent=1), flush=True)
    figures["seconds_a_step"] = time_steps(generator, boxes, device, given.rounds)
    print(json.dumps(figures["seconds_a_step"], indent=1), flush=True)
    figures["iterations"] = {}
    for patch, batch, features in PLANS:
        name = f"{' x '.join(map(str, patch))}, batch {batch}, {features} features"
        figures["iterations"][name] = share_of_iteration(plan_parts(patch, batch, features, device), given.rounds)
        print(name, json.dumps(figures["iterations"][name]), flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
