"""Matrices along axes are an einsum; the spline is SciPy's."""

import pytest
import torch
from scipy.interpolate import BSpline

from l2s_auto.core.separable import along_axes, cubic_spline


@pytest.mark.parametrize("batched", [False, True])
def test_matrices_along_axes_are_an_einsum(batched):
    random = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 4, 5, 6, generator=random, dtype=torch.float64)
    ahead = (2,) if batched else ()
    matrices = [torch.rand(*ahead, m, n, generator=random, dtype=torch.float64) for m, n in ((7, 4), (2, 5), (1, 6))]
    b = "b" if batched else ""
    expected = torch.einsum(f"bcxyz,{b}ix,{b}jy,{b}kz->bcijk", image, *matrices)
    torch.testing.assert_close(along_axes(image, matrices), expected)


def test_the_spline_is_scipys_and_sums_to_one():
    distance = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    expected = torch.from_numpy(
        BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)(distance.numpy())
    ).nan_to_num()
    torch.testing.assert_close(cubic_spline(distance), expected)
    shifted = torch.stack([cubic_spline(torch.linspace(0, 1, 9, dtype=torch.float64) - k) for k in range(-2, 4)])
    torch.testing.assert_close(shifted.sum(0), torch.ones(9, dtype=torch.float64))
