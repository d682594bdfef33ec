"""The parts of a training whose "real" scans come from the generator and a scanner with preset parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from l2s_auto.augmenters import build_augmenter
from l2s_auto.core.component import Component
from l2s_auto.core.composition import REAL_LIKE, Composition
from l2s_auto.core.plan import (
    ClassPrior,
    EnrichedLabel,
    GenerationPlan,
    LabelPlan,
    Normalisation,
    Plan,
    Topology,
    Triple,
)
from l2s_auto.core.recipe import Recipe
from l2s_auto.experiments.recovery.anatomies import Anatomies
from l2s_auto.experiments.recovery.presets import Preset
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.generator import Generator, Ranges
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.synthesis.resolution import ResolutionRanges
from l2s_auto.synthesis.texture import TextureRanges
from l2s_auto.synthesis.view import ViewRanges
from l2s_auto.training.build import Parts, build_parts, make_sampler

#: Class means vary by this from image to image, deviations within a class are about STD.
MEAN_SPREAD, STD, STD_SPREAD = 0.02, 0.02, 0.004
FEATURES = (8, 16, 32, 48)
BATCH = {2: 8, 3: 2}
REAL = {2: 16000, 3: 800}
#: Deformation alone.
PLAIN = Ranges(
    texture=TextureRanges(correlated=0.0),
    resolution=ResolutionRanges(partial=0.0, blur=0.0, thick=0.0),
    view=ViewRanges(cropped=0.0, black=0.0, flat=0.0, stripped=0.0),
    gamma=0.0,
)
#: Images of one call of the generator.
CHUNK = 40


def make_plan(anatomies: Anatomies, *, dimensions: int) -> Plan:
    """One generation class a tissue; the network finds those that are targets."""
    tissues = anatomies.tissues
    flat = dimensions == 2
    x, y, z = anatomies.maps.shape[1:]
    kernel, stride = ((1, 3, 3), (1, 2, 2)) if flat else ((3, 3, 3), (2, 2, 2))
    found = {target: name for target, name in zip(tissues.targets, tissues.names, strict=True) if target}
    spacing: Triple = anatomies.spacing
    return Plan(
        dataset="recovery",
        channels=("made-up MRI",),
        labels=(LabelPlan(value=0, name="background"), *(LabelPlan(value=t, name=n) for t, n in sorted(found.items()))),
        spacing=spacing,
        patch=(x, y, z),
        batch=BATCH[dimensions],
        topology=Topology(
            features=FEATURES,
            kernels=(kernel,) * len(FEATURES),
            strides=((1, 1, 1), *(stride,) * (len(FEATURES) - 1)),
            convolutions_encoder=(2,) * len(FEATURES),
            convolutions_decoder=(2,) * (len(FEATURES) - 1),
        ),
        normalisation=(Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
        generation=GenerationPlan(
            enriched=tuple(
                EnrichedLabel(name=name, target=target, generation_class=number)
                for number, (name, target) in enumerate(zip(tissues.names, tissues.targets, strict=True))
            ),
            priors=tuple(
                ClassPrior(mean=(mean,), mean_spread=(MEAN_SPREAD,), std=(STD,), std_spread=(STD_SPREAD,))
                for mean in tissues.brightness
            ),
        ),
        iterations=1,
    )


def make_generator(plan: Plan, device: torch.device) -> Generator:
    """Deformation and the brightness of one kind of scanner; whatever else theta could be taken for is left out."""
    return Generator(
        plan.generation,
        channels=1,
        spacing=plan.spacing,
        shape=plan.patch,
        composition=Composition({REAL_LIKE: 1.0}),
        device=device,
        ranges=PLAIN,
    )


@torch.no_grad()
def real_cases(
    anatomies: Anatomies, plan: Plan, scanner: Component, *, count: int, seed: int, device: torch.device
) -> list[StoredCase]:
    """ "Real" scans: deformed label maps and their images, once and for all, through the scanner."""
    random = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator = make_generator(plan, device)
    augmenter = build_augmenter(scanner, channels=1).to(device)
    cases: list[StoredCase] = []
    while len(cases) < count:
        size = min(CHUNK, count - len(cases))
        chosen = rng.integers(len(anatomies.maps), size=size)
        draw = generator.draw(size, random)
        layout = generator.layout(torch.from_numpy(anatomies.maps[chosen]).to(device).long(), draw)
        clean = generator.render(layout, draw)
        images = rescale(augmenter(clean, augmenter.draw(clean, random))).cpu().numpy()
        classes = layout.classes.to(torch.int16).cpu().numpy()
        cases += [StoredCase(f"scan {len(cases) + i}", images[i], classes[i]) for i in range(size)]
    return cases


def make_parts(
    anatomies: Anatomies, preset: Preset, recipe: Recipe, *, dimensions: int, real: int | None, device: torch.device
) -> Parts:
    """A training on the label maps, with real cases of the preset's scanner.

    real  number of real scans; None: the usual one
    """
    plan = make_plan(anatomies, dimensions=dimensions)
    scans = real_cases(
        anatomies, plan, preset.scanner, count=real or REAL[dimensions], seed=1000 + recipe.seed, device=device
    )
    maps = [StoredCase(f"map {i}", None, labels) for i, labels in enumerate(anatomies.maps)]
    parts = build_parts(plan, recipe, maps, device=device)
    return replace(
        parts, generator=make_generator(plan, device), scans=make_sampler(scans, plan, seed=recipe.seed, device=device)
    )
