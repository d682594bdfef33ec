"""Progress bars of what goes case by case."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tqdm import tqdm


def progress_to(title: str) -> Callable[[int, int], None]:
    """A callback (done, total) that draws a bar."""
    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=title, total=total, mininterval=0.5 if sys.stderr.isatty() else 30.0, leave=False)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show
