"""From fingerprint to plan: one small function a decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Fingerprint, LabelPlan, Normalisation, Plan, Topology, Triple, Voxels
from l2s_auto.planning.clusters import BACKGROUND, determine_generation
from l2s_auto.planning.fingerprint import SMOOTHING
from l2s_auto.planning.memory import StepMemory, training_memory_gb
from l2s_auto.planning.pairs import determine_pairs
from l2s_auto.planning.topology import determine_topology

ANISOTROPIC = 3.0  # from this ratio of spacings on, the coarse axis is planned from its finer scans
SMALLEST_BATCH = 2
SHORTEST = 8  # voxels of the longest axis of a patch, at least
SMALL_CASE = 100_000  # voxels of a case that a CPU trains a larger network on
_SHARE_OF_DATA = 0.05  # a batch holds at most this share of the dataset's voxels, as in nnU-Net


class DeviceDefaults(NamedTuple):
    """What a kind of device can be asked for; measured on small machines, to be refined.

    features    of the U-Net's first stage
    voxels      of a patch, at most
    batch       at most
    iterations  updates of the network
    """

    features: int
    voxels: int
    batch: int
    iterations: int


DEVICES = {
    "cpu": DeviceDefaults(features=16, voxels=64**3, batch=2, iterations=2000),
    "mps": DeviceDefaults(features=16, voxels=64**3, batch=2, iterations=5000),
    "cuda": DeviceDefaults(features=32, voxels=96**3, batch=8, iterations=20000),
}


def device_defaults(device: str) -> DeviceDefaults:
    """Of "cpu", "mps", "cuda" or "cuda:1"; an unknown kind of device is treated as a CPU."""
    return DEVICES.get(device.partition(":")[0], DEVICES["cpu"])


def make_plan(
    fingerprint: Fingerprint,
    *,
    memory_gb: float | None,
    device: str,
    base_features: int | None = None,
    step: StepMemory | None = None,
    processes: int = 1,
) -> Plan:
    """Everything that the data and the device's kind dictate.

    memory_gb      GB that each process of the training may use; None: the device's usual patch and batch, unchecked
    base_features  of the U-Net's first stage; None: the device's
    step           what the most demanding training step keeps; None: a plain step
    processes      that share each batch
    """
    labels = determine_labels(fingerprint)
    spacing = determine_spacing(fingerprint)
    shapes = shapes_at(fingerprint, spacing)
    channels, classes = max(1, len(fingerprint.channels)), len(labels)
    features = determine_features(device, shapes, base_features)
    pairs = determine_pairs({label.value: label.name for label in labels}, fingerprint.cases)
    step = step or StepMemory()
    fit = _Fit(
        channels=channels, classes=classes, features=features, memory_gb=memory_gb, step=step, processes=processes
    )
    patch, topology = determine_patch(shapes, spacing, fit=fit, voxels=device_defaults(device).voxels)
    return Plan(
        dataset=fingerprint.dataset,
        channels=fingerprint.channels,
        labels=labels,
        spacing=spacing,
        patch=patch,
        batch=determine_batch(shapes, patch, topology, fit=fit, most=device_defaults(device).batch),
        topology=topology,
        normalisation=determine_normalisation(fingerprint.channels),
        generation=determine_generation(fingerprint, labels, pairs, smoothing_mm=round(SMOOTHING * min(spacing), 4)),
        pairs=pairs,
        iterations=determine_iterations(device),
    )


def determine_labels(fingerprint: Fingerprint) -> tuple[LabelPlan, ...]:
    """Output classes: background, then the other labels by value."""
    names = {BACKGROUND: "background", **fingerprint.labels}
    order = [BACKGROUND, *sorted(value for value in names if value != BACKGROUND)]
    return tuple(LabelPlan(value=value, name=names[value]) for value in order)


def determine_spacing(fingerprint: Fingerprint) -> Triple:
    """Median spacing in mm; for anisotropic data the coarse axis gets its 10th percentile instead, as in nnU-Net.

    Anisotropic: the coarsest axis is more than 3 times as coarse as the others and has less than a third of their
    voxels. The coarse axis never becomes finer than the others.
    """
    spacings = np.array([case.spacing for case in fingerprint.cases])
    shapes = np.array([case.shape for case in fingerprint.cases])
    target = np.median(spacings, axis=0)
    voxels = np.median(shapes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    if target[worst] > ANISOTROPIC * max(target[others]) and ANISOTROPIC * voxels[worst] < min(voxels[others]):
        target[worst] = max(np.percentile(spacings[:, worst], 10), max(target[others]))
    x, y, z = (round(float(t), 5) for t in target)
    return x, y, z


def shapes_at(fingerprint: Fingerprint, spacing: Triple) -> list[Voxels]:
    """Each case's voxels once it is resampled."""
    shapes: list[Voxels] = []
    for case in fingerprint.cases:
        x, y, z = (max(1, round(n * s / t)) for n, s, t in zip(case.shape, case.spacing, spacing, strict=True))
        shapes.append((x, y, z))
    return shapes


def determine_features(device: str, shapes: Sequence[Voxels], base_features: int | None = None) -> int:
    """Features of the first stage: the user's, or what the kind of device trains in reasonable time.

    A CPU has half of them for cases of many voxels, or it would not see enough images in minutes: with 16 features
    a patch of 64³ takes 0.75 s an iteration on 2 cores, and one of 40 x 56 x 40 0.15 s.
    """
    features = device_defaults(device).features
    usual = float(np.median([math.prod(shape) for shape in shapes]))
    if device.partition(":")[0] == "cpu" and usual > SMALL_CASE:
        features //= 2
    return base_features or features


def determine_iterations(device: str) -> int:
    """Updates of the network: the default of the kind of device."""
    return device_defaults(device).iterations


def determine_normalisation(channels: Sequence[str]) -> tuple[Normalisation, ...]:
    """One scheme a channel; the fingerprint must be measured with the same.

    A channel named CT is in Hounsfield units: -500 to 500 become 0 to 1, and what is kept ends at -1000 and 1000, from
    air to dense bone. Every other channel is scaled by its own percentiles.
    """
    return tuple(
        Normalisation(scheme="fixed", lower=-500.0, upper=500.0)
        if name.strip().upper() == "CT"
        else Normalisation(scheme="percentile", lower=0.5, upper=99.5)
        for name in channels
    )


class _Fit(NamedTuple):
    """What the memory estimate needs beside patch, batch and topology."""

    channels: int
    classes: int
    features: int
    memory_gb: float | None
    step: StepMemory
    processes: int

    @property
    def smallest_batch(self) -> int:
        return max(SMALLEST_BATCH, self.processes)

    def holds(self, topology: Topology, patch: Voxels, batch: int) -> bool:
        if self.memory_gb is None:
            return True
        return self.needs(topology, patch, batch) <= self.memory_gb

    def needs(self, topology: Topology, patch: Voxels, batch: int) -> float:
        """GB of each process of a training with this patch and batch."""
        share = math.ceil(batch / self.processes)
        return training_memory_gb(topology, patch, share, channels=self.channels, classes=self.classes, step=self.step)


def determine_patch(shapes: Sequence[Voxels], spacing: Triple, *, fit: _Fit, voxels: int) -> tuple[Voxels, Topology]:
    """The largest patch that is allowed, and its topology.

    The patch is a cube in mm, cut at the median shape of the cases, with at most `voxels` voxels once it is padded to
    what the poolings divide, and with the smallest batch fitting into the memory; at least 8 voxels along its longest
    axis, so that the network pools at all. Raises UserError if nothing fits.
    """
    median = [max(1, round(float(m))) for m in np.median(np.array(shapes), axis=0)]
    if max(median) < SHORTEST:
        median = [SHORTEST if m > 1 else 1 for m in median] if max(median) > 1 else [SHORTEST] * 3
    edge = max(n * s for n, s in zip(median, spacing, strict=True))
    smallest = 8 * min(spacing)
    steps = max(1, math.ceil(math.log(max(edge / smallest, 1.0)) / math.log(1.02)))
    for step in range(steps + 1):
        length = edge / 1.02**step
        x, y, z = (max(1, min(n, round(length / s))) for n, s in zip(median, spacing, strict=True))
        topology, patch = determine_topology(spacing, (x, y, z), base_features=fit.features)
        if math.prod(patch) <= voxels and fit.holds(topology, patch, fit.smallest_batch):
            return patch, topology
    needed = fit.needs(topology, patch, fit.smallest_batch)
    raise UserError.single(
        "There is not enough memory for the smallest training.",
        where="--memory-gb, or the memory that is free",
        found=f"{fit.memory_gb or 0:g} GB",
        expected=f"at least {needed:.2g} GB for patches of {' x '.join(map(str, patch))} voxels",
        mend="Give more memory, or free some.",
    )


def determine_batch(shapes: Sequence[Voxels], patch: Voxels, topology: Topology, *, fit: _Fit, most: int) -> int:
    """At least 2, and one a process; more while the memory allows, to `most` and a twentieth of the cases' voxels."""
    data = sum(math.prod(shape) for shape in shapes)
    limit = min(most, int(_SHARE_OF_DATA * data / math.prod(patch)))
    batch = fit.smallest_batch
    while batch < limit and fit.holds(topology, patch, batch + 1):
        batch += 1
    return batch
