"""Functions that another process calls; a module of their own, which is imported quickly."""

from __future__ import annotations

import os
import time

from l2s_auto.io import isolated


def crash(*_: object) -> None:
    os.abort()


def hang(*_: object) -> None:
    time.sleep(600)


def double(value: int) -> int:
    return value + value


def take(count: int) -> int:
    with isolated.memory_limit(1 << 28):
        return len(bytearray(count))
