"""Clipping is PyTorch's, its derivative a projection, and a norm of 0 harmless."""

import pytest
import torch

from l2s_auto.optimisers.clip import clip, clip_vjp
from tests.optimisers.common import CLIPS, tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip_norm", [1e-8, 0.5, 100.0])
@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 1e6])
def test_clipping_is_pytorchs(size, clip_norm, dtype):
    grads = {k: size * g for k, g in tensors(0, dtype=dtype).items()}
    leaves = [torch.zeros_like(g).requires_grad_() for g in grads.values()]
    for p, g in zip(leaves, grads.values(), strict=True):
        p.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(leaves, clip_norm)
    for ours, p in zip(clip(grads, clip_norm).values(), leaves, strict=True):
        torch.testing.assert_close(ours, p.grad)


def test_none_and_a_norm_below_the_limit_leave_gradients_and_directions_as_they_are():
    grads, v = tensors(0), tensors(1)
    for clip_norm in (None, 100.0):
        assert all(torch.equal(g, grads[k]) for k, g in clip(grads, clip_norm).items())
        assert all(torch.equal(x, v[k]) for k, x in clip_vjp(v, grads, clip_norm).items())


def test_a_longer_gradient_is_only_cut_further():
    """Along g the derivative of a clipped gradient is 0, but for PyTorch's 1e-6 beside the norm."""
    grads = tensors(0)
    along = clip_vjp(grads, grads, 0.5)
    across = clip_vjp(tensors(1), grads, 0.5)
    assert all(x.abs().max() < 1e-6 for x in along.values())
    assert sum((across[k] * grads[k]).sum() for k in grads).abs() < 1e-6


@pytest.mark.parametrize("clip_norm", [c for c in CLIPS if c])
def test_vjp_agrees_with_autograd_in_every_direction(clip_norm):
    grads = list(tensors(0).values())

    def plain(*gs):
        norm = torch.cat([g.flatten() for g in gs]).norm()
        return torch.cat([(g * (clip_norm / (norm + 1e-6)).clamp(max=1)).flatten() for g in gs])

    jacobian = torch.cat([j.flatten(1) for j in torch.autograd.functional.jacobian(plain, tuple(grads))], dim=1)
    v = tensors(1)
    got = torch.cat([x.flatten() for x in clip_vjp(v, tensors(0), clip_norm).values()])
    torch.testing.assert_close(got, torch.cat([x.flatten() for x in v.values()]) @ jacobian, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("clip_norm", "factor"), [(1.0, 1.0), (1e-8, 1e-2)])
def test_a_norm_of_zero_has_its_limit(clip_norm, factor, dtype):
    """A limit below PyTorch's 1e-6 cuts even a gradient of 0; its derivative there is the factor alone."""
    zero, v = {k: torch.zeros_like(g) for k, g in tensors(0, dtype=dtype).items()}, tensors(1, dtype=dtype)
    assert all((g == 0).all() for g in clip(zero, clip_norm).values())
    torch.testing.assert_close(clip_vjp(v, zero, clip_norm), {k: factor * x for k, x in v.items()})
