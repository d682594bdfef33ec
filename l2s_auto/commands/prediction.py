"""What a user sees of a prediction: a bar while it goes on, a few lines when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from l2s_auto.core.folding import WIDTH, say
from l2s_auto.core.printable import printable
from l2s_auto.core.streams import bar_stream
from l2s_auto.inference.predict import PredictionSummary, Progress
from l2s_auto.report.verdict import Verdict

#: What the bar shows.
FORM = "{l_bar}{bar}| {elapsed} elapsed"


@contextmanager
def prediction_bar(*, shown: bool = True) -> Iterator[Callable[[Progress], None]]:
    """While it is open, the callable draws how far the prediction is; nothing where no terminal watches."""
    stream = bar_stream()
    disable = not shown or not stream.isatty()
    with tqdm(total=1.0, leave=False, disable=disable, bar_format=FORM, file=stream, ncols=WIDTH) as bar:

        def show(progress: Progress) -> None:
            bar.total = max(1, progress.total)
            bar.set_description(f"{printable(progress.case)} ({progress.done}/{progress.total})", refresh=False)
            bar.n = min(progress.total, progress.done + (progress.share if progress.share < 1 else 0))
            bar.refresh()

        yield show


def warn_of_model(verdict: Verdict | None) -> None:
    """Say once, before the first scan, that a model finds nothing."""
    if verdict is not None and verdict.useless:
        say(f"Warning: this model finds (almost) nothing: mean Dice {verdict.measured}. Do not use it.", error=True)


def print_summary(summary: PredictionSummary) -> None:
    """What was done, what failed and why, what to look at."""
    for note in summary.notes:
        say(f"Note: {note}")
    skipped = f", {len(summary.skipped)} were there already" if summary.skipped else ""
    done = f"{_scans(len(summary.done))} segmented in {summary.seconds:.0f} s{skipped}"
    say(f"{done}. Folder: {printable(summary.folder)}", whole=[printable(summary.folder)])
    if summary.flagged:
        flagged = [printable(name) for name in summary.flagged]
        say(f"Look at {', '.join(flagged)}: qc.csv says why.", whole=flagged)
    for failure in summary.failures:
        file = printable(failure.file)
        say(f"Failed: {file}: {printable(failure.reason)}", whole=[file], error=True)
    if summary.failures:
        say(f"{_scans(len(summary.failures))} failed; they are listed in failures.csv.", error=True)


def _scans(count: int) -> str:
    return f"{count} scan{'' if count == 1 else 's'}"
