"""How worker processes are started, and what they have imported before they start."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any

Context = ForkServerContext | SpawnContext


def process_context() -> Context:
    """A server that forks (Linux), or new interpreters; never a fork of this process, whose threads could hang it."""
    if sys.platform.startswith("linux"):
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def warm_up(modules: Sequence[str]) -> None:
    """Have a server import what workers need, beside what this process does meanwhile. Only where there is one.

    Once the server runs, further calls change nothing. Modules that cannot be imported are left to the workers.
    """
    context = process_context()
    if context.get_start_method() != "forkserver":
        return
    from multiprocessing.forkserver import ensure_running

    context.set_forkserver_preload(list(modules))
    ensure_running()


@contextmanager
def without_main() -> Iterator[None]:
    """Have processes that are started meanwhile not import the script that runs.

    Nothing that they do needs it, and a script that does not say `if __name__ == "__main__":` would begin again in
    each.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(kept)


def end_with_parent() -> None:
    """Have this process end when the one that wants its work is gone, be it killed; call it first in a worker.

    It would otherwise wait for work for ever, or go on to write beside the next run.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
