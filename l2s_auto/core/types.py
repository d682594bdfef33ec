"""Plain values that travel between the rooms. Frozen; NumPy only, so that importing them is cheap."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Volume:
    """An image on a grid in space.

    data    (C, X, Y, Z) array, axes in the order of the file
    affine  (4, 4) voxel index -> millimetres in RAS+ world space
    notes   what reading had to assume, because the file does not say it: one sentence each, without the file's name
    """

    data: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.data.ndim == 4, f"data must be (C, X, Y, Z), not {self.data.shape}"
        assert self.affine.shape == (4, 4), f"affine must be (4, 4), not {self.affine.shape}"

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between voxel centres along each axis."""
        x, y, z = (float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z


@dataclass(frozen=True)
class Case:
    """One scan to learn from or to segment: one file a channel, and its label map if there is one.

    subject groups the cases of one person, so that a split never separates them.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None = None
    subject: str = ""

    @property
    def group(self) -> str:
        """The name that splits are grouped by: the subject, or the case itself."""
        return self.subject or self.id


@dataclass(frozen=True)
class Dataset:
    """A verified labelled dataset.

    channels  name of each image channel (empty when there are label maps only)
    labels    original label value -> name; background, value 0, included
    regions   name -> values that make it up together; all that is scored, where there are any
    ignore    value of voxels that nobody labelled; None: all voxels are labelled
    notes     sentences for the user: what was assumed, and which files are not used
    """

    name: str
    folder: Path
    cases: tuple[Case, ...]
    channels: tuple[str, ...]
    labels: dict[int, str]
    test_cases: tuple[Case, ...] = ()
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_images(self) -> bool:
        return all(case.images for case in self.cases)


@dataclass(frozen=True)
class Batch:
    """What a network learns from.

    image   (B, C, *S) float, normalised to about [0, 1]
    target  (B, *S) int64 index of the network's output class
    """

    image: torch.Tensor
    target: torch.Tensor


@dataclass
class TrainState:
    """Everything that changes while training; a checkpoint is exactly this.

    step         iterations done
    seconds      training time spent, over all runs of a resumed training
    phi          weights of S_phi by name
    inner_state  state of phi's update rule
    theta        parameters of A_theta by name
    outer_state  state of theta's update rule
    signal       how theta's gradients of different batches agreed
    moments      mean gradients of real and of synthetic images, where theta is found by matching them
    general      phi and inner_state before the home phase; empty: it has not started, or there is none
    rng          state of the random generators
    """

    step: int
    seconds: float
    phi: dict[str, torch.Tensor]
    inner_state: dict[str, Any]
    theta: dict[str, torch.Tensor]
    outer_state: dict[str, Any]
    signal: dict[str, Any] = field(default_factory=dict)
    moments: dict[str, Any] = field(default_factory=dict)
    general: dict[str, Any] = field(default_factory=dict)
    rng: dict[str, Any] = field(default_factory=dict)
