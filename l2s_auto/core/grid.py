"""Patches, the networks that see them, and the records that plans are made of.

Axes are those of the canonical orientation (closest to R, A, S); lengths are in millimetres, extents in voxels.
"""

from __future__ import annotations

import math
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from l2s_auto.core.limits import (
    MAX_ACTIVATIONS,
    MAX_BATCH,
    MAX_CONVOLUTIONS,
    MAX_EXTENT,
    MAX_FEATURES,
    MAX_PATCH_VOXELS,
    MAX_STAGES,
    MAX_WEIGHTS,
    MIN_SPACING,
    WIDEST,
)

Triple = tuple[float, float, float]
_Extent = Annotated[int, Field(ge=1, le=MAX_PATCH_VOXELS)]
_Features = Annotated[int, Field(ge=1, le=MAX_FEATURES)]
_Convolutions = Annotated[int, Field(ge=1, le=MAX_CONVOLUTIONS)]
Voxels = tuple[_Extent, _Extent, _Extent]
Batch = Annotated[int, Field(ge=1, le=MAX_BATCH)]


class Strict(BaseModel):
    """A frozen record that refuses unknown fields, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Topology(Strict):
    """U-Net, one entry a stage, the first at full resolution.

    convolutions_encoder  of a residual encoder, its blocks of two
    """

    features: tuple[_Features, ...] = Field(min_length=1, max_length=MAX_STAGES)
    kernels: tuple[Voxels, ...] = Field(max_length=MAX_STAGES)
    strides: tuple[Voxels, ...] = Field(max_length=MAX_STAGES)
    convolutions_encoder: tuple[_Convolutions, ...] = Field(max_length=MAX_STAGES)
    convolutions_decoder: tuple[_Convolutions, ...] = Field(max_length=MAX_STAGES)
    residual: bool = False

    @property
    def divisor(self) -> Voxels:
        """What a patch must be divisible by along each axis."""
        x, y, z = (math.prod(stride[axis] for stride in self.strides) for axis in range(3))
        return x, y, z

    @property
    def weights(self) -> int:
        """About how many weights the network has, without what depends on the numbers of channels and classes."""
        convolutions = [math.prod(kernel) for kernel in self.kernels]
        blocks = 2 if self.residual else 1
        total = 0
        for stage, (width, kernel) in enumerate(zip(self.features, convolutions, strict=True)):
            below = self.features[max(stage - 1, 0)]
            total += kernel * width * (below + width * (blocks * self.convolutions_encoder[stage] - 1))
            if stage < len(self.convolutions_decoder):
                total += kernel * width * width * (self.convolutions_decoder[-1 - stage] + 1)
        return total

    @model_validator(mode="after")
    def _lengths(self) -> Topology:
        n = len(self.features)
        if not (len(self.kernels) == len(self.strides) == len(self.convolutions_encoder) == n):
            raise wrong("features", "features, kernels, strides and convolutions_encoder need one entry a stage")
        if len(self.convolutions_decoder) != n - 1:
            raise wrong("convolutions_decoder", "convolutions_decoder needs one entry fewer than there are stages")
        if any(extent % 2 == 0 or extent > 7 for kernel in self.kernels for extent in kernel):
            raise wrong("kernels", "kernels need extents of 1, 3, 5 or 7")
        if any(factor > 8 for stride in self.strides for factor in stride):
            raise wrong("strides", "strides need to be 8 at most")
        if self.weights > MAX_WEIGHTS:
            text = f"features, kernels and convolutions make {self.weights:.1e} weights, at most {MAX_WEIGHTS:.0e}"
            raise wrong("features", text)
        return self


class Early(Strict):
    """Smaller patches, and more of them in a batch, for the first part of a training: each has a contrast of its own.

    share  of the training, after which the plan's patch and batch follow
    """

    patch: Voxels
    batch: Batch
    share: float = Field(gt=0, lt=1)

    def __str__(self) -> str:
        """Such as: the first 50%: 8 patches of 24 x 32 x 24 voxels."""
        return f"the first {self.share:.0%}: {self.batch} patches of {' x '.join(map(str, self.patch))} voxels"


class LowResolution(Strict):
    """The network of a cascade that sees more of a case at once, in less detail; what it finds, the other is told.

    spacing  mm
    patch    voxels
    """

    spacing: Triple
    patch: Voxels
    batch: Batch
    topology: Topology
    early: Early | None = None


class Grid(Protocol):
    """What `require_grid` reads."""

    @property
    def spacing(self) -> Triple: ...
    @property
    def patch(self) -> Voxels: ...
    @property
    def batch(self) -> int: ...
    @property
    def topology(self) -> Topology: ...
    @property
    def early(self) -> Early | None: ...


def require_grid(field: str, grid: Grid, *, channels: int) -> None:
    """ValueError for a spacing that is none, patches that the network cannot read, or early ones that are larger.

    field     name of the grid in the plan, with a point at its end
    channels  the most that the network reads or writes at full resolution
    """
    if not (min(grid.spacing) >= MIN_SPACING and max(grid.spacing) <= WIDEST):
        limits = f"at least {MIN_SPACING:g}, at most {WIDEST:g}"
        text = f"{field}spacing {grid.spacing} needs numbers above 0, in mm, {limits}"
        raise wrong(f"{field}spacing", text)
    divisor = grid.topology.divisor
    early = grid.early
    patches = {"patch": grid.patch} if early is None else {"patch": grid.patch, "early.patch": early.patch}
    for name, patch in patches.items():
        if any(n % d for n, d in zip(patch, divisor, strict=True)):
            text = f"{field}{name} {patch} needs multiples of {divisor}, which the topology's strides divide"
            raise wrong(f"{field}{name}", text)
        if math.prod(patch) < 2 * math.prod(divisor):
            # Nor can it normalise a single voxel.
            text = f"{field}{name} {patch} leaves one voxel in the lowest stage: it needs to be above {divisor}"
            raise wrong(f"{field}{name}", text)
        voxels = math.prod(patch)
        if max(patch) > MAX_EXTENT:
            raise wrong(f"{field}{name}", f"{field}{name} {patch} needs to be {MAX_EXTENT} at most along each axis")
        if voxels > MAX_PATCH_VOXELS or voxels * max(channels, grid.topology.features[0]) > MAX_ACTIVATIONS:
            text = (
                f"{field}{name} {patch} is {voxels:.1e} voxels, at most {MAX_PATCH_VOXELS:.1e}, and times the channels "
                f"({max(channels, grid.topology.features[0])}) at most {MAX_ACTIVATIONS:.1e}"
            )
            raise wrong(f"{field}{name}", text)
    if early is not None and any(n > m for n, m in zip(early.patch, grid.patch, strict=True)):
        text = f"{field}early.patch {early.patch} needs to be {field}patch {grid.patch} at most, or early null"
        raise wrong(f"{field}early.patch", text)
    if early is not None and early.batch < grid.batch:
        text = f"{field}early.batch {early.batch} needs to be {field}batch {grid.batch} or more, or early null"
        raise wrong(f"{field}early.batch", text)


def require_coarser(low: Triple, spacing: Triple) -> None:
    """ValueError if a cascade's first network has finer voxels than its second, or much finer ones along an axis.

    Both are in mm. A scan could become far larger than it may be on the second network's grid.
    """
    ratios = [first / second for first, second in zip(low, spacing, strict=True)]
    if min(ratios) < 0.5 or math.prod(ratios) < 0.8:  # spacings are rounded
        text = f"low_resolution.spacing {low} needs to be coarser than spacing {spacing}"
        raise wrong("low_resolution.spacing", text)


def wrong(field: str, text: str) -> PydanticCustomError:
    """The error of a field that several others decide about; `io.json_files` tells its name."""
    return PydanticCustomError("wrong", "{text}", {"field": field, "text": text})
