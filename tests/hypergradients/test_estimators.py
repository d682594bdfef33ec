"""Estimators against each other and against numerical derivatives of the whole two-pass objective, in float64."""

import pytest
import torch
from torch import nn

from l2s_auto.augmenters import Nonparametric, Parametric, ParametricRandom
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.hypergradients.differentiate import pieces_of
from l2s_auto.hypergradients.finite_steps import step_size
from l2s_auto.losses import LOSSES
from l2s_auto.networks import parameters
from l2s_auto.optimisers import SGD, Adam, AdamW
from tests.hypergradients.problem import (
    Problem,
    along,
    cosine,
    flat,
    make_network,
    numerical_derivative,
    relative_error,
)

RULES = {
    "sgd": SGD(rate=0.05),
    "momentum": SGD(rate=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": SGD(rate=0.05, momentum=0.9, nesterov=True),
    "clipped": SGD(rate=0.05, momentum=0.9, clip_norm=0.1),
    "adam": Adam(rate=1e-2),
    "adam, clipped": Adam(rate=1e-2, clip_norm=0.1),
    "adamw": AdamW(rate=1e-2, weight_decay=0.1),
}
AUGMENTERS = {
    "parametric": lambda: Parametric(sigma=0.1),
    "parametric-random": lambda: ParametricRandom(sigma=0.1),
    "nonparametric": lambda: Nonparametric(features=2, start=0.3),
}
EXACT = ("unrolled", "forward")
DIFFERENCES = {"finite-difference": 1, "finite-difference-central": 2}


def after_steps(rule, augmenter, *, steps=3, activation="silu", loss=None):
    """(problem, phi, theta, rule, state) after some updates, each on data of its own."""
    network, model = make_network(activation), AUGMENTERS[augmenter]().double()
    phi, theta = parameters(network), parameters(model)
    state = rule.init(phi)
    for seed in range(steps):
        step = HYPERGRADIENTS["unrolled"]()(Problem(network, model, seed, loss=loss), phi, theta, rule, state)
        phi, state = step.phi, step.inner_state
    return Problem(network, model, steps, loss=loss), phi, theta, rule, state


def random_directions(theta, count=3):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in theta.items()}


@pytest.mark.parametrize("augmenter", AUGMENTERS)
@pytest.mark.parametrize("rule", RULES)
def test_exact_estimators_agree_with_numerical_derivatives_and_each_other(rule, augmenter):
    case = after_steps(RULES[rule], augmenter)
    unrolled, forward = (HYPERGRADIENTS[name]()(*case).theta_grad for name in EXACT)
    assert relative_error(forward, unrolled) < 1e-9
    steepest = {k: g / flat(unrolled).norm() for k, g in unrolled.items()}
    for direction in (steepest, *random_directions(case[2])):
        expected, scale = numerical_derivative(*case, direction), flat(unrolled).norm() * flat(direction).norm()
        assert along(unrolled, direction) == pytest.approx(expected, abs=1e-5 * scale.item())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_hypergradient_works_through_every_loss(loss):
    case = after_steps(RULES["adam"], "parametric", loss=LOSSES[loss]())
    unrolled, forward = (HYPERGRADIENTS[name]()(*case).theta_grad for name in EXACT)
    assert relative_error(forward, unrolled) < 1e-9
    for direction in random_directions(case[2]):
        expected, scale = numerical_derivative(*case, direction), flat(unrolled).norm() * flat(direction).norm()
        assert along(unrolled, direction) == pytest.approx(expected, abs=1e-5 * scale.item())
    for name in DIFFERENCES:
        assert relative_error(HYPERGRADIENTS[name](step=1e-5)(*case).theta_grad, unrolled) < 1e-2


@pytest.mark.parametrize("name", DIFFERENCES)
@pytest.mark.parametrize("rule", ["momentum", "adamw"])
@pytest.mark.parametrize("augmenter", AUGMENTERS)
def test_differences_converge_at_their_order(augmenter, rule, name):
    case = after_steps(RULES[rule], augmenter)
    exact = HYPERGRADIENTS["unrolled"]()(*case).theta_grad
    steps = (1e-3, 1e-4, 1e-5) if DIFFERENCES[name] == 1 else (4e-3, 1e-3, 2.5e-4)
    errors = [relative_error(HYPERGRADIENTS[name](step=h)(*case).theta_grad, exact) for h in steps]
    for coarse, fine, h, smaller in zip(errors, errors[1:], steps, steps[1:], strict=False):
        assert coarse / fine == pytest.approx((h / smaller) ** DIFFERENCES[name], rel=0.25)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_pieces_of_the_batch_change_nothing(name):
    case = after_steps(RULES["adam"], "parametric", steps=1)
    whole, pieces = HYPERGRADIENTS[name]()(*case), HYPERGRADIENTS[name](micro_batch=1)(*case)
    assert relative_error(pieces.theta_grad, whole.theta_grad) < 1e-9
    assert relative_error(pieces.phi, whole.phi) < 1e-12
    assert pieces.synth_loss == pytest.approx(whole.synth_loss, rel=1e-12)
    assert pieces.real_loss == pytest.approx(whole.real_loss, rel=1e-12)


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_parts_of_the_batch_average_to_the_whole(name):
    """theta's gradient from one sample alone, twice: once with each sample in front."""
    problem, phi, theta, rule, state = after_steps(RULES["momentum"], "parametric", steps=1)
    whole = HYPERGRADIENTS[name]()(problem, phi, theta, rule, state)
    halves = [HYPERGRADIENTS[name](part=0.5)(problem, phi, theta, rule, state)]
    problem.clean = type(problem.clean)(problem.clean.image.flip(0), problem.clean.target.flip(0))
    problem.noise = {k: value.flip(0) for k, value in problem.noise.items()}
    halves.append(HYPERGRADIENTS[name](part=0.5)(problem, phi, theta, rule, state))
    mean = {k: (halves[0].theta_grad[k] + halves[1].theta_grad[k]) / 2 for k in theta}
    assert relative_error(mean, whole.theta_grad) < 1e-9
    assert relative_error(halves[0].phi, whole.phi) < 1e-12


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_phi_moves_by_the_synthetic_gradient_alone(name):
    """S_phi is never updated on a real image: other real images, the same phi."""
    problem, *rest = after_steps(RULES["adam"], "parametric", steps=1)
    first = HYPERGRADIENTS[name]()(problem, *rest)
    problem.scans = Problem(problem.network, problem.augmenter, 9).scans
    second = HYPERGRADIENTS[name]()(problem, *rest)
    assert all(torch.equal(first.phi[k], second.phi[k]) for k in first.phi)
    assert any(not torch.equal(first.theta_grad[k], second.theta_grad[k]) for k in first.theta_grad)


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_all_estimators_make_the_same_update_of_phi(name):
    case = after_steps(RULES["adam"], "parametric", steps=1)
    assert relative_error(HYPERGRADIENTS[name]()(*case).phi, HYPERGRADIENTS["unrolled"]()(*case).phi) < 1e-12


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_inputs_are_left_as_they_were(name):
    problem, phi, theta, rule, state = after_steps(RULES["adam"], "parametric", steps=1)
    before = {k: p.clone() for k, p in (phi | theta).items()}
    HYPERGRADIENTS[name]()(problem, phi, theta, rule, state)
    assert all(torch.equal(before[k], p) and not p.requires_grad for k, p in (phi | theta).items())


@pytest.mark.parametrize("activation", ["elu", "silu"])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_error_in_single_precision(name, fast, activation):
    """What an estimator computes in float32 and, where it says it can bear it, in bfloat16 is close to the truth."""
    problem, phi, theta, rule, state = after_steps(RULES["adam"], "parametric", activation=activation)
    exact = HYPERGRADIENTS["unrolled"]()(problem, phi, theta, rule, state).theta_grad
    single = Problem(problem.network, problem.augmenter.float(), 3, dtype=torch.float32)
    single.clean = type(single.clean)(problem.clean.image.float(), problem.clean.target)
    single.noise = {k: value.float() for k, value in problem.noise.items()}
    phi, theta = ({k: p.float() for k, p in values.items()} for values in (phi, theta))
    state = {k: {n: s.float() for n, s in v.items()} if isinstance(v, dict) else v for k, v in state.items()}
    got = HYPERGRADIENTS[name](fast=fast)(single, phi, theta, rule, state).theta_grad
    assert all(g.dtype == torch.float32 for g in got.values())
    assert cosine(got, exact) > (0.99 if fast else 0.999)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_real_loss_without_gradient_gives_zero(name):
    problem, *rest = after_steps(RULES["adam"], "parametric", steps=1)
    problem.real_loss = lambda phi, piece, fast=False: 0 * sum(p.sum() for p in phi.values())
    grads = HYPERGRADIENTS[name]()(problem, *rest).theta_grad
    assert all(torch.equal(g, torch.zeros_like(g)) for g in grads.values())


def test_step_size_is_relative_to_the_weights():
    phi, u = {"a": torch.tensor([3.0, 4.0])}, {"a": torch.tensor([0.0, 2.0])}
    assert step_size(1e-2, phi, u).item() == pytest.approx(0.025)


def test_step_size_at_weights_of_zero_is_the_step():
    """No division by zero where all weights are 0: the gradient is finite."""
    phi, u = {"a": torch.zeros(2)}, {"a": torch.tensor([0.0, 2.0])}
    assert step_size(1e-2, phi, u).item() == pytest.approx(0.005)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_at_weights_of_zero_are_finite(name):
    problem, phi, theta, rule, _ = after_steps(RULES["sgd"], "parametric", steps=1)
    phi = {key: torch.zeros_like(p) for key, p in phi.items()}
    grads = HYPERGRADIENTS[name]()(problem, phi, theta, rule, rule.init(phi)).theta_grad
    assert all(g.isfinite().all() for g in grads.values())


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_a_theta_without_influence_has_a_gradient_of_zero(name):
    class Idle(Parametric):
        def __init__(self):
            super().__init__()
            self.idle = nn.Parameter(torch.zeros(()))

    model, network, rule = Idle().double(), make_network(), RULES["sgd"]
    phi = parameters(network)
    grads = HYPERGRADIENTS[name]()(Problem(network, model, 0), phi, parameters(model), rule, rule.init(phi)).theta_grad
    assert grads["idle"].item() == 0
    assert all(g.abs().sum() > 0 for key, g in grads.items() if key != "idle")


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_a_detached_image_has_a_gradient_of_zero(name):
    class Detached(Parametric):
        def forward(self, image, noise):
            return super().forward(image, noise).detach()

    model, network, rule = Detached().double(), make_network(), RULES["sgd"]
    phi = parameters(network)
    grads = HYPERGRADIENTS[name]()(Problem(network, model, 0), phi, parameters(model), rule, rule.init(phi)).theta_grad
    assert all(torch.equal(g, torch.zeros_like(g)) for g in grads.values())


class Blind(nn.Module):
    """The same logits whatever the image shows."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.3, -0.2]))

    def forward(self, image):
        return self.logits.view(1, 2, 1, 1, 1).expand(len(image), 2, *image.shape[2:])


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_a_network_that_ignores_the_image_gives_theta_a_gradient_of_zero(name, rule):
    network, model = Blind().double(), Parametric().double()
    phi = parameters(network)
    case = Problem(network, model, 0), phi, parameters(model), RULES[rule], RULES[rule].init(phi)
    step = HYPERGRADIENTS[name]()(*case)
    assert not torch.equal(step.phi["logits"], phi["logits"])
    assert all(torch.equal(g, torch.zeros_like(g)) for g in step.theta_grad.values())


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_a_weight_that_the_loss_does_not_depend_on_is_an_error(name):
    network, model, rule = make_network(), Parametric().double(), RULES["sgd"]
    phi = parameters(network) | {"idle": torch.zeros(1, dtype=torch.float64)}
    with pytest.raises(RuntimeError, match="been used"):
        HYPERGRADIENTS[name]()(Problem(network, model, 0), phi, parameters(model), rule, rule.init(phi))


@pytest.mark.parametrize("wrong", [{"part": 0.0}, {"part": 1.5}, {"micro_batch": 0}])
@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_impossible_parts_are_errors(name, wrong):
    with pytest.raises(ValueError, match="part in"):
        HYPERGRADIENTS[name](**wrong)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_step_must_be_positive(name):
    with pytest.raises(ValueError, match="step must be positive"):
        HYPERGRADIENTS[name](step=0.0)


@pytest.mark.parametrize(("samples", "size"), [(5, 2), (4, 4), (3, None), (1, 8), (0, 2)])
def test_pieces_cover_the_batch_once(samples, size):
    assert [i for piece in pieces_of(samples, size) for i in range(samples)[piece]] == list(range(samples))
