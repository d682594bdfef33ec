"""A made-up dataset for measurements of cost: plan, cases, and the peak of memory."""

from __future__ import annotations

import resource
import sys

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from l2s_auto.core.plan import (
    CaseFingerprint,
    ClassPrior,
    EnrichedLabel,
    Fingerprint,
    GenerationPlan,
    LabelPlan,
    Normalisation,
    Plan,
    Statistics,
    Topology,
)
from l2s_auto.preprocessing.store import StoredCase


def make_plan(topology: Topology, patch: tuple[int, int, int], batch: int) -> Plan:
    """Three labels and five tissues."""
    enriched = [EnrichedLabel(name=f"tissue {i}", target=0, generation_class=i, centre=i / 5) for i in range(5)]
    enriched += [EnrichedLabel(name=f"label {i}", target=i, generation_class=5) for i in (1, 2)]
    return Plan(
        dataset="made up",
        channels=("MRI",),
        labels=tuple(LabelPlan(value=i, name=str(i)) for i in range(3)),
        spacing=(1.0, 1.0, 1.0),
        patch=patch,
        batch=batch,
        topology=topology,
        normalisation=(Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
        generation=GenerationPlan(
            enriched=tuple(enriched),
            priors=(ClassPrior(mean=(0.5,), mean_spread=(0.1,), std=(0.05,), std_spread=(0.01,)),) * 6,
        ),
        iterations=1000,
    )


def plain_fingerprint(shape: tuple[int, int, int], count: int = 4) -> Fingerprint:
    """Cases of one shape, 1 mm voxels and two labels."""
    cases = tuple(
        CaseFingerprint(
            id=str(number),
            subject=str(number),
            shape=shape,
            spacing=(1.0, 1.0, 1.0),
            label_volume={0: 1e5, 1: 100.0, 2: 100.0},
            label_mean={0: (0.5,), 1: (0.3,), 2: (0.7,)},
            label_std={0: (0.2,), 1: (0.1,), 2: (0.1,)},
        )
        for number in range(count)
    )
    intensity = Statistics(
        mean=0.5, std=0.1, minimum=0.0, percentile_00_5=0.0, median=0.5, percentile_99_5=1.0, maximum=1.0, count=1
    )
    labels = {0: "background", 1: "1", 2: "2"}
    return Fingerprint(dataset="made up", channels=("MRI",), labels=labels, cases=cases, intensity=(intensity,))


def plain_topology(features: tuple[int, ...]) -> Topology:
    """Isotropic, two convolutions a stage."""
    n = len(features)
    return Topology(
        features=features,
        kernels=((3, 3, 3),) * n,
        strides=((1, 1, 1), *((2, 2, 2),) * (n - 1)),
        convolutions_encoder=(2,) * n,
        convolutions_decoder=(2,) * (n - 1),
    )


def make_cases(patch: tuple[int, int, int], count: int = 4) -> list[StoredCase]:
    """Smooth random tissues and labels, and images in which they differ."""
    rng = np.random.default_rng(0)
    smooth = [min(4.0, n / 8) for n in patch]
    cases = []
    for number in range(count):
        fields = np.stack([gaussian_filter(rng.standard_normal(patch), smooth) for _ in range(7)])
        enriched = fields.argmax(0).astype(np.uint8)
        image = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.6, 0.6])[enriched] + 0.05 * rng.standard_normal(patch)
        cases.append(StoredCase(str(number), image.astype(np.float32)[None], enriched))
    return cases


def peak(device: torch.device) -> float:
    """Peak memory of this process in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
