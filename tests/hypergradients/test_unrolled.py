"""The hypergradient against numerical derivatives of the whole two-pass objective, in float64."""

import pytest
import torch
from torch import nn

from l2s_auto.augmenters import Parametric, ParametricRandom
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.core.types import Batch
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.losses import DiceCrossEntropy
from l2s_auto.networks import build_network, call, parameters
from l2s_auto.optimisers import SGD, Adam
from l2s_auto.synthesis.intensity import rescale

RULES = {
    "momentum": SGD(rate=0.05, momentum=0.9),
    "nesterov": SGD(rate=0.05, momentum=0.9, nesterov=True),
    "adam": Adam(rate=1e-2),
}
SHAPE = (8, 8, 8)


class Problem:
    """Both losses on small random volumes, everything random fixed."""

    def __init__(self, network, augmenter, seed):
        generator = torch.Generator().manual_seed(seed)
        self.network, self.augmenter, self.loss = network, augmenter, DiceCrossEntropy()

        def batch():
            image = torch.rand(2, 1, *SHAPE, generator=generator, dtype=torch.float64)
            return Batch(image, (image[:, 0] > 0.5).long())

        self.synthetic, self.real = batch(), batch()
        self.noise = augmenter.draw(self.synthetic.image, generator)

    def synth_loss(self, phi, theta):
        image = rescale(call(self.augmenter, theta, self.synthetic.image, self.noise))
        return self.loss(call(self.network, phi, image), self.synthetic.target)

    def real_loss(self, phi):
        return self.loss(call(self.network, phi, self.real.image), self.real.target)


def make_network():
    torch.manual_seed(0)
    topology = Topology(
        features=(4, 6),
        kernels=((3, 3, 3),) * 2,
        strides=((1, 1, 1), (2, 2, 2)),
        convolutions_encoder=(1, 1),
        convolutions_decoder=(1,),
    )
    return build_network(Component(name="unet"), channels=1, classes=2, topology=topology).double()


def real_loss_after_update(problem, phi, theta, rule, state):
    """The two-pass objective as a function of theta: update phi on the synthetic loss, look at the real one."""
    leaves = {k: p.clone().requires_grad_() for k, p in phi.items()}
    grads = torch.autograd.grad(problem.synth_loss(leaves, theta), list(leaves.values()))
    new, _ = rule.update(phi, dict(zip(phi, grads, strict=True)), state)
    return problem.real_loss(new).item()


def numerical_gradient(problem, phi, theta, rule, state, h=1e-4):
    result = {}
    for name, value in theta.items():
        grad = torch.zeros_like(value)
        for i in range(value.numel()):
            ends = []
            for sign in (1, -1):
                moved = value.clone()
                moved.view(-1)[i] += sign * h
                ends.append(real_loss_after_update(problem, phi, {**theta, name: moved}, rule, state))
            grad.view(-1)[i] = (ends[0] - ends[1]) / (2 * h)
        result[name] = grad
    return result


@pytest.mark.parametrize("augmenter", [Parametric, ParametricRandom])
@pytest.mark.parametrize("rule_name", RULES)
def test_agrees_with_numerical_derivatives_after_several_steps(rule_name, augmenter):
    rule, model, estimator = RULES[rule_name], augmenter(sigma=0.1).double(), HYPERGRADIENTS["unrolled"]()
    network = make_network()
    phi, theta = parameters(network), parameters(model)
    state = rule.init(phi)
    for seed in range(4):
        problem = Problem(network, model, seed)
        step = estimator(problem, phi, theta, rule, state)
        if seed == 3:
            expected = numerical_gradient(problem, phi, theta, rule, state)
        phi, state = step.phi, step.inner_state
    got = torch.cat([step.theta_grad[k].flatten() for k in theta])
    expected = torch.cat([expected[k].flatten() for k in theta])
    assert expected.norm() > 0
    assert (got - expected).norm() / expected.norm() < 1e-4


@pytest.mark.parametrize("rule_name", RULES)
def test_phi_moves_by_the_synthetic_gradient_alone(rule_name):
    """S_phi is never updated on a real image: other real images, the same phi."""
    rule, model, network = RULES[rule_name], Parametric().double(), make_network()
    phi, theta = parameters(network), parameters(model)
    estimator = HYPERGRADIENTS["unrolled"]()
    one, other = Problem(network, model, 0), Problem(network, model, 0)
    other.real = Problem(network, model, 9).real
    first, second = (estimator(p, phi, theta, rule, rule.init(phi)) for p in (one, other))
    assert all(torch.equal(first.phi[k], second.phi[k]) for k in phi)
    assert any(not torch.equal(first.theta_grad[k], second.theta_grad[k]) for k in theta)


def test_a_theta_without_influence_is_an_error():
    class Idle(Parametric):
        def __init__(self):
            super().__init__()
            self.idle = nn.Parameter(torch.zeros(()))

    model, network, rule = Idle().double(), make_network(), SGD()
    phi = parameters(network)
    with pytest.raises(RuntimeError, match="not have been used"):
        HYPERGRADIENTS["unrolled"]()(Problem(network, model, 0), phi, parameters(model), rule, rule.init(phi))
