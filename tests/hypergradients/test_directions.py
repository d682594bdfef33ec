"""What u is, of each direction, against dense algebra and numerical derivatives in float64."""

import pytest
import torch

from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.hypergradients.differentiate import inner
from l2s_auto.hypergradients.directions import DIRECTIONS, Implicit, ScaleFree, Seen, scaling
from l2s_auto.optimisers import SGD, Adam
from tests.hypergradients.problem import along, cosine, flat, relative_error
from tests.hypergradients.test_estimators import after_steps, random_directions

RULES = {"sgd": SGD(rate=0.05), "adam": Adam(rate=1e-2)}


def unrolled(**options):
    return HYPERGRADIENTS["unrolled"](**options)


def unflat(vector, like):
    parts = vector.split([p.numel() for p in like.values()])
    return {name: part.view_as(p) for (name, p), part in zip(like.items(), parts, strict=True)}


def dense_hessian(problem, phi, theta):
    image, whole = problem.augmented(theta, slice(0, 2)).detach(), slice(0, 2)
    return torch.autograd.functional.hessian(lambda x: problem.synth_loss(unflat(x, phi), image, whole), flat(phi))


def test_the_direction_through_the_update_is_the_rules_own():
    case = after_steps(RULES["adam"], "parametric")
    plain, named = unrolled()(*case), unrolled(direction="update")(*case)
    assert relative_error(named.theta_grad, plain.theta_grad) == 0


@pytest.mark.parametrize("rule", RULES)
def test_the_implicit_direction_solves_its_system(rule):
    """With so much damping that the system is positive, and as many steps as it takes."""
    problem, phi, theta, rule, state = after_steps(RULES[rule], "parametric", steps=2)
    ahead = 0.05 if isinstance(rule, Adam) else 2.0
    step = unrolled(direction="implicit", direction_options={"ahead": ahead, "steps": 60})(
        problem, phi, theta, rule, state
    )
    # v at the updated weights, as every direction has it.
    _, v = unrolled().real_pass(problem, step.phi)
    p = flat(scaling(rule, state, v))
    system = dense_hessian(problem, phi, theta) + torch.diag(1 / (ahead * rule.rate * p))
    assert torch.linalg.eigvalsh(system).min() > 0
    expected = unflat(-torch.linalg.solve(system, flat(v)), phi)
    assert relative_error(step.direction, expected) < 1e-3


def test_one_update_ahead_and_no_curvature_is_a_plain_step():
    """As `ahead` goes to 0 the Hessian has no say, and u is -ahead · rate · v."""
    problem, phi, theta, rule, state = after_steps(RULES["sgd"], "parametric")
    plain = unrolled()(problem, phi, theta, rule, state)
    implicit = unrolled(direction="implicit", direction_options={"ahead": 1e-4})(problem, phi, theta, rule, state)
    assert cosine(implicit.theta_grad, plain.theta_grad) > 0.9999
    length = flat(implicit.direction).norm() / flat(plain.direction).norm()
    assert length.item() == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_scale_free_is_the_derivative_of_a_step_of_fixed_length(rule):
    """v · (phi - P g / sqrt(g'P g)) by g, numerically; along g itself it is 0."""
    problem, phi, theta, rule, state = after_steps(RULES[rule], "parametric")
    g = unrolled().again(problem, theta, phi)
    v = {name: torch.randn_like(value) for name, value in g.items()}
    u = ScaleFree()(Seen(v, g, rule, state, phi, lambda phi: g))
    p = scaling(rule, state, v)

    def value(way, h):
        moved = {name: g[name] + h * way[name] for name in g}
        return -inner(v, {n: p[n] * moved[n] for n in g}) / inner(moved, {n: p[n] * moved[n] for n in g}).sqrt()

    for way in random_directions(g):
        h = 1e-5 * flat(g).norm() / flat(way).norm()
        expected = (value(way, h) - value(way, -h)) / (2 * h)
        assert inner(u, way) == pytest.approx(expected.item(), abs=1e-6 * (flat(u).norm() * flat(way).norm()).item())
    assert abs(inner(u, g)) < 1e-9 * flat(u).norm() * flat(g).norm()


def test_scale_free_without_a_gradient_is_nothing():
    nothing = {"": torch.zeros(3)}
    u = ScaleFree()(Seen({"": torch.ones(3)}, nothing, SGD(rate=0.1), {}, nothing, lambda phi: nothing))
    assert not u[""].any()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("rule", RULES)
def test_theta_moves_by_the_derivative_of_what_the_direction_promises(rule, direction):
    """d<u, synthetic gradient>/d(theta), u held: against a numerical derivative by theta."""
    problem, phi, theta, rule, state = after_steps(RULES[rule], "parametric")
    step = unrolled(direction=direction)(problem, phi, theta, rule, state)

    def value(at):
        return inner(step.direction, unrolled().again(problem, at, phi)).item()

    for way in random_directions(theta):
        h = 1e-5
        sides = [value({k: p + sign * h * way[k] for k, p in theta.items()}) for sign in (1, -1)]
        expected = (sides[0] - sides[1]) / (2 * h)
        size = flat(step.theta_grad).norm() * flat(way).norm()
        assert along(step.theta_grad, way) == pytest.approx(expected, abs=1e-4 * size.item())


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_pieces_of_the_batch_change_nothing(direction):
    case = after_steps(RULES["adam"], "parametric", steps=1)
    whole, pieces = (unrolled(direction=direction, micro_batch=size)(*case) for size in (None, 1))
    assert relative_error(pieces.theta_grad, whole.theta_grad) < 1e-8


def test_where_the_curvature_is_negative_it_ends_with_what_it_has():
    v = {"": torch.tensor([1.0, 2.0])}

    def uphill(phi):
        return {"": -100.0 * phi[""]}

    u = Implicit(ahead=10)(Seen(v, v, SGD(rate=1.0), {}, {"": torch.ones(2)}, uphill))
    assert torch.allclose(u[""], -10 * v[""])


def test_a_real_gradient_of_nothing_moves_nothing():
    zero = {"": torch.zeros(2)}
    u = Implicit()(Seen(zero, zero, SGD(rate=1.0), {}, {"": torch.ones(2)}, lambda phi: phi))
    assert not u[""].any()


@pytest.mark.parametrize("options", [{"ahead": 0}, {"steps": 0}, {"width": 0}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="are needed"):
        Implicit(**options)


def test_a_direction_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="update, scale-free, implicit"):
        unrolled(direction="sideways")
    assert set(DIRECTIONS) == {"update", "scale-free", "implicit"}
