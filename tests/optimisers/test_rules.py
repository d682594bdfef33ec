"""Update rules agree with PyTorch's optimisers, and their derivative with a numerical one."""

import pytest
import torch

from l2s_auto.optimisers import SGD, Adam

RULES = {
    "sgd": (SGD(rate=0.1, momentum=0.0), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (SGD(rate=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "nesterov": (
        SGD(rate=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (Adam(rate=0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
}


def tensors(seed, n=3):
    generator = torch.Generator().manual_seed(seed)
    return {f"w{i}": torch.randn(4, 2, generator=generator, dtype=torch.float64) for i in range(n)}


def after_steps(rule, steps):
    params, state = tensors(0), rule.init(tensors(0))
    for step in range(steps):
        params, state = rule.update(params, tensors(step + 1), state)
    return params, state


@pytest.mark.parametrize("name", RULES)
def test_updates_are_those_of_pytorch(name):
    rule, make = RULES[name]
    theirs = [p.clone().requires_grad_() for p in tensors(0).values()]
    optimiser = make(theirs)
    for step in range(5):
        for p, g in zip(theirs, tensors(step + 1).values(), strict=True):
            p.grad = g
        optimiser.step()
    for ours, p in zip(after_steps(rule, 5)[0].values(), theirs, strict=True):
        torch.testing.assert_close(ours, p.detach(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("name", RULES)
def test_vjp_is_the_derivative_of_the_update(name, steps):
    rule, _ = RULES[name]
    params, state = after_steps(rule, steps)
    grads = {k: g.requires_grad_() for k, g in tensors(77).items()}
    v = tensors(78)
    new, _ = rule.update(params, grads, state, rate_scale=0.5)
    expected = torch.autograd.grad(sum((v[k] * new[k]).sum() for k in v), list(grads.values()))
    detached = {k: g.detach() for k, g in grads.items()}
    got = rule.vjp(v, detached, state, rate_scale=0.5)
    for k, e in zip(v, expected, strict=True):
        torch.testing.assert_close(got[k], e, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_a_gradient_of_exactly_zero_gives_finite_numbers(name):
    rule, _ = RULES[name]
    params = tensors(0)
    zero = {k: torch.zeros_like(p) for k, p in params.items()}
    new, _ = rule.update(params, zero, rule.init(params))
    derivative = rule.vjp(tensors(1), zero, rule.init(params))
    assert all(torch.equal(new[k], params[k]) for k in params)
    assert all(d.isfinite().all() for d in derivative.values())


@pytest.mark.parametrize("name", RULES)
def test_nothing_is_changed_in_place(name):
    rule, _ = RULES[name]
    params, state = after_steps(rule, 2)
    before = {k: p.clone() for k, p in params.items()}
    rule.update(params, tensors(5), state)
    assert all(torch.equal(params[k], before[k]) for k in params)


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1}])
def test_a_rate_that_is_not_positive_is_an_error(wrong):
    with pytest.raises(ValueError, match="rate > 0"):
        Adam(**wrong)
    with pytest.raises(ValueError, match="rate > 0"):
        SGD(**wrong)
