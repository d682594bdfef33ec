"""The rendered images of a plain iteration on CUDA, as one graph: its two thousand small kernels are started at once.

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

from l2s_auto.augmenters import learns_share
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch
from l2s_auto.synthesis.thin import without_waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2s_auto.training.build import Parts

    Make = Callable[[Parts, Params, torch.Tensor, tuple[str, ...]], Batch | None]

#: Voxels of a batch from which on kernels are no longer small, and a graph's own memory no longer little.
LARGEST = 2**23
#: Modules from elsewhere may do what a graph does not repeat.
KNOWN = ("l2s_auto.", "torch.nn.")
LOGGER = logging.getLogger("l2s_auto")


@dataclass
class Graph:
    """A graph that is captured, and what it was made for.

    It reads the memory of that, so that all of it is held here.
    """

    graph: Any
    made_for: tuple[object, ...]
    maps: torch.Tensor
    theta: dict[str, torch.Tensor]
    made: Batch


@dataclass
class Replay:
    """The graphs of a training: one for each row of families that a batch may have."""

    _graphs: dict[tuple[str, ...], Graph] = field(default_factory=dict)
    _failed: bool = False

    def batch(
        self, parts: Parts, theta: Params, maps: torch.Tensor, families: tuple[str, ...], make: Make
    ) -> Batch | None:
        """make(parts, theta, maps, families), by a graph where there can be one. Random numbers are the same either
        way.

        theta, maps  tensors of which the values, but neither the names nor the shapes change from call to call
        """
        if self._failed or not can_be_replayed(parts, maps):
            return make(parts, theta, maps, families)
        graph = self._graphs.get(families)
        if graph is None or not self._is_for(graph, parts, maps):
            before = parts.random.get_state()
            try:
                with on_device(parts):
                    graph = self._capture(parts, theta, maps, families, make)
            except Exception as error:  # whatever it is, images can be made without
                self.drop()
                LOGGER.warning("Images are not made by a CUDA graph, but more slowly: %s", reason(error))
                recover(parts.random)
            parts.random.set_state(before)
            if self._failed or graph is None:
                return make(parts, theta, maps, families)
        graph.maps.copy_(maps)
        for name, value in graph.theta.items():
            value.copy_(theta[name])
        with on_device(parts):
            graph.graph.replay()
        return Batch(graph.made.image.clone(), graph.made.target.clone())

    def drop(self) -> bool:
        """Have no graph from now on -> whether there was one."""
        had = bool(self._graphs)
        self._graphs, self._failed = {}, True
        return had

    @staticmethod
    def _is_for(graph: Graph, parts: Parts, maps: torch.Tensor) -> bool:
        return all(map(is_, graph.made_for, made_for(parts))) and graph.maps.shape == maps.shape

    def _capture(self, parts: Parts, theta: Params, maps: torch.Tensor, families: tuple[str, ...], make: Make) -> Graph:
        self._graphs = {key: graph for key, graph in self._graphs.items() if self._is_for(graph, parts, graph.maps)}
        maps, theta = maps.clone(), {name: value.detach().clone() for name, value in theta.items()}
        before = parts.random.get_state()
        beside, usual = torch.cuda.Stream(parts.device), torch.cuda.current_stream(parts.device)
        beside.wait_stream(usual)
        with torch.cuda.stream(beside), without_waiting():
            make(parts, theta, maps, families)  # kernels are loaded, and constants made
            parts.random.set_state(before)
            with waiting_is_an_error():  # a graph that is begun and cannot be ended leaves much behind
                expected = make(parts, theta, maps, families)
        usual.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(parts.random)
        try:
            with torch.cuda.graph(graph, stream=beside), without_waiting():
                made = make(parts, theta, maps, families)
        finally:
            torch.cuda.set_stream(usual)
        parts.random.set_state(before)
        graph.replay()
        if made is None or expected is None or not same_images(made, expected):
            raise RuntimeError("its images are others than those made one by one")
        self._graphs[families] = Graph(graph, made_for(parts), maps, theta, made)
        return self._graphs[families]


def made_for(parts: Parts) -> tuple[object, ...]:
    """What a graph reads beside theta and label maps."""
    return parts.generator, parts.augmenter, parts.randomised, parts.random


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
        and not learns_share(parts.augmenter)
        and all(type(module).__module__.startswith(KNOWN) for module in parts.augmenter.modules())
        and maps.numel() <= LARGEST
    )
