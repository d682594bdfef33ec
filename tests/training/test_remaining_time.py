"""The remaining time of trainings whose iterations take what a test says."""

import itertools

import pytest

from l2s_auto.training.remaining_time import WARMING_UP, Course, RemainingTime, told_range, told_seconds


def run(course, until, *, cost, validation=0.0, first=0.0):
    """The training up to a share of it -> its estimate, and the seconds so far."""
    remaining, elapsed, n, done = RemainingTime(course), 0.0, course.iterations, 0
    for step in range(round(until * n)):
        seconds = cost(step / n, step) + (first if step < WARMING_UP else 0.0)
        remaining.iteration(step / n, seconds)
        elapsed += seconds
        if course.validations * (step + 1) / n >= done + 1:
            done += 1
            remaining.validation(validation)
            elapsed += validation
    return remaining, elapsed


def total(course, since, *, cost, validation=0.0):
    """What is left in truth, validations, that of the general weights and the one at the end included."""
    n = course.iterations
    steps = sum(cost(step / n, step) for step in range(round(since * n), n))
    count = course.validations - int(since * course.validations) + (since < course.home_from < 1) + 1
    return steps + validation * count


def test_even_iterations_are_told_closely_and_slow_first_ones_do_not_count():
    course = Course(iterations=1000, time_budget=None)
    remaining, elapsed = run(course, 0.1, cost=lambda p, step: 0.5, first=60.0)
    low, high = remaining.left(0.1, elapsed)
    assert low <= 450 <= high and high / low < 1.2


@pytest.mark.parametrize("until", [0.05, 0.2, 0.4, 0.6, 0.85, 0.95])
def test_what_is_to_come_is_inside_of_the_range(until):
    """Smaller patches first, then hyper-steps of five iterations' time, then the home phase, and validations."""
    course = Course(
        iterations=2000,
        time_budget=None,
        early=0.5,
        hyper_from=0.3,
        hyper_every=20,
        home_from=0.9,
        validations=10,
    )

    def cost(progress, step):
        plain = 0.1 if progress < 0.5 else 0.12
        return plain * (5 if 0.3 <= progress < 0.9 and step % 20 == 0 else 1)

    remaining, elapsed = run(course, until, cost=cost, validation=1.5)
    low, high = remaining.left(until, elapsed)
    assert low <= total(course, until, cost=cost, validation=1.5) <= high
    assert high < 2.5 * low


def test_noise_makes_the_range_wider_and_no_less_true():
    course = Course(iterations=1000, time_budget=None)
    noise = itertools.cycle([0.1, 0.2, 0.9, 0.15])
    remaining, elapsed = run(course, 0.1, cost=lambda p, step: next(noise))
    low, high = remaining.left(0.1, elapsed)
    assert low <= 0.3375 * 900 <= high and high - low > 0.1 * low


def test_a_time_budget_ends_a_training_before_its_iterations_do():
    course = Course(iterations=10_000, time_budget=600.0, validations=10)
    remaining, elapsed = run(course, 0.01, cost=lambda p, step: 1.0, validation=3.0)
    low, high = remaining.left(0.16, elapsed)
    assert low == pytest.approx(600 - elapsed + 0, abs=10) and 600 - elapsed <= high <= 640 - elapsed + 20


def test_nothing_is_told_before_it_is_known_nor_at_the_end():
    course = Course(iterations=100, time_budget=None)
    assert RemainingTime(course).left(0.0, 0.0) is None
    remaining, elapsed = run(course, 0.05, cost=lambda p, step: 1.0)
    assert remaining.left(0.05, elapsed) is None
    remaining, elapsed = run(course, 0.5, cost=lambda p, step: 1.0)
    assert remaining.left(0.5, elapsed) is not None and remaining.left(1.0, elapsed) is None


@pytest.mark.parametrize(
    ("left", "text"),
    [
        ((722, 890), "about 12 to 15 min"),
        ((41, 58), "about 40 to 60 s"),
        ((0, 3), "about 0 to 5 s"),
        ((600, 600), "about 10 min"),
        ((7000, 12000), "about 1.5 to 3.5 h"),
    ],
)
def test_ranges_are_round(left, text):
    assert told_range(left) == text


def test_durations():
    assert [told_seconds(s) for s in (90, 600, 9000)] == ["90 s", "10 min", "2.5 h"]
