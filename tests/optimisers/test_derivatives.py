"""vjp is the derivative of the update that is made: by autograd of a plain statement, and numerically."""

import pytest
import torch

from l2s_auto.optimisers import Adam
from tests.optimisers.common import CLIPS, RULES, after_steps, make, plain_update, tensors


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("clip_norm", CLIPS)
@pytest.mark.parametrize("name", RULES)
def test_vjp_is_autograds_of_the_plain_statement(name, clip_norm, steps):
    rule = make(name, clip_norm)
    params, state = after_steps(rule, steps)
    grads, v = {k: g.requires_grad_() for k, g in tensors(77).items()}, tensors(78)
    new = plain_update(rule, params, grads, state, rate_scale=0.5)
    made, _ = rule.update(params, grads, state, rate_scale=0.5)
    torch.testing.assert_close(made, {k: x.detach() for k, x in new.items()}, rtol=1e-9, atol=1e-12)
    expected = torch.autograd.grad(sum((v[k] * new[k]).sum() for k in v), list(grads.values()))
    got = rule.vjp(v, {k: g.detach() for k, g in grads.items()}, state, rate_scale=0.5)
    for k, e in zip(v, expected, strict=True):
        torch.testing.assert_close(got[k], e, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("clip_norm", CLIPS)
@pytest.mark.parametrize("name", RULES)
def test_vjp_agrees_with_central_differences_of_the_update(name, clip_norm, steps, h=1e-6):
    rule = make(name, clip_norm)
    params, state = after_steps(rule, steps)
    grads, v, direction = tensors(77), tensors(78), tensors(79)

    def objective(t):
        new, _ = rule.update(params, {k: g + t * direction[k] for k, g in grads.items()}, state)
        return sum((v[k] * new[k]).sum() for k in v)

    expected = (objective(h) - objective(-h)) / (2 * h)
    u = rule.vjp(v, grads, state)
    torch.testing.assert_close(sum((u[k] * direction[k]).sum() for k in u), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("zero_steps", [0, 3])
@pytest.mark.parametrize("g", [0.0, 1e-10, -1e-9, 1e-8, 1e-7, -1e-5])
@pytest.mark.parametrize("name", ["adam", "adam, other options", "adamw"])
def test_adams_derivative_is_the_numerical_one_at_and_near_zero(name, g, zero_steps):
    """For a weight that has had zeros alone; the weight is 0, so that its tiny moves are not rounded."""
    rule, p = make(name), {"w": torch.zeros((), dtype=torch.float64)}
    state = rule.init(p)
    for _ in range(zero_steps):
        p, state = rule.update(p, {"w": torch.zeros_like(p["w"])}, state)
    h = abs(g) * 1e-4 or 1e-14

    def moved(x):
        return rule.update(p, {"w": torch.tensor(x, dtype=torch.float64)}, state)[0]["w"]

    got = rule.vjp({"w": torch.ones_like(p["w"])}, {"w": torch.full_like(p["w"], g)}, state)["w"]
    torch.testing.assert_close(got, (moved(g + h) - moved(g - h)) / (2 * h), rtol=1e-4, atol=0)
    if g == 0:
        c1 = 1 - rule.beta1 ** (zero_steps + 1)
        assert got.item() == pytest.approx(-rule.rate * (1 - rule.beta1) / (c1 * rule.epsilon))


@pytest.mark.parametrize("clip_norm", [None, 0.5, 1e-8])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RULES)
def test_gradients_that_were_always_zero_give_finite_numbers_and_no_update(name, dtype, steps, clip_norm):
    rule, params = make(name, clip_norm), tensors(0, dtype=dtype)
    rule.weight_decay = 0.0
    zero = {k: torch.zeros_like(p) for k, p in params.items()}
    state, new = rule.init(params), params
    for _ in range(steps):
        new, state = rule.update(new, zero, state)
    new, _ = rule.update(new, zero, state)
    assert all(torch.equal(new[k], params[k]) for k in params)
    assert all(d.isfinite().all() for d in rule.vjp(tensors(1, dtype=dtype), zero, state).values())
    assert all((d == 0).all() for d in rule.vjp(zero, zero, state).values())


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RULES)
def test_one_weight_without_gradient_rests_and_leaves_the_others_alone(name, dtype, steps, clip_norm):
    rule, params = make(name, clip_norm), tensors(0, dtype=dtype)
    rule.weight_decay = 0.0

    def grads(seed):
        return {**tensors(seed, dtype=dtype), "w1": torch.zeros(4, 2, dtype=dtype)}

    state, new = rule.init(params), params
    for step in range(steps):
        new, state = rule.update(new, grads(step), state)
    new, _ = rule.update(new, grads(77), state)
    assert torch.equal(new["w1"], params["w1"])
    assert not torch.equal(new["w0"], params["w0"])

    v = {**tensors(78, dtype=dtype), "w1": torch.zeros(4, 2, dtype=dtype)}
    u = rule.vjp(v, grads(77), state)
    assert all(x.isfinite().all() for x in u.values())
    assert (u["w1"] == 0).all(), "a weight that the real loss does not feel has no say, however large its derivative"
    assert all(x.isfinite().all() for x in rule.vjp(tensors(79, dtype=dtype), grads(77), state).values())


def test_a_zero_after_other_gradients_has_its_own_derivative():
    """The mean still moves such a weight: nothing special happens at g = 0."""
    rule = make("adam")
    params, state = after_steps(rule, 3)
    grads = {k: torch.zeros_like(p).requires_grad_() for k, p in params.items()}
    new, v = plain_update(rule, params, grads, state), tensors(78)
    expected = torch.autograd.grad(sum((v[k] * new[k]).sum() for k in v), list(grads.values()))
    got = rule.vjp(v, {k: g.detach() for k, g in grads.items()}, state)
    torch.testing.assert_close(list(got.values()), list(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6, 1e-12, 1e-21, 1e-30, 1e15])
def test_float32_agrees_with_float64(size, steps):
    """The first update hardly depends on g: its derivative must not be what rounding leaves of a difference."""

    def scaled(seed, dtype):
        return {"w": (torch.randn(1000, generator=torch.Generator().manual_seed(seed)) * size).to(dtype)}

    results = []
    for dtype in (torch.float32, torch.float64):
        rule = Adam()
        params = {"w": torch.zeros(1000, dtype=dtype)}
        state = rule.init(params)
        for step in range(steps):
            params, state = rule.update(params, scaled(step, dtype), state)
        v = {"w": torch.ones(1000, dtype=dtype)}
        results.append(rule.vjp(v, scaled(77, dtype), state)["w"].double())
    single, double = results
    assert single.isfinite().all()
    assert (single - double).norm() <= 1e-5 * double.norm()
