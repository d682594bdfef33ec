"""Agreement is what its definition says, 1 for equal gradients and about 0 for noise."""

import math

import pytest
import torch

from l2s_auto.hypergradients.signal import MEMORY, limited, no_signal, note, read, usual_length


def gradients(count, *, signal=0.0, noise=1.0, size=8):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        g = signal + noise * torch.randn(size, generator=generator, dtype=torch.float64)
        yield {"a": g[:3], "b": g[3:]}


def after(grads):
    grads = list(grads)
    signal = no_signal(grads[0])
    for g in grads:
        signal = note(signal, g)
    return signal


def test_agreement_is_the_weighted_mean_over_pairs():
    grads = [torch.cat(list(g.values())) for g in gradients(7, signal=0.5)]
    weights = [(1 - MEMORY) * MEMORY ** (6 - i) for i in range(7)]
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    inner = sum(weights[i] * weights[j] * grads[i] @ grads[j] for i, j in pairs)
    inner = inner / sum(weights[i] * weights[j] for i, j in pairs)
    square = sum(w * g @ g for w, g in zip(weights, grads, strict=True)) / sum(weights)
    reading = read(after(gradients(7, signal=0.5)))
    assert reading.agreement == pytest.approx((inner / square).item(), rel=1e-9)
    assert reading.length == pytest.approx(square.sqrt().item(), rel=1e-9)


def test_equal_gradients_agree():
    assert read(after(gradients(30, signal=1.0, noise=0.0))).agreement == pytest.approx(1)


def test_noise_does_not_agree():
    assert abs(read(after(gradients(500, size=200))).agreement) < 0.02


def test_nothing_is_read_before_there_is_something():
    theta = {"a": torch.zeros(2)}
    assert read(no_signal(theta)) is None
    assert read(note(no_signal(theta), {"a": torch.ones(2)})).agreement is None
    assert read(after([{"a": torch.zeros(2)}] * 3)).agreement is None


def test_only_unusually_long_gradients_are_shortened():
    signal = after([{"a": torch.tensor([3.0, 4.0])}] * 3)
    usual, long = {"a": torch.tensor([6.0, 8.0])}, {"a": torch.tensor([0.0, 100.0])}
    assert torch.equal(limited(usual, signal, times=3.0)["a"], usual["a"])
    torch.testing.assert_close(limited(long, signal, times=3.0)["a"], torch.tensor([0.0, 15.0]))
    assert limited(long, no_signal(long), times=3.0) is long


def test_gradients_of_zero_do_not_shorten_later_ones():
    signal, zero, one = after([{"a": torch.zeros(2)}] * 2), {"a": torch.zeros(2)}, {"a": torch.ones(2)}
    assert torch.equal(limited(zero, signal)["a"], zero["a"])
    for _ in range(3):
        assert torch.equal(limited(one, signal)["a"], one["a"])
        signal = note(signal, one)


def test_one_outlier_moves_the_limit_little_and_the_reading_as_it_is():
    ones = [{"a": torch.ones(4, dtype=torch.float64)}] * 20
    before, far = after(ones), {"a": torch.full((4,), 1e6, dtype=torch.float64)}
    signal = note(before, far)
    assert usual_length(before).item() == pytest.approx(2)
    assert usual_length(signal).item() < 2.5
    weights = [MEMORY**age for age in range(21)]
    expected = math.sqrt((4e12 + 4 * sum(weights[1:])) / sum(weights))
    assert read(signal).length == pytest.approx(expected)


def test_a_state_of_an_earlier_version_goes_on():
    signal = after([{"a": torch.tensor([3.0, 4.0])}] * 3)
    del signal["usual"]
    torch.testing.assert_close(limited({"a": torch.tensor([0.0, 100.0])}, signal)["a"], torch.tensor([0.0, 10.0]))
    assert usual_length(note(signal, {"a": torch.tensor([3.0, 4.0])})).item() == pytest.approx(5)


def test_a_gradient_of_zero_stays_finite():
    signal = after([{"a": torch.zeros(2)}] * 3)
    assert torch.equal(limited({"a": torch.zeros(2)}, signal, times=3.0)["a"], torch.zeros(2))
    assert math.isfinite(read(signal).length)
