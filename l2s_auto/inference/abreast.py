"""Windows of a large scan side by side, each on one core, instead of one after the other on all of them.

A network's layers are too small to keep several cores busy: with two cores a window each, the same windows take six
sevenths of the time. What is made of the results goes on meanwhile.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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


def map_abreast(function: Callable[[A], B], items: Iterable[A], count: int) -> Iterator[B]:
    """function(item) of each item, in order, `count` at a time while another is waited for; 1: none ahead.

    The function computes in threads that share PyTorch's threads; the caller meanwhile has one.
    """
    if count < 2:
        yield from map(function, items)
        return
    threads = torch.get_num_threads()
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(
        count, "l2s-window", initializer=torch.set_num_threads, initargs=(max(1, threads // count),)
    )
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
