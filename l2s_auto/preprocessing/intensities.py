"""How bright each generation class is in a case."""

from __future__ import annotations

import numpy as np

from l2s_auto.core.counting import moments
from l2s_auto.core.plan import GenerationPlan

_FEWEST_VOXELS = 30  # of a class in a case, or it tells nothing


def class_intensities(image: np.ndarray, enriched: np.ndarray, generation: GenerationPlan) -> np.ndarray:
    """(2, C, G) mean and standard deviation of each class in each channel; NaN for one with hardly a voxel.

    image     (C, *S) normalised
    enriched  (*S) index into generation.enriched
    """
    class_of = np.array([label.generation_class for label in generation.enriched], dtype=np.uint16)
    flat = class_of[enriched.ravel()]
    found = np.full((2, len(image), generation.classes), np.nan)
    for channel, values in enumerate(image):
        count, *found[:, channel] = moments(flat, values.ravel(), generation.classes)
        found[:, channel, count < _FEWEST_VOXELS] = np.nan
    return found
