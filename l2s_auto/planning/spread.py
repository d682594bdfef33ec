"""Labels that hold more than one tissue: split by intensity into three parts, as unlabelled tissue is into clusters.

A label drawn as one Gaussian has no inner structure. Where a label's intensities vary much more than those within a
cluster of tissue (fluid beside grey matter, say), it is drawn as three parts instead. Where they lie follows from
the label's mean and standard deviation, as the best three levels for a Gaussian: -1.224, 0 and 1.224 standard
deviations, which leave 0.19 of its variance (Max, IRE Transactions on Information Theory 1960, table I).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2s_auto.core.plan import ClassPrior

LEVELS = (-1.224, 0.0, 1.224)
LEFT_OVER = 0.1902
#: A label is split if its standard deviation is larger than that of a usual cluster by this factor.
WIDE = 1.5


def is_wide(prior: ClassPrior, clusters: Sequence[ClassPrior]) -> bool:
    """Whether a label's intensities (first channel) vary more than one tissue's usually do."""
    return prior.std[0] > WIDE * float(np.median([cluster.std[0] for cluster in clusters]))


def parts_of(prior: ClassPrior, *, residual: float) -> list[ClassPrior]:
    """The three parts of a label, darkest first. Channels other than the first, which is what splits, stay as they are.

    residual  standard deviation that smoothing before clustering takes away (noise): each part has all of it
    """
    structure = max(prior.std[0] ** 2 - residual**2, 0.0)
    std = round(float(np.sqrt(LEFT_OVER * structure + residual**2)), 4)
    return [
        prior.model_copy(
            update={
                "mean": (round(prior.mean[0] + level * float(np.sqrt(structure)), 4), *prior.mean[1:]),
                "std": (std, *prior.std[1:]),
            }
        )
        for level in LEVELS
    ]
