"""A picture of what the network will see, before any time is spent on training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from l2s_auto.report.figures import synthetic_preview
from l2s_auto.training.build import Parts
from l2s_auto.training.step import augment, draw_synthetic


@torch.no_grad()
def write_preview(parts: Parts, path: Path) -> Path:
    """Three real cases, their enriched classes, and nine synthetic images, as a PNG."""
    real, enriched = [], []
    for case in parts.sampler.cases[:3]:
        if case.image is not None:
            real.append(np.asarray(case.image)[0])
        enriched.append(np.asarray(case.enriched))
    theta = {name: p.detach() for name, p in parts.augmenter.named_parameters()}
    images = [augment(parts, theta, draw_synthetic(parts, batch=1))[0, 0].cpu().numpy() for _ in range(9)]
    return synthetic_preview(real, enriched, images, path, spacing=parts.plan.spacing)
