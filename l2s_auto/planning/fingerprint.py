"""Measure a dataset: grids, intensities, label volumes. One case in memory at a time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from scipy import ndimage

from l2s_auto.core.counting import counts_of, moments, number_of, values_of
from l2s_auto.core.digits import relative
from l2s_auto.core.plan import SMOOTHING_ENDS, CaseFingerprint, Fingerprint, Statistics, Triple
from l2s_auto.core.types import Case, Dataset
from l2s_auto.io.parallel import map_cases
from l2s_auto.planning.modality import Modality, guess, usual
from l2s_auto.planning.pieces import label_pieces, labelled_box, touching_labels
from l2s_auto.planning.places import label_places

SMOOTHING = 0.7  # sigma of the smoothing before tissue is clustered, in units of the smallest voxel edge
_UNLABELLED = 20_000  # intensities kept of unlabelled tissue, over all cases: enough for a histogram
_LOOKED_AT, _SLAB = 2_000_000, 16  # voxels of a case that the sample is from, about; planes of a slab
_FOREGROUND = 200_000  # intensities kept of the foreground for percentiles, a channel over all cases


class MeasurableCase(Protocol):
    """A case as the fingerprint wants it, in canonical axes, cropped as for training.

    image    (C, *S) float32, normalised; C = 0 without an image
    raw      (C, *S) float32, original units
    labels   (*S) original label values
    spacing  mm
    orientation  codes of the file's axes, such as RAS
    """

    @property
    def image(self) -> np.ndarray: ...
    @property
    def raw(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def spacing(self) -> Triple: ...
    @property
    def orientation(self) -> str: ...


@dataclass(frozen=True)
class _Moments:
    """Of one case's foreground, one entry a channel: what adds up over cases, and a sample for percentiles."""

    count: int
    total: np.ndarray
    squares: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    sample: np.ndarray  # (C, N)


@dataclass(frozen=True)
class MeasuredCase:
    """Of one case; `fingerprint_of` puts them together."""

    case: CaseFingerprint
    foreground: _Moments
    unlabelled: np.ndarray
    residual: float
    modalities: tuple[Modality, ...]


def take_fingerprint(
    dataset: Dataset,
    *,
    read: Callable[[Case], MeasurableCase],
    workers: int = 0,
    seed: int = 0,
    content: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Fingerprint:
    """Measure every case of a dataset.

    read      brings a case into canonical axes and normalises it; importable by name if workers > 0
    workers   processes; 0 = all in this one
    seed      of the random samples; the same seed gives the same fingerprint, whatever the workers
    content   what `content_of` gives
    progress  called with (cases done, cases in all)
    """
    jobs = list(enumerate(dataset.cases))
    measure = partial(_read_and_measure, read=read, seed=seed, cases=len(jobs))
    measured = map_cases(measure, jobs, name=lambda job: job[1].id, workers=workers, progress=progress)
    return fingerprint_of(dataset, measured, content=content)


def _read_and_measure(
    job: tuple[int, Case], *, read: Callable[[Case], MeasurableCase], seed: int, cases: int
) -> MeasuredCase:
    number, case = job
    return measure_case(number, case, read(case), seed=seed, cases=cases)


def fingerprint_of(dataset: Dataset, measured: Sequence[MeasuredCase], *, content: str = "") -> Fingerprint:
    """What was measured of each case, in the dataset's order -> the fingerprint.

    content  what `content_of` gives
    """
    sample = np.concatenate([m.unlabelled for m in measured])
    return Fingerprint(
        dataset=dataset.name,
        content=content,
        channels=dataset.channels,
        labels=dataset.labels,
        regions=dataset.regions,
        ignore=dataset.ignore,
        cases=tuple(m.case for m in measured),
        intensity=_summaries([m.foreground for m in measured], channels=len(dataset.channels)),
        percentile_error=_percentile_error([m.foreground for m in measured]),
        modalities=_modalities([m.modalities for m in measured if m.modalities]),
        unlabelled_sample=tuple(round(float(value), 4) for value in sample),
        smoothing_residual=round(float(np.mean([m.residual for m in measured])), 4),
    )


def content_of(dataset: Dataset) -> str:
    """A hash of channels, labels, and the names, sizes and times of all files of the training cases."""
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for case in dataset.cases
        for path in (*case.images, *([case.label] if case.label else []))
    ]
    declared = [sorted(dataset.labels.items()), sorted(dataset.regions.items()), dataset.ignore]
    text = json.dumps([dataset.channels, declared, files])
    return hashlib.sha256(text.encode()).hexdigest()


def measure_case(index: int, case: Case, data: MeasurableCase, *, cases: int, seed: int = 0) -> MeasuredCase:
    """All that the fingerprint wants to know of one case.

    index  of the case in the dataset
    cases  how many the dataset has
    seed   of the random samples
    """
    rng = np.random.default_rng([seed, index])
    image, labels = data.image, data.labels
    voxel = float(np.prod(data.spacing))
    values = values_of(labels)
    number = number_of(labels, values)
    counts = counts_of(number.ravel(), len(values))
    mean, std = _per_label(image, number, values)
    centre, spread = label_places(labels, values, data.spacing)
    number = number[labelled_box(number, values)]
    pieces, piece = label_pieces(number, values, voxel)
    x, y, z = labels.shape
    fingerprint = CaseFingerprint(
        id=case.id,
        subject=case.group,
        shape=(x, y, z),
        spacing=data.spacing,
        label_volume={int(value): count * voxel for value, count in zip(values.tolist(), counts.tolist(), strict=True)},
        label_mean=mean,
        label_std=std,
        label_centre=centre,
        label_spread=spread,
        label_pieces=pieces,
        label_piece=piece,
        touching=touching_labels(number, values),
        orientation=data.orientation,
    )
    sample, residual = _unlabelled(image, labels, data.spacing, rng, size=max(1, _UNLABELLED // cases))
    return MeasuredCase(
        case=fingerprint,
        foreground=_moments(data.raw[:, labels != 0], rng, size=max(1, _FOREGROUND // cases)),
        unlabelled=sample,
        residual=residual,
        modalities=tuple(guess(channel) for channel in data.raw),
    )


def _per_label(
    image: np.ndarray, number: np.ndarray, values: np.ndarray
) -> tuple[dict[int, tuple[float, ...]], dict[int, tuple[float, ...]]]:
    """Mean and standard deviation of each label in each channel.

    number  (*S) index of each voxel's label in `values`
    """
    if len(image) == 0:
        return {}, {}
    flat = number.ravel()
    means, stds = [], []
    for channel in image:
        _, mean, std = moments(flat, channel.ravel(), len(values))
        means.append(mean)
        stds.append(std)
    keys = [int(value) for value in values]
    return (
        dict(zip(keys, (tuple(m.tolist()) for m in np.stack(means, axis=1)), strict=True)),
        dict(zip(keys, (tuple(s.tolist()) for s in np.stack(stds, axis=1)), strict=True)),
    )


def _unlabelled(
    image: np.ndarray, labels: np.ndarray, spacing: Triple, rng: np.random.Generator, *, size: int
) -> tuple[np.ndarray, float]:
    """A random sample of the first channel, lightly smoothed, where no label is; and the smoothing's residual."""
    if len(image) == 0:
        return np.zeros(0, dtype=np.float32), 0.0
    sigma = [SMOOTHING / edge for edge in relative(spacing)]
    slabs = _slabs(labels.shape)
    if not any((labels[slab] == 0).any() for slab in slabs):
        slabs = [slice(0, len(labels))]
    smooth, rough = [], []
    reach = math.ceil(SMOOTHING_ENDS * sigma[0])
    for slab in slabs:
        first = max(0, slab.start - reach)
        around = ndimage.gaussian_filter(
            image[0, first : slab.stop + reach], sigma, mode="nearest", truncate=SMOOTHING_ENDS
        )
        outside = labels[slab] == 0
        smooth.append(around[slab.start - first :][: len(outside)][outside])
        rough.append(image[0, slab][outside])
    kept, own = np.concatenate(smooth), np.concatenate(rough)
    if not kept.size:
        return np.zeros(0, dtype=np.float32), 0.0
    chosen = rng.choice(kept.size, size=min(size, kept.size), replace=False)
    chosen.sort()
    return kept[chosen], float(np.std(own[chosen] - kept[chosen]))


def _slabs(shape: tuple[int, ...]) -> list[slice]:
    """Planes of the first axis that stand for all: every one of them, or in a large scan some slabs, evenly placed."""
    count = max(1, _LOOKED_AT // (_SLAB * math.prod(shape[1:])))
    if count * _SLAB >= shape[0]:
        return [slice(0, shape[0])]
    starts = np.linspace(0, shape[0] - _SLAB, count + 2).round().astype(int)[1:-1]
    return [slice(int(start), int(start) + _SLAB) for start in starts]


def _moments(values: np.ndarray, rng: np.random.Generator, *, size: int) -> _Moments:
    """Of (C, N) foreground intensities."""
    channels, count = values.shape
    wide = values.astype(np.float64)
    chosen = rng.integers(count, size=min(size, count)) if count else np.zeros(0, dtype=np.int64)
    empty = np.zeros(channels)
    return _Moments(
        count=count,
        total=wide.sum(axis=1),
        squares=(wide**2).sum(axis=1),
        minimum=wide.min(axis=1) if count else empty + np.inf,
        maximum=wide.max(axis=1) if count else empty - np.inf,
        sample=values[:, chosen],
    )


def _modalities(guesses: list[tuple[Modality, ...]]) -> tuple[Modality, ...]:
    """Of cases -> of channels."""
    channels = len(guesses[0]) if guesses else 0
    return tuple(usual([of_case[channel] for of_case in guesses]) for channel in range(channels))


def _percentile_error(parts: list[_Moments]) -> float:
    """Standard error of the share of voxels below the sample's median."""
    count = sum(part.sample.shape[1] for part in parts)
    return round(0.5 / math.sqrt(count), 5) if count else 0.0


def _summaries(parts: list[_Moments], *, channels: int) -> tuple[Statistics, ...]:
    """One summary a channel; mean, deviation and range are exact, percentiles are those of the sample."""
    count = sum(part.count for part in parts)
    if channels and count == 0:
        return tuple(
            Statistics(mean=0, std=0, minimum=0, percentile_00_5=0, median=0, percentile_99_5=0, maximum=0, count=0)
            for _ in range(channels)
        )
    summaries = []
    for channel in range(channels):
        mean = sum(part.total[channel] for part in parts) / count
        variance = sum(part.squares[channel] for part in parts) / count - mean**2
        low, middle, high = np.percentile(np.concatenate([part.sample[channel] for part in parts]), [0.5, 50, 99.5])
        summaries.append(
            Statistics(
                mean=float(mean),
                std=float(np.sqrt(max(0.0, variance))),
                minimum=float(min(part.minimum[channel] for part in parts)),
                percentile_00_5=float(low),
                median=float(middle),
                percentile_99_5=float(high),
                maximum=float(max(part.maximum[channel] for part in parts)),
                count=count,
            )
        )
    return tuple(summaries)
