"""The processes that train one model together, one a device, as `torchrun` starts them.

Every process makes all random draws of the joint batch, with the same generator, and applies its own share of them.
Gradients are summed over the processes, so that phi and theta stay the same in each, and are those of one process
with the joint batch, within rounding.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from l2s_auto.core.errors import ProcessLost, UserError
from l2s_auto.core.protocols import Params

T = TypeVar("T")
#: A process waits this long for the others: the leader plans and preprocesses while they wait.
PATIENCE = timedelta(days=2)
#: What torchrun tells each process.
TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def messages() -> Iterator[None]:
    """Messages between the processes; ProcessLost where PyTorch says that one did not arrive."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(error) from error


@dataclass(frozen=True)
class Team:
    """What a process knows of those it trains with. Messages raise ProcessLost if another process has ended.

    rank     this process, of `size`
    control  group for messages that are not tensors of the device; None if there is one process
    """

    rank: int = 0
    size: int = 1
    control: Any = None

    @property
    def leader(self) -> bool:
        """Whether this process plans, writes and reports."""
        return self.rank == 0

    def share(self, samples: int) -> slice:
        """This process's samples of the joint batch: neighbours, as many as the others' or one more or less."""
        return slice(samples * self.rank // self.size, samples * (self.rank + 1) // self.size)

    def some_of(self, values: Sequence[T]) -> Sequence[T]:
        """This process's values of a list that all processes have, every one in just one process."""
        return values[self.rank :: self.size]

    def part_of(self, free_gb: float | None, device: torch.device) -> float | None:
        """What is free on a device for one process: all of a GPU, and its part of a machine's memory."""
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.size > 1 else 1
        return free_gb if free_gb is None or device.type == "cuda" else free_gb / here

    def sum(self, values: Params) -> dict[str, torch.Tensor]:
        """Each tensor summed over the processes, in one message; they have one dtype. Bit by bit the same in each."""
        if self.size == 1:
            return dict(values)
        flat = torch.cat([value.reshape(-1) for value in values.values()])
        with messages():
            distributed.all_reduce(flat)
        parts = flat.split([value.numel() for value in values.values()])
        return {name: part.view(value.shape) for (name, value), part in zip(values.items(), parts, strict=True)}

    def gather(self, values: list[T]) -> list[T]:
        """The lists of all processes, one after the other, in each process."""
        if self.size == 1:
            return values
        lists: list[Any] = [None] * self.size
        with messages():
            distributed.all_gather_object(lists, values, group=self.control)
        return [value for found in lists for value in found]

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """The leader's clock, and whether any process wants to stop: so all end at the same iteration."""
        if self.size == 1:
            return seconds, stop
        said = torch.tensor([seconds if self.leader else 0.0, float(stop)], dtype=torch.float64)
        with messages():
            distributed.all_reduce(said, group=self.control)
        return said[0].item(), bool(said[1] > 0)

    def from_leader(self, make: Callable[[], T]) -> T:
        """What `make` returns in the leader, in each process; what it raises there ends all of them.

        The others raise SystemExit with the leader's exit code, silently, when it has had time to say why.
        """
        if self.size == 1:
            return make()
        said: list[Any] = [None, 0]
        if self.leader:
            try:
                said[0] = make()
            except BaseException as error:
                said[1] = 2 if isinstance(error, UserError) else 130 if isinstance(error, KeyboardInterrupt) else 1
                with suppress(RuntimeError):  # nobody may be left to hear it; the error itself matters more
                    distributed.broadcast_object_list(said, src=0, group=self.control)
                raise
        with messages():
            distributed.broadcast_object_list(said, src=0, group=self.control)
        if said[1]:
            time.sleep(2)
            raise SystemExit(said[1])
        return said[0]


ALONE = Team()


def team_from_environment(device: str) -> tuple[Team, str]:
    """(the team that torchrun started, or one process; the device of this process)."""
    if not all(name in os.environ for name in TOLD) or os.environ["WORLD_SIZE"] == "1":
        return ALONE, device
    on_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_cuda and ":" in device:
        raise UserError.single(
            "Several processes need a device each.",
            where="--device",
            found=device,
            expected="cuda, of which each process takes its own",
            mend="Leave out the number; choose devices with CUDA_VISIBLE_DEVICES.",
        )
    if on_cuda:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        if int(device[5:]) < torch.cuda.device_count():
            torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_cuda else "gloo", timeout=PATIENCE)
        atexit.register(_leave)
    control = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Team(distributed.get_rank(), distributed.get_world_size(), control), device


def _leave() -> None:
    """End the threads that pass messages while the interpreter still runs.

    One that gives back its last tensor later would abort the process, and torchrun all others with it.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


def require_samples(team: Team, batch: int) -> None:
    """UserError if a batch has fewer samples than there are processes."""
    if batch < team.size:
        raise UserError.single(
            "There are more processes than samples in a batch.",
            where="torchrun --nproc-per-node, or batch in plan.json",
            found=f"{team.size} processes and a batch of {batch}",
            expected=f"at most {batch} processes",
            mend="Start fewer processes, or raise batch in plan.json.",
        )
