"""Rules by value, random weights, and each rule stated plainly, so that autograd can differentiate it."""

import torch

from l2s_auto.optimisers import OPTIMISERS

#: name -> (name in the registry, options)
RULES = {
    "sgd": ("sgd", {"rate": 0.1}),
    "sgd, decay": ("sgd", {"rate": 0.1, "weight_decay": 0.3}),
    "momentum": ("momentum", {"rate": 0.1}),
    "nesterov": ("nesterov", {"rate": 0.1}),
    "nesterov, decay": ("nesterov", {"rate": 0.1, "weight_decay": 0.3}),
    "adam": ("adam", {"rate": 0.1}),
    "adam, other options": ("adam", {"rate": 0.1, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-3}),
    "adam without means": ("adam", {"rate": 0.1, "beta1": 0.0, "beta2": 0.0}),
    "adamw": ("adamw", {"rate": 0.1, "weight_decay": 0.3}),
}
#: The joint norm of `tensors` is about 5: none, active, inactive.
CLIPS = [None, 0.5, 100.0]


def make(name, clip_norm=None):
    key, options = RULES[name]
    return OPTIMISERS[key](**options, clip_norm=clip_norm)


def tensors(seed, n=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {f"w{i}": torch.randn(4, 2, generator=generator, dtype=torch.float64).to(dtype) for i in range(n)}


def after_steps(rule, steps, dtype=torch.float64):
    params = tensors(0, dtype=dtype)
    state = rule.init(params)
    for step in range(steps):
        params, state = rule.update(params, tensors(step + 1, dtype=dtype), state)
    return params, state


def plain_update(rule, params, grads, state, rate_scale=1.0):
    """New parameters alone, in operations that autograd differentiates."""
    if rule.clip_norm is not None:
        norm = sum((g * g).sum() for g in grads.values()).sqrt()
        grads = {k: g * (rule.clip_norm / (norm + 1e-6)).clamp(max=1) for k, g in grads.items()}
    rate = rule.rate * rate_scale
    new = {}
    for k, p in params.items():
        g = grads[k]
        if hasattr(rule, "momentum"):
            g = g + rule.weight_decay * p
            buffer = rule.momentum * state["buffer"][k] + g if rule.momentum else g
            new[k] = p - rate * (g + rule.momentum * buffer if rule.nesterov else buffer)
        else:
            count = state["count"] + 1
            mean = rule.beta1 * state["mean"][k] + (1 - rule.beta1) * g
            square = rule.beta2 * state["square"][k] + (1 - rule.beta2) * g * g
            step = mean / (1 - rule.beta1**count) / ((square / (1 - rule.beta2**count)).sqrt() + rule.epsilon)
            new[k] = (1 - rate * rule.weight_decay) * p - rate * step
    return new
