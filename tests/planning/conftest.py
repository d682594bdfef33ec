"""Fingerprints made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from l2s_auto.core.plan import CaseFingerprint, Fingerprint, Statistics


@pytest.fixture
def fingerprint_of() -> Callable[..., Fingerprint]:
    """Shapes, spacings and label intensities -> a Fingerprint.

    means, stds  label value -> one number a channel, the same in every case, or one such dict a case
    """

    def make(
        shapes: Sequence[tuple[int, int, int]] = ((36, 50, 35),),
        spacings: Sequence[tuple[float, float, float]] | None = None,
        means=None,
        stds=None,
        labels=None,
        channels=("MRI",),
        sample=(),
    ) -> Fingerprint:
        labels = labels or {0: "background", 1: "a", 2: "b"}
        spacings = spacings or [(1.0, 1.0, 1.0)] * len(shapes)
        cases = []
        for index, (shape, spacing) in enumerate(zip(shapes, spacings, strict=True)):
            mean = (means[index] if isinstance(means, list) else means) or {}
            std = (stds[index] if isinstance(stds, list) else stds) or {}
            cases.append(
                CaseFingerprint(
                    id=f"case {index}",
                    subject=f"case {index}",
                    shape=shape,
                    spacing=spacing,
                    label_volume=dict.fromkeys(mean or labels, 100.0),
                    label_mean=mean,
                    label_std=std,
                )
            )
        summary = Statistics(
            mean=1, std=1, minimum=0, percentile_00_5=0, median=1, percentile_99_5=2, maximum=3, count=10
        )
        return Fingerprint(
            dataset="made",
            channels=channels,
            labels=labels,
            cases=tuple(cases),
            intensity=(summary,) * len(channels),
            unlabelled_sample=tuple(np.asarray(sample, dtype=float).tolist()),
        )

    return make
