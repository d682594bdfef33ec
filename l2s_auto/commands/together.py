"""One prediction by the processes that `torchrun` starts: each does its part, the first speaks for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from l2s_auto.commands.runner import USER_ERROR
from l2s_auto.core.errors import UserError
from l2s_auto.inference.predict import PredictionSummary
from l2s_auto.training.team import Team


def part_of(part: tuple[int, int], team: Team) -> tuple[int, int]:
    """This process's part of a job's part (i, n): the parts of all processes of all jobs are all scans, each once."""
    index, count = part
    return (index - 1) * team.size + team.rank + 1, count * team.size


def in_parts(work: Callable[[], PredictionSummary], team: Team) -> PredictionSummary:
    """Each process's part of the work -> what all did together, in each process.

    A UserError of one is raised in the first process, once all have ended their parts; the others leave silently.
    ProcessLost if one of them has ended.
    """
    if team.size == 1:
        return work()
    own: PredictionSummary | UserError
    try:
        own = work()
    except UserError as error:
        own = error
    found = team.gather([own])
    wrong = [one for one in found if isinstance(one, UserError)]
    if wrong:
        if team.leader:
            raise wrong[0]
        raise SystemExit(USER_ERROR)
    return together([one for one in found if not isinstance(one, UserError)])


def together(summaries: Sequence[PredictionSummary]) -> PredictionSummary:
    """What several did at the same time in one folder."""
    return PredictionSummary(
        folder=summaries[0].folder,
        done=tuple(sorted(case for one in summaries for case in one.done)),
        skipped=tuple(sorted(case for one in summaries for case in one.skipped)),
        failures=tuple(sorted((f for one in summaries for f in one.failures), key=lambda failure: failure.case)),
        flagged=tuple(sorted(case for one in summaries for case in one.flagged)),
        seconds=max(one.seconds for one in summaries),
        notes=tuple(dict.fromkeys(note for one in summaries for note in one.notes)),
    )
