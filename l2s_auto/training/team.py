"""The processes that train one model together; here, one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from l2s_auto.core.protocols import Params


@dataclass(frozen=True)
class Team:
    """rank: this process, of size."""

    rank: int = 0
    size: int = 1

    def total(self, samples: int) -> int:
        """Samples of the joint batch, of which this process has `samples`."""
        return samples

    def sum(self, values: Params) -> dict[str, torch.Tensor]:
        """Each tensor summed over the processes."""
        return dict(values)
