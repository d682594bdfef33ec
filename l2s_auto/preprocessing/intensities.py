"""How bright each generation class is in a case."""

from __future__ import annotations

import numpy as np

from l2s_auto.core.counting import sums
from l2s_auto.core.plan import GenerationPlan

_FEWEST_VOXELS = 30  # of a class in a case, or it tells nothing


def class_intensities(image: np.ndarray, enriched: np.ndarray, generation: GenerationPlan) -> np.ndarray:
    """(2, C, G) mean and standard deviation of each class in each channel; NaN for one with hardly a voxel.

    image     (C, *S) normalised
    enriched  (*S) index into generation.enriched
    """
    of_label = np.zeros((len(generation.enriched), generation.classes))
    of_label[np.arange(len(of_label)), [label.generation_class for label in generation.enriched]] = 1
    flat = enriched.ravel()
    count = sums(flat, None, len(of_label)) @ of_label
    found = np.full((2, len(image), generation.classes), np.nan)
    for channel, values in enumerate(image):
        middle = float(values.mean(dtype=np.float64))
        about = values.ravel() - np.float32(middle)  # so that squares keep their digits
        mean = (sums(flat, about, len(of_label)) @ of_label) / np.maximum(count, 1)
        square = (sums(flat, about * about, len(of_label)) @ of_label) / np.maximum(count, 1)
        found[0, channel], found[1, channel] = (
            mean + float(np.float32(middle)),
            np.sqrt(np.maximum(0.0, square - mean**2)),
        )
    found[:, :, count < _FEWEST_VOXELS] = np.nan
    return found
