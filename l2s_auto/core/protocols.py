"""Contracts of the replaceable parts. B batch, C channels, K classes, S spatial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Params = Mapping[str, "torch.Tensor"]
State = Mapping[str, Any]


class Network(Protocol):
    """S_phi: (B, C, *S) image -> (B, K, *S) logits."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor: ...


class Augmenter(Protocol):
    """A_theta. What is random is drawn first and applied second, so that an image can be made again."""

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        """Random numbers for images of the shape, type and device of `image` (B, C, *S), the batch first in each.

        They depend neither on theta nor on what the image shows: a process draws those of the others too.
        """
        ...

    def __call__(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(B, C, *S) image, what `draw` gave -> (B, C, *S) augmented image; differentiable in theta."""
        ...

    def bounded(self) -> dict[str, float]:
        """Theta as a user reads it: noise as a share of the intensity range, exponents as they are."""
        ...


class Loss(Protocol):
    """(B, K, *S) logits, (B, *S) class indices -> scalar, lower is better: the mean of the samples' own losses."""

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor: ...


class UpdateRule(Protocol):
    """An optimiser as a function, together with its derivative. Nothing is changed in place."""

    def init(self, params: Params) -> dict[str, Any]:
        """State before the first update."""
        ...

    def update(
        self, params: Params, grads: Params, state: State, *, rate_scale: float = 1.0
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(parameters, gradients, state) -> (new parameters, new state); rate_scale multiplies the learning rate."""
        ...

    def vjp(self, v: Params, grads: Params, state: State, *, rate_scale: float = 1.0) -> dict[str, torch.Tensor]:
        """v · d(new parameters)/d(gradients), at the state *before* the update."""
        ...


class BilevelProblem(Protocol):
    """Both losses of one hyper-step. Batches and random numbers are fixed, so that everything may be evaluated again.

    A batch may be taken in pieces, slices over its samples: a piece's loss is its share of the loss of the whole
    batch, so that pieces add up; so do processes, when several train one model.

    fast  compute the network in the device's fast precision, the loss in float32
    """

    @property
    def synthetic(self) -> int:
        """Synthetic samples in this process."""
        ...

    @property
    def real(self) -> int:
        """Labelled real samples in this process."""
        ...

    def augmented(self, theta: Params, piece: slice) -> torch.Tensor:
        """What the network sees: (B, C, *S) images of the piece, augmented by A_theta; differentiable in theta."""
        ...

    def synth_loss(self, phi: Params, image: torch.Tensor, piece: slice, *, fast: bool = False) -> torch.Tensor:
        """Share of the synthetic loss of the network phi on `image`, the piece's augmented images."""
        ...

    def real_loss(self, phi: Params, piece: slice, *, fast: bool = False) -> torch.Tensor:
        """Share of the loss of the network phi on the piece of the labelled real images."""
        ...

    def joint(self, values: Params) -> dict[str, torch.Tensor]:
        """Each tensor summed over the processes that train together; the same tensors if there is one."""
        ...


@dataclass(frozen=True)
class BilevelStep:
    """What a hyper-step gives: phi after its update on the synthetic loss, and the real loss's gradient by theta.

    direction  u, by which theta's gradient is d<u, synthetic gradient>/d(theta); None: the estimator has none
    """

    phi: dict[str, torch.Tensor]
    inner_state: dict[str, Any]
    theta_grad: dict[str, torch.Tensor]
    synth_loss: float
    real_loss: float
    direction: Params | None = None


class Hypergradient(Protocol):
    """An estimator of d(real loss at the updated phi)/d(theta)."""

    def __call__(
        self,
        problem: BilevelProblem,
        phi: Params,
        theta: Params,
        rule: UpdateRule,
        state: State,
        *,
        rate_scale: float = 1.0,
    ) -> BilevelStep: ...
