"""What equal weights rest on besides the seed: the number of threads, by which sums are rounded."""

from __future__ import annotations

import logging

import torch

from l2s_auto.core.types import TrainState
from l2s_auto.training.team import Team

LOGGER = logging.getLogger("l2s_auto")
#: Where a checkpoint has the number of threads.
THREADS = "threads"


def report_threads(state: TrainState, team: Team, *, seed: int) -> None:
    """Say with how many threads the training runs, and warn if it was started with another number."""
    threads = torch.get_num_threads()
    several = f" in each of {team.size} processes" if team.size > 1 else ""
    LOGGER.info(
        "Threads: %d%s. Same seed (%d), versions, device and number of threads: same weights.", threads, several, seed
    )
    before = state.rng.get(THREADS, threads)
    if before != threads:
        LOGGER.warning(
            "Warning: the training was started with %d threads. The weights will not be those of a training that has "
            "%d threads throughout; set OMP_NUM_THREADS=%d to continue as before.",
            before,
            threads,
            before,
        )
