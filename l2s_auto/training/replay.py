"""The images of a plain iteration on CUDA, as one graph: its two thousand small kernels are started at once.

Starting them one by one takes a GPU of today several times as long as they do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from operator import is_
from typing import TYPE_CHECKING, Any

import torch

from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch
from l2s_auto.synthesis.thin import without_waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2s_auto.training.build import Parts

    Make = Callable[[Parts, Params, torch.Tensor], Batch]

#: Voxels of a batch from which on kernels are no longer small, and a graph's own memory no longer little.
LARGEST = 2**23
#: Modules from elsewhere may do what a graph does not repeat.
KNOWN = ("l2s_auto.", "torch.nn.")
LOGGER = logging.getLogger("l2s_auto")


@dataclass
class Replay:
    """The graph of a training, once there is one, and what it was made for.

    It reads the memory of that, so that all of it is held here.
    """

    _graph: Any = None
    _made_for: tuple[object, ...] = ()
    _shape: torch.Size = field(default_factory=torch.Size)
    _maps: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    _theta: dict[str, torch.Tensor] = field(default_factory=dict)
    _made: Batch | None = None
    _failed: bool = False

    def batch(self, parts: Parts, theta: Params, maps: torch.Tensor, make: Make) -> Batch:
        """make(parts, theta, maps), by the graph where there can be one. Random numbers are the same either way.

        theta, maps  tensors of which the values, but neither the names nor the shapes change from call to call
        """
        if self._failed or not can_be_replayed(parts, maps):
            return make(parts, theta, maps)
        made_for = (parts.generator, parts.augmenter, parts.wide, parts.random)
        same = len(self._made_for) == len(made_for) and all(map(is_, self._made_for, made_for))
        if not same or self._shape != maps.shape:
            before = parts.random.get_state()
            try:
                with on_device(parts):
                    self._capture(parts, theta, maps, make)
            except Exception as error:  # whatever it is, images can be made without
                self.drop()
                LOGGER.warning("Images are not made by a CUDA graph, but more slowly: %s", reason(error))
                recover(parts.random)
            parts.random.set_state(before)
            if self._failed:
                return make(parts, theta, maps)
            self._made_for, self._shape = made_for, maps.shape
        self._maps.copy_(maps)
        for name, value in self._theta.items():
            value.copy_(theta[name])
        with on_device(parts):
            self._graph.replay()
        assert self._made is not None
        return Batch(self._made.image.clone(), self._made.target.clone())

    def drop(self) -> bool:
        """Have no graph from now on -> whether there was one."""
        had = self._graph is not None
        self._graph = self._made = None
        self._maps, self._theta, self._made_for, self._failed = torch.empty(0), {}, (), True
        return had

    def _capture(self, parts: Parts, theta: Params, maps: torch.Tensor, make: Make) -> None:
        self._graph = self._made = None
        self._maps, self._theta = maps.clone(), {name: value.detach().clone() for name, value in theta.items()}
        before = parts.random.get_state()
        beside, usual = torch.cuda.Stream(parts.device), torch.cuda.current_stream(parts.device)
        beside.wait_stream(usual)
        with torch.cuda.stream(beside), without_waiting():
            make(parts, self._theta, self._maps)  # kernels are loaded, and constants made
            parts.random.set_state(before)
            with waiting_is_an_error():  # a graph that is begun and cannot be ended leaves much behind
                expected = make(parts, self._theta, self._maps)
        usual.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(parts.random)
        try:
            with torch.cuda.graph(graph, stream=beside), without_waiting():
                self._made = make(parts, self._theta, self._maps)
        finally:
            torch.cuda.set_stream(usual)
        parts.random.set_state(before)
        graph.replay()
        if not same_images(self._made, expected):
            raise RuntimeError("its images are others than those made one by one")
        self._graph = graph


def on_device(parts: Parts) -> AbstractContextManager[None]:
    """Meanwhile streams and graphs are those of the parts' device."""
    return torch.cuda.device(parts.device) if parts.device.type == "cuda" else nullcontext()


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Meanwhile what waits for the device raises RuntimeError, as far as PyTorch knows of it."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def same_images(one: Batch, other: Batch) -> bool:
    """Whether two batches are the same, to the rounding."""
    return torch.equal(one.target, other.target) and bool((one.image - other.image).abs().mean() < 1e-4)


def reason(error: Exception) -> str:
    """Its first line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def recover(random: torch.Generator) -> None:
    """After a graph that could not be ended, whose random numbers would go on being those of a graph."""
    if random.device.type == "cuda":
        random.graphsafe_set_state(torch.Generator(random.device).graphsafe_get_state())


def can_be_replayed(parts: Parts, maps: torch.Tensor) -> bool:
    """Whether the images depend on nothing but tensors and random numbers on one CUDA device, and are small."""
    return (
        parts.device.type == "cuda"
        and parts.team.size == 1
        and parts.plan.low_resolution is None
        and not getattr(parts.augmenter, "learns_share", False)
        and all(type(module).__module__.startswith(KNOWN) for module in parts.augmenter.modules())
        and maps.numel() <= LARGEST
    )
