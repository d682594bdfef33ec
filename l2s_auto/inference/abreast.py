"""Windows of a large scan side by side, each on one core, instead of one after the other on all of them.

A network's layers are too small to keep several cores busy: with a window each, cores wait less for one another. What
is made of the results goes on meanwhile.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from l2s_auto.core.plan import Plan

A = TypeVar("A")
B = TypeVar("B")
#: Bytes that windows take together, at most, and their number.
ROOM, MOST = 2 << 30, 4
#: Arrays of the first stage's size that are in memory at a time, in float32.
ARRAYS = 4


def windows_abreast(plan: Plan, device: torch.device) -> int:
    """How many windows to look at side by side: 1 where another device computes than the processor."""
    if device.type != "cpu":
        return 1
    numbers = ARRAYS * plan.topology.features[0] + 2 * len(plan.labels)
    return max(1, min(torch.get_num_threads(), MOST, ROOM // (4 * numbers * math.prod(plan.patch))))


@contextmanager
def open_threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that share out those of PyTorch; how many later ones begin with is restored at the end."""
    threads = torch.get_num_threads()
    share = max(1, threads // count)
    try:
        with ThreadPoolExecutor(count, name, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def map_abreast(function: Callable[[A], B], items: Iterable[A], count: int) -> Iterator[B]:
    """function(item) of each item, in order, `count` at a time while another is waited for; 1: none ahead."""
    if count < 2:
        yield from map(function, items)
        return
    waiting: deque[Future[B]] = deque()
    with open_threads(count, "l2s-window") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
