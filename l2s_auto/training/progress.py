"""What a user sees while a network is trained: a bar, and how long it still takes, in the log too."""

from __future__ import annotations

import logging
import shutil
import time

from tqdm import tqdm

from l2s_auto.core.folding import WIDTH
from l2s_auto.core.streams import bar_stream
from l2s_auto.training.remaining_time import Course, RemainingTime, told_range

#: Seconds of this call after which the remaining time is said in the log: once it has warmed up, and once more.
SAID_AFTER = (5.0, 60.0)
#: Seconds that are left, below which nothing more is said.
SOON = 20.0
LOGGER = logging.getLogger("l2s_auto")


class Progress:
    """The bar of a training, of which the remaining time is a range.

    title     before the bar
    progress  share that is done already
    shown     whether this process speaks
    """

    def __init__(self, title: str, course: Course, *, progress: float, shown: bool) -> None:
        self.remaining = RemainingTime(course)
        self._title, self._shown = title, shown
        self._began = self._last = time.monotonic()
        self._due = list(SAID_AFTER)
        stream = bar_stream()
        self._terminal = stream.isatty()
        self.bar = tqdm(
            desc=title,
            file=stream,
            disable=not shown,
            total=100.0,
            initial=100.0 * min(progress, 1.0),
            mininterval=0.5 if self._terminal else 30.0,
            ncols=_columns() if self._terminal else WIDTH,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} elapsed{postfix}",
        )

    def iteration(self, progress: float, elapsed: float) -> None:
        """An iteration has ended that began at a share of the training; say what is left when that is due."""
        now = time.monotonic()
        self.remaining.iteration(progress, now - self._last)
        self._last = now
        if self._due and now - self._began > self._due[0]:
            left = self.remaining.left(progress, elapsed)
            if left is None:
                return
            self._due = [due for due in self._due if now - self._began <= due]
            if self._shown and left[1] > SOON:
                if self._terminal:
                    self.bar.clear()
                LOGGER.info("%s: %s remaining", self._title, told_range(left))

    def validated(self, seconds: float) -> None:
        """A validation has taken so long; it is no part of an iteration."""
        self.remaining.validation(seconds)
        self._last = time.monotonic()

    def show(self, progress: float, elapsed: float, loss: float | None, val_dice: float | None) -> None:
        left = self.remaining.left(progress, elapsed)
        parts = [f"{told_range(left).removeprefix('about ')} remaining"] if left is not None else []
        parts += [f"loss {loss:.2f}"] if loss is not None else []
        parts += [f"Dice {val_dice:.3f}"] if val_dice is not None else []
        self.bar.set_postfix_str(", ".join(parts), refresh=False)
        self.bar.update(100.0 * min(progress, 1.0) - self.bar.n)


def _columns() -> int:
    """Columns of a bar: those of the terminal, 80 at most."""
    return min(WIDTH, max(20, shutil.get_terminal_size().columns - 1))
