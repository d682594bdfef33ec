"""Progress bars of what goes case by case."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from l2s_auto.core.folding import WIDTH
from l2s_auto.core.interrupts import check_interrupt
from l2s_auto.core.streams import bar_stream

#: What a bar shows.
FORM = "{desc}: {n_fmt} of {total_fmt} |{bar}| {elapsed} elapsed, {remaining} remaining"


def progress_to(title: str) -> Callable[[int, int], None]:
    """A callback (done, total) that draws a bar."""
    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        check_interrupt()
        if bar is None:
            stream = bar_stream()
            watched = stream.isatty()  # elsewhere the bar ends its line, so that what follows has one of its own
            bar = tqdm(
                desc=title,
                total=total,
                mininterval=0.5 if watched else 30.0,
                leave=not watched,
                file=stream,
                ncols=WIDTH,
                bar_format=FORM,
            )
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show
