"""Threads that each do one small thing on one core, instead of all cores doing one small thing after the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

#: More than this many at a time would wait for Python, and for reading and writing.
MOST = 8


@dataclass(frozen=True)
class Lanes:
    """Where small things are done; count: how many at a time."""

    pool: Executor
    count: int


@contextmanager
def open_lanes(device: torch.device) -> Iterator[Lanes | None]:
    """As many lanes as PyTorch has threads; None where another device computes, or there is one thread.

    How many threads PyTorch takes is a matter of each thread; what later threads begin with is restored at the end.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2:
        yield None
        return
    try:
        with ThreadPoolExecutor(
            min(threads, MOST), "l2s-lane", initializer=torch.set_num_threads, initargs=(max(1, threads // MOST),)
        ) as pool:
            yield Lanes(pool, min(threads, MOST))
    finally:
        torch.set_num_threads(threads)
