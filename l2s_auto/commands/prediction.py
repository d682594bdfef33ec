"""What a user sees of a prediction: a bar while it goes on, a few lines when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from l2s_auto.core.printable import printable
from l2s_auto.core.streams import bar_stream
from l2s_auto.inference.predict import PredictionSummary, Progress


@contextmanager
def prediction_bar(*, shown: bool = True) -> Iterator[Callable[[Progress], None]]:
    """While it is open, the callable draws how far the prediction is; nothing where no terminal watches."""
    stream = bar_stream()
    disable = not shown or not stream.isatty()
    with tqdm(total=1.0, leave=False, disable=disable, bar_format="{l_bar}{bar}| {elapsed}", file=stream) as bar:

        def show(progress: Progress) -> None:
            bar.total = max(1, progress.total)
            bar.set_description(f"{printable(progress.case)} ({progress.done}/{progress.total})", refresh=False)
            bar.n = min(progress.total, progress.done + (progress.share if progress.share < 1 else 0))
            bar.refresh()

        yield show


def print_summary(summary: PredictionSummary) -> None:
    """What was done, what failed and why, what to look at."""
    for note in summary.notes:
        print(f"Note: {note}")
    skipped = f", {len(summary.skipped)} were there already" if summary.skipped else ""
    done = f"{_scans(len(summary.done))} segmented in {summary.seconds:.0f} s{skipped}"
    print(f"{done}. Folder: {printable(summary.folder)}")
    if summary.flagged:
        print(f"Look at {', '.join(map(printable, summary.flagged))}: qc.csv says why.")
    for failure in summary.failures:
        print(f"Failed: {printable(failure.file)}: {printable(failure.reason)}", file=sys.stderr)
    if summary.failures:
        print(f"{_scans(len(summary.failures))} failed; they are listed in failures.csv.", file=sys.stderr)


def _scans(count: int) -> str:
    return f"{count} scan{'' if count == 1 else 's'}"
