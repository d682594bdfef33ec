"""Threads that each do one small thing on one core, instead of all cores doing one small thing after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from l2s_auto.core.plan import Plan
from l2s_auto.inference.abreast import open_threads
from l2s_auto.inference.scan import Scan

#: Voxels, on the plan's grid and on its own, and numbers of all classes, that a scan for one lane has at most: what
#: several of them need at a time is then less than what a large scan needs.
VOXELS, OWN_VOXELS, NUMBERS = 1 << 19, 1 << 21, 1 << 24
#: More than this many at a time would wait for Python, and for reading and writing.
MOST = 8


@dataclass(frozen=True)
class Lanes:
    """Where small things are done; count: how many at a time."""

    pool: Executor
    count: int


def is_small(scan: Scan, plan: Plan) -> bool:
    """Whether a scan needs little memory, and its network too little work at a time to gain from several threads."""
    seen = math.prod(max(n, p) for n, p in zip(scan.image.shape[1:], plan.patch, strict=True))
    return seen <= VOXELS and seen * len(plan.labels) <= NUMBERS and scan.picture.size <= OWN_VOXELS


@contextmanager
def open_lanes(device: torch.device) -> Iterator[Lanes | None]:
    """As many lanes as PyTorch has threads; None where another device computes, or there is one thread."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2:
        yield None
        return
    count = min(threads, MOST)
    with open_threads(count, "l2s-lane") as pool:
        yield Lanes(pool, count)
