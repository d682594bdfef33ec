"""A plan and volumes to prepare."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan, Topology
from l2s_auto.core.types import Volume

VALUES = (0, 2, 77)


@pytest.fixture
def plan_at() -> Callable[..., Plan]:
    """Spacing in mm -> a plan for one channel and the labels 0, 2, 77."""

    def make(spacing=(1.0, 1.0, 1.0), **changes) -> Plan:
        enriched = (
            EnrichedLabel(name="dark", target=0, generation_class=0, centre=0.2),
            EnrichedLabel(name="bright", target=0, generation_class=1, centre=0.8),
            EnrichedLabel(name="two", target=1, generation_class=2),
            EnrichedLabel(name="many", target=2, generation_class=2),
        )
        values = {
            "dataset": "made",
            "channels": ("MRI",),
            "labels": tuple(LabelPlan(value=value, name=f"label {value}") for value in VALUES),
            "spacing": spacing,
            "patch": (16, 16, 16),
            "batch": 2,
            "topology": Topology(
                features=(8,),
                kernels=((3, 3, 3),),
                strides=((1, 1, 1),),
                convolutions_encoder=(2,),
                convolutions_decoder=(),
            ),
            "normalisation": (Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
            "generation": GenerationPlan(enriched=enriched, smoothing_mm=0.7),
            "iterations": 10,
        }
        return Plan(**{**values, **changes})

    return make


@pytest.fixture
def scan() -> Volume:
    """An asymmetric image inside an outside of zeros; oblique, slightly sheared, anisotropic."""
    rng = np.random.default_rng(1)
    data = np.zeros((1, 22, 26, 17), dtype=np.float32)
    data[0, 6:18, 5:24, 5:14] = rng.uniform(100, 900, (12, 19, 9))
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0.02], [np.sin(angle), np.cos(angle), 0.01], [0.0, 0.03, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.8, 1.1, 2.0])
    affine[:3, 3] = [-30.0, 12.0, 7.0]
    return Volume(data=data, affine=affine)


@pytest.fixture
def label_map(scan: Volume) -> np.ndarray:
    """(X, Y, Z) labels 0, 2, 77 inside the scan's nonzero part."""
    labels = np.zeros(scan.data.shape[1:], dtype=np.int32)
    labels[8:14, 8:20, 6:12] = 2
    labels[10:16, 12:15, 8:13] = 77
    return labels
