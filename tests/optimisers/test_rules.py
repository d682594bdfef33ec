"""Updates are PyTorch's optimisers', change nothing in place, and do not depend on how tensors lie in memory."""

import pytest
import torch

from l2s_auto.core.component import Component, build
from l2s_auto.core.errors import UserError
from l2s_auto.optimisers import OPTIMISERS, SGD, Adam, AdamW, adam, sgd
from tests.optimisers.common import CLIPS, RULES, after_steps, make, tensors


def theirs(name, params):
    options = dict(RULES[name][1])
    options["lr"] = options.pop("rate")
    if RULES[name][0].startswith("adam"):
        options["betas"] = options.pop("beta1", 0.9), options.pop("beta2", 0.999)
        options["eps"] = options.pop("epsilon", 1e-8)
        return (torch.optim.AdamW if RULES[name][0] == "adamw" else torch.optim.Adam)(params, **options)
    momentum = 0.0 if RULES[name][0] == "sgd" else 0.9
    return torch.optim.SGD(params, momentum=momentum, nesterov=RULES[name][0] == "nesterov", **options)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("clip_norm", CLIPS)
@pytest.mark.parametrize("name", RULES)
def test_updates_are_those_of_pytorch(name, clip_norm, fused, monkeypatch):
    for module in (adam, sgd):
        monkeypatch.setattr(module, "has_fused_kernels", lambda params: fused)
    rule, params = make(name, clip_norm), tensors(0)
    state = rule.init(params)
    leaves = [p.clone().requires_grad_() for p in params.values()]
    optimiser = theirs(name, leaves)
    for step in range(5):
        grads = tensors(step + 1)
        for p, g in zip(leaves, grads.values(), strict=True):
            p.grad = g.clone()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(leaves, clip_norm)
        for group in optimiser.param_groups:
            group["lr"] = rule.rate * 0.8**step
        optimiser.step()
        params, state = rule.update(params, grads, state, rate_scale=0.8**step)
        for ours, p in zip(params.values(), leaves, strict=True):
            torch.testing.assert_close(ours, p.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_cpu_has_fused_kernels(dtype):
    assert adam.has_fused_kernels(tensors(0, dtype=dtype))
    assert not adam.has_fused_kernels({"w": torch.zeros(3, device="meta")})


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("name", RULES)
def test_nothing_is_changed_in_place(name, clip_norm, fused, monkeypatch):
    for module in (adam, sgd):
        monkeypatch.setattr(module, "has_fused_kernels", lambda params: fused)
    rule = make(name, clip_norm)
    params, state = after_steps(rule, 2)
    grads, v = tensors(5), tensors(6)

    def flat():
        means = [t for value in state.values() if isinstance(value, dict) for t in value.values()]
        return [t.clone() for group in (params, grads, v) for t in group.values()] + [t.clone() for t in means]

    before, count = flat(), state.get("count")
    rule.update(params, grads, state)
    rule.vjp(v, grads, state)
    assert all(torch.equal(a, b) for a, b in zip(before, flat(), strict=True))
    assert state.get("count") == count


@pytest.mark.parametrize("name", RULES)
def test_new_values_share_no_memory_with_old_ones(name):
    rule = make(name)
    params, state = after_steps(rule, 1)
    grads = tensors(5)
    new, new_state = rule.update(params, grads, state)
    old = {t.data_ptr() for d in (params, grads, *state.values()) if isinstance(d, dict) for t in d.values()}
    assert old.isdisjoint(t.data_ptr() for d in (new, *new_state.values()) if isinstance(d, dict) for t in d.values())


@pytest.mark.parametrize("which", ["parameters", "gradients", "state"])
@pytest.mark.parametrize("name", RULES)
def test_the_order_of_elements_in_memory_does_not_matter(name, which):
    """PyTorch's fused kernels on the CPU pair wrong elements where strides differ, without any error."""

    def tensor(seed, last=False):
        x = torch.randn(4, 3, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
        return {"w": x.contiguous(memory_format=torch.channels_last_3d) if last else x}

    rule = make(name, 1.0)
    params, state = rule.update(tensor(0), tensor(1), rule.init(tensor(0)))
    expected, _ = rule.update(params, tensor(2), state)
    if which == "state":
        last = rule.init(tensor(0, last=True))
        _, state = rule.update(tensor(0, last=True), tensor(1), last)
    elif which == "parameters":
        params = {"w": params["w"].contiguous(memory_format=torch.channels_last_3d)}
    got, _ = rule.update(params, tensor(2, last=which == "gradients"), state)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", RULES)
def test_scalars_expanded_tensors_and_no_tensors_are_weights_too(name):
    rule = make(name, 1.0)
    assert rule.update({}, {}, rule.init({}))[0] == {}
    assert rule.vjp({}, {}, rule.init({})) == {}
    wide = {"scalar": torch.tensor(2.0), "wide": torch.tensor([[1.0], [2.0]]).expand(2, 3)}
    dense = {k: p.contiguous() for k, p in wide.items()}
    got, _ = rule.update(wide, wide, rule.init(wide))
    expected, _ = rule.update(dense, dense, rule.init(dense))
    torch.testing.assert_close(got, expected)


def test_names_differ_by_their_defaults():
    assert [getattr(OPTIMISERS[n](), "momentum", None) for n in ("sgd", "momentum", "nesterov", "adam")] == [
        0.0,
        0.9,
        0.9,
        None,
    ]
    assert OPTIMISERS["nesterov"]().nesterov and not OPTIMISERS["momentum"]().nesterov
    assert OPTIMISERS["nesterov"](momentum=0.99).momentum == 0.99


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_misspelt_option_is_an_error_that_names_the_options(name):
    with pytest.raises(UserError, match="no such option") as error:
        build(Component(name=name, options={"clipnorm": 1.0}), OPTIMISERS, kind="optimiser")
    assert "clip_norm" in str(error.value)


@pytest.mark.parametrize(
    ("rule", "wrong", "message"),
    [
        *((r, {"rate": x}, "rate > 0") for r in (SGD, Adam, AdamW) for x in (0, -1, float("nan"), float("inf"), "1")),
        *((r, {"clip_norm": x}, "clip_norm > 0") for r in (SGD, Adam, AdamW) for x in (0, -1.0, True)),
        *((r, {"weight_decay": -1}, "weight_decay >= 0") for r in (SGD, AdamW)),
        *((r, {b: x}, f"{b} >= 0 and < 1") for r in (Adam, AdamW) for b in ("beta1", "beta2") for x in (-0.1, 1)),
        *((r, {"epsilon": 0}, "epsilon > 0") for r in (Adam, AdamW)),
        (SGD, {"momentum": 1}, "momentum >= 0 and < 1"),
        (SGD, {"nesterov": True}, "momentum > 0"),
    ],
)
def test_an_option_out_of_range_is_an_error(rule, wrong, message):
    with pytest.raises(ValueError, match=f"{rule.__name__} .*needs {message}"):
        rule(**wrong)
