from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.planning.topology import determine_topology


def test_hippocampus_is_as_in_nnunet() -> None:
    topology, patch = determine_topology((1.0, 1.0, 1.0), (36, 50, 35), base_features=32)
    assert patch == (40, 56, 40)
    assert topology.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert topology.kernels == ((3, 3, 3),) * 4
    assert topology.features == (32, 64, 128, 256)
    assert topology.convolutions_encoder == (2, 2, 2, 2) and topology.convolutions_decoder == (2, 2, 2)


def test_anisotropic_data_by_hand() -> None:
    """0.7 × 0.7 × 5 mm: in plane three times alone (0.7, 1.4, 2.8 -> 5.6), then 5 < 2 × 5.6 and all together."""
    topology, patch = determine_topology((0.7, 0.7, 5.0), (128, 128, 18), base_features=16)
    assert topology.strides == ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1))
    assert topology.kernels == ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    assert patch == (128, 128, 20)
    assert topology.features == (16, 32, 64, 128, 256, 320)


def test_large_cube_pools_down_to_four_voxels() -> None:
    topology, patch = determine_topology((1.0, 1.0, 1.0), (128, 128, 128), base_features=32)
    assert patch == (128, 128, 128) and topology.divisor == (32, 32, 32)
    assert topology.features == (32, 64, 128, 256, 320, 320)


def test_a_single_axis_pools_only_from_twelve_voxels_on() -> None:
    assert len(determine_topology((1, 1, 1), (11, 4, 4), base_features=8)[0].strides) == 1
    assert determine_topology((1, 1, 1), (12, 4, 4), base_features=8)[0].strides == ((1, 1, 1), (2, 1, 1))


def test_slices_and_single_voxels() -> None:
    topology, patch = determine_topology((1.0, 1.0, 5.0), (40, 56, 1), base_features=8)
    assert patch == (40, 56, 1) and all(kernel == (3, 3, 1) for kernel in topology.kernels)
    assert determine_topology((1.0, 1.0, 1.0), (1, 1, 1), base_features=8)[1] == (1, 1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_laws(seed) -> None:
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.uniform(0.3, 6, 3).tolist())
    wanted = tuple(rng.integers(1, 200, 3).tolist())
    topology, patch = determine_topology(spacing, wanted, base_features=8)
    parts = topology.divisor
    assert all(p >= w and p % d == 0 and p - w < d for p, w, d in zip(patch, wanted, parts, strict=True))
    assert all(d == 1 or p // d >= 4 for p, d in zip(patch, parts, strict=True))
    assert max(topology.features) <= 320
    # The same decision for every order of the axes.
    order = rng.permutation(3)
    turned, turned_patch = determine_topology(
        tuple(spacing[a] for a in order), tuple(wanted[a] for a in order), base_features=8
    )
    assert turned_patch == tuple(patch[a] for a in order)
    assert turned.strides == tuple(tuple(stride[a] for a in order) for stride in topology.strides)
