"""U-Net topology from voxel size and patch, by the rules of nnU-Net (Isensee et al., Nature Methods 2021)."""

from __future__ import annotations

from l2s_auto.core.digits import relative
from l2s_auto.core.limits import MOST_FEATURES
from l2s_auto.core.plan import Topology, Triple, Voxels

SMALLEST = 4  # voxels that an axis keeps at the bottom of the U-Net
SIMILAR = 2.0  # axes whose spacing is within this factor of the smallest are treated alike
BLOCKS = (1, 3, 4, 6)  # of a residual encoder's first stages; the others have as many as the last of these


def determine_topology(
    spacing: Triple, patch: Voxels, *, base_features: int, residual: bool = False
) -> tuple[Topology, Voxels]:
    """Voxel size (any unit) and the patch wanted -> the topology, and the patch, enlarged to what the poolings divide.

    - An axis is halved while it keeps at least 4 voxels and its spacing (which halving doubles) is within a factor of 2
      of the smallest among the axes that can still be halved. A single axis is halved only from 12 voxels on.
    - Kernels have extent 1 along an axis whose spacing is still 2 or more times the smallest, else 3; once 3, always 3.
      An axis of one voxel has nothing to convolve along: extent 1.
    - Features double at each stage, up to 320; two convolutions a stage in encoder and decoder. With a residual encoder
      1, 3, 4, 6, 6, ... blocks a stage, and one convolution in the decoder.
    """
    now_spacing, now_size = list(relative(spacing)), list(patch)
    kernel = [1, 1, 1]
    kernels: list[Voxels] = []
    strides: list[Voxels] = [(1, 1, 1)]
    while True:
        kernel = _widened(kernel, now_spacing, patch)
        kernels.append((kernel[0], kernel[1], kernel[2]))
        pooled = _axes_to_pool(now_spacing, now_size)
        if not pooled:
            break
        x, y, z = (2 if axis in pooled else 1 for axis in range(3))
        strides.append((x, y, z))
        now_spacing = [s * f for s, f in zip(now_spacing, (x, y, z), strict=True)]
        now_size = [-(-n // f) for n, f in zip(now_size, (x, y, z), strict=True)]
    stages = len(strides)
    topology = Topology(
        features=tuple(min(MOST_FEATURES, base_features * 2**stage) for stage in range(stages)),
        kernels=tuple(kernels),
        strides=tuple(strides),
        convolutions_encoder=tuple(BLOCKS[min(i, len(BLOCKS) - 1)] if residual else 2 for i in range(stages)),
        convolutions_decoder=(1 if residual else 2,) * (stages - 1),
        residual=residual,
    )
    return topology, padded(patch, topology)


def padded(patch: Voxels, topology: Topology) -> Voxels:
    """The smallest patch at least as large that every pooling divides."""
    x, y, z = (-(-n // d) * d for n, d in zip(patch, topology.divisor, strict=True))
    return x, y, z


def _axes_to_pool(spacing: list[float], size: list[int]) -> list[int]:
    large = [axis for axis in range(3) if size[axis] >= 2 * SMALLEST]
    if not large:
        return []
    finest = min(spacing[axis] for axis in large)
    similar = [axis for axis in large if spacing[axis] / finest < SIMILAR]
    if len(similar) == 1 and size[similar[0]] < 3 * SMALLEST:
        return []
    return similar


def _widened(kernel: list[int], spacing: list[float], patch: Voxels) -> list[int]:
    extended = [axis for axis in range(3) if patch[axis] > 1]
    if not extended:
        return [1, 1, 1]
    finest = min(spacing[axis] for axis in extended)
    return [
        3 if axis in extended and (kernel[axis] == 3 or spacing[axis] / finest < SIMILAR) else 1 for axis in range(3)
    ]
