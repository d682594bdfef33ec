"""The images of a plain iteration on CUDA, as one graph: its two thousand small kernels are started at once.

Starting them one by one takes a GPU of today several times as long as they do.
"""

from __future__ import annotations

import logging
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
            try:
                self._capture(parts, theta, maps, make)
            except RuntimeError as error:
                LOGGER.warning("Images are not made by a CUDA graph, but more slowly: %s", str(error).splitlines()[0])
                self._failed = True
                return make(parts, theta, maps)
            self._made_for, self._shape = made_for, maps.shape
        self._maps.copy_(maps)
        for name, value in self._theta.items():
            value.copy_(theta[name])
        self._graph.replay()
        assert self._made is not None
        return Batch(self._made.image.clone(), self._made.target.clone())

    def _capture(self, parts: Parts, theta: Params, maps: torch.Tensor, make: Make) -> None:
        self._graph = self._made = None
        self._maps, self._theta = maps.clone(), {name: value.detach().clone() for name, value in theta.items()}
        before = parts.random.get_state()
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(beside), without_waiting():  # kernels are loaded, and constants made
                for _ in range(2):
                    make(parts, self._theta, self._maps)
        finally:
            torch.cuda.current_stream().wait_stream(beside)
            parts.random.set_state(before)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(parts.random)
        with torch.cuda.graph(graph), without_waiting():
            self._made = make(parts, self._theta, self._maps)
        self._graph = graph


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
