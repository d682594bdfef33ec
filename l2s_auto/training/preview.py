"""A picture of what the network will see, before any time is spent on training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from l2s_auto.report.preview import Example, synthetic_preview
from l2s_auto.training.batches import augment, draw_batch
from l2s_auto.training.build import Parts


@torch.no_grad()
def write_preview(parts: Parts, path: Path) -> Path:
    """Three real cases, their enriched classes, and nine training images, as a PNG."""
    cases = [
        Example(None if case.image is None else np.asarray(case.image)[0], np.asarray(case.enriched))
        for case in parts.sampler.cases[:3]
    ]
    theta = {name: p.detach() for name, p in parts.augmenter.named_parameters()}
    synthetic = []
    for _ in range(9):
        drawn = draw_batch(parts, batch=1)
        image = augment(parts, theta, drawn)[0, 0].cpu().numpy()
        synthetic.append(Example(image, drawn.target[0].cpu().numpy()))
    return synthetic_preview(parts.plan.generation, cases, synthetic, path, spacing=parts.plan.spacing)
