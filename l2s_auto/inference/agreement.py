"""Each scan chooses its weights: those for home where both ends of the model agree, the general ones elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from l2s_auto.core.counting import counts_of, number_of
from l2s_auto.inference.load import Model
from l2s_auto.inference.scan import Scan, Segmented, segment, with_context

Progress = Callable[[int, int], None]


def agreement(first: np.ndarray, second: np.ndarray, values: Iterable[int]) -> float:
    """(X, Y, Z) label maps of one grid -> mean Dice over the labels `values`, in [0, 1].

    Labels that neither has are left out; where none is left, both agree: 1.
    """
    wanted = [value for value in values if value != 0]
    known = np.asarray(sorted({0, *wanted}), dtype=np.int64)
    voxels, same = np.zeros((2, len(known)), dtype=np.int64)
    for one, other in zip(first, second, strict=True):  # planes, so that little memory is needed
        a, b = number_of(one, known).ravel(), number_of(other, known).ravel()
        voxels += counts_of(a, len(known)) + counts_of(b, len(known))
        same += counts_of(a[a == b], len(known))
    places = np.searchsorted(known, wanted)
    dice = [2 * int(same[place]) / int(voxels[place]) for place in places if voxels[place]]
    return fmean(dice) if dice else 1.0


def segment_scan(
    scan: Scan,
    model: Model,
    *,
    device: torch.device,
    overlap: float,
    tta: bool,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Segmented:
    """As `segment`; where each scan chooses, by both ends, one after the other, of which the chosen one is returned.

    Reading, preprocessing, and the first network of a cascade are done once for both. Each end sees the same windows:
    the threshold was measured on complete segmentations, before small pieces are left out.
    """
    threshold = model.setting.threshold
    if threshold is None:
        return segment(scan, model, device=device, overlap=overlap, tta=tta, scratch=scratch, progress=progress)
    scan, model = with_context(scan, model, device=device, overlap=overlap, tta=tta)

    def found_by(networks: tuple[torch.nn.Module, ...], number: int) -> Segmented:
        return segment(
            scan,
            replace(model, networks=networks),
            device=device,
            overlap=overlap,
            tta=tta,
            scratch=scratch,
            progress=_half(progress, number),
        )

    home = found_by(model.networks, 0)
    try:
        general = found_by(model.general, 1)
    except BaseException:
        home.close()
        raise
    return choose(home, general, model, threshold)


def choose(home: Segmented, general: Segmented, model: Model, threshold: float) -> Segmented:
    """The one that a scan takes, with the reason; the other one gives its disk back."""
    found = agreement(home.labels, general.labels, model.plan.label_values)
    if found >= threshold:
        general.close()
        return replace(home, agreement=round(found, 4), end="home")
    home.close()
    return replace(general, agreement=round(found, 4), end="general", notes=(disagreement(found, threshold),))


def disagreement(found: float, threshold: float) -> str:
    """A sentence on a scan for which the general weights were used."""
    digits = next((n for n in range(2, 5) if f"{found:.{n}f}" != f"{threshold:.{n}f}"), 5)
    return (
        f"The two ends of the model disagree on this scan (Dice {found:.{digits}f}, usually above "
        f"{threshold:.{digits}f}): it looks unlike the training scans; the general weights were used."
    )


def _half(progress: Progress | None, number: int) -> Progress | None:
    """Progress of the first (0) or the second (1) of two passes over as many windows."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, 2 * total)
