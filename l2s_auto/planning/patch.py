"""The patch, the batch and the U-Net's topology: as much as cases, device and memory allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from l2s_auto.core.digits import relative, shown
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Topology, Triple, Voxels
from l2s_auto.planning.memory import StepMemory, training_memory_gb
from l2s_auto.planning.topology import determine_topology

SMALLEST_BATCH = 2
SHORTEST = 8  # voxels of the longest axis of a patch, at least
#: A batch holds at most this share of the dataset's voxels. nnU-Net allows 5 %, of scans that are learned by heart
#: sooner than images that are always new.
_SHARE_OF_DATA = 0.25
_FINER = 1.02  # of one candidate's edge to the next


class Fit(NamedTuple):
    """What the memory estimate needs beside patch, batch and topology.

    memory_gb  that each of the processes may use; None: not looked at
    residual   whether the network's encoder is a residual one
    context    channels in which the network is told what a coarser one found
    """

    channels: int
    classes: int
    features: int
    memory_gb: float | None
    step: StepMemory
    processes: int
    residual: bool = False
    context: int = 0

    def topology(self, spacing: Triple, patch: Voxels) -> tuple[Topology, Voxels]:
        """The topology for a patch, and the patch enlarged to what it divides."""
        return determine_topology(spacing, patch, base_features=self.features, residual=self.residual)

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
        return training_memory_gb(
            topology,
            patch,
            share,
            channels=self.channels,
            classes=self.classes,
            step=self.step,
            context=self.context,
        )


class Chosen(NamedTuple):
    """A patch, the topology that goes with it, and why it is this one."""

    patch: Voxels
    topology: Topology
    why: str


def determine_patch(
    shapes: Sequence[Voxels], spacing: Triple, *, fit: Fit, voxels: int, wanted: Voxels | None = None
) -> Chosen:
    """The largest patch that is allowed, and its topology.

    The patch is a cube in mm, cut at the median shape of the cases, with at most `voxels` voxels once it is padded to
    what the poolings divide, and with the smallest batch fitting into the memory; at least 8 voxels along its longest
    axis, so that the network pools at all.

    wanted  the user's patch: only padded, and only the memory is looked at
    Raises UserError if nothing fits.
    """
    if wanted is not None:
        topology, patch = fit.topology(spacing, wanted)
        if len(topology.strides) < 2:
            raise UserError.single(
                "The patch is too small for a U-Net.",
                where="--patch",
                found=f"{times(wanted)} voxels, which cannot be halved",
                expected="8 voxels or more along two axes, or 12 along one",
                mend="Ask for a larger patch, or leave the option out.",
            )
        if not fit.holds(topology, patch, fit.smallest_batch):
            raise too_little_memory(fit, topology, patch)
        if patch == wanted:
            return Chosen(patch, topology, "as asked for")
        why = f"as asked for, enlarged from {times(wanted)} to multiples of {times(topology.divisor)}"
        return Chosen(patch, topology, why)
    median = [max(1, round(float(m))) for m in np.median(np.array(shapes), axis=0)]
    usual = times(median)
    if max(median) < SHORTEST:
        median = [SHORTEST if m > 1 else 1 for m in median] if max(median) > 1 else [SHORTEST] * 3
    edges = relative(spacing)  # lengths are counted in the finest edge
    edge = max(n * s for n, s in zip(median, edges, strict=True))
    steps = max(1, math.ceil(math.log(max(edge / SHORTEST, 1.0)) / math.log(_FINER)))
    limits: set[str] = set()
    for step in range(steps + 1):
        length = edge / _FINER**step
        x, y, z = (max(1, min(n, round(length / s))) for n, s in zip(median, edges, strict=True))
        topology, patch = fit.topology(spacing, (x, y, z))
        if math.prod(patch) > voxels:
            limits = {f"at most {voxels:,} voxels, the device's usual"}
        elif not fit.holds(topology, patch, fit.smallest_batch):
            limits = {f"at most {fit.memory_gb:.3g} GB for {fit.smallest_batch} of them"}
        else:
            return Chosen(patch, topology, _why_patch(usual, length * min(spacing), limits))
    raise too_little_memory(fit, topology, patch)


def _why_patch(usual: str, length: float, limits: set[str]) -> str:
    whole = f"the usual case has {usual} voxels at this spacing"
    if not limits:
        return f"{whole}, which a patch holds"
    return f"{whole}; a cube of {shown(length, 3)} mm, cut at the case's edges, is the largest of {', '.join(limits)}"


def too_little_memory(fit: Fit, topology: Topology, patch: Voxels) -> UserError:
    """The error of a patch that does not fit."""
    return UserError.single(
        "There is not enough memory for the smallest training.",
        where="--memory-gb, or the memory that is free, less what the program itself was measured to need",
        found=f"{fit.memory_gb or 0:.2g} GB",
        expected=f"at least {fit.needs(topology, patch, fit.smallest_batch):.2g} GB for patches of "
        f"{times(patch)} voxels",
        mend="Give more memory, or free some.",
    )


def determine_batch(
    shapes: Sequence[Voxels], chosen: Chosen, *, fit: Fit, most: int, wanted: int | None = None
) -> tuple[int, str]:
    """At least 2, and one a process; more while the memory allows, to `most` and a quarter of the cases' voxels.

    wanted  the user's batch
    Returns the batch and why. Raises UserError if the user's batch does not fit.
    """
    patch, topology = chosen.patch, chosen.topology
    if wanted is not None:
        if not fit.holds(topology, patch, wanted):
            raise UserError.single(
                "There is not enough memory for the batch.",
                where="--batch",
                found=f"{wanted} patches of {times(patch)} voxels, about {fit.needs(topology, patch, wanted):.2g} GB",
                expected=f"at most {fit.memory_gb:.2g} GB",
                mend="Ask for a smaller batch or patch, or take fewer samples at a time (--micro-batch of "
                "l2s_plan_and_train).",
            )
        return wanted, "as asked for"
    share = int(_SHARE_OF_DATA * sum(math.prod(shape) for shape in shapes) / math.prod(patch))
    batch = fit.smallest_batch
    while batch < min(most, share) and fit.holds(topology, patch, batch + 1):
        batch += 1
    if batch == most:
        return batch, "the device's usual for such patches"
    if batch >= share:
        why = f"more would be over {_SHARE_OF_DATA:.0%} of the dataset's voxels"
        return batch, f"the least; {why}" if batch == fit.smallest_batch else why
    return batch, f"as many as {fit.memory_gb:.3g} GB hold"


def times(numbers: Sequence[float]) -> str:
    """Such as 40 x 56 x 40."""
    return " x ".join(f"{number:g}" for number in numbers)
