"""The contrast prior: starts from the fingerprint, differentiable."""

import pytest
import torch

from l2s_auto.augmenters import Contrast
from l2s_auto.augmenters.contrast import SMALLEST
from l2s_auto.networks import call_method, parameters
from l2s_auto.synthesis.intensity import Mixture
from tests.augmenters.common import generation, generator


def drawn(batch, channels=1, classes=3, dtype=torch.float64):
    random = generator(1)
    return Mixture(*(torch.rand(batch, channels, classes, generator=random, dtype=dtype) for _ in range(2)))


def apply(model, batch, channels=1):
    noise = model.draw(torch.zeros(batch, channels, 2, 2, 2, dtype=torch.float64), generator())
    return noise, model.mixture(drawn(batch, channels), noise)


def test_means_and_deviations_start_as_the_fingerprint_measured_them():
    model = Contrast(generation=generation(stds=(0.0, 0.02, 0.05))).double()
    _, made = apply(model, 20_000)
    for g, (mean, std) in enumerate(((0.0, SMALLEST), (0.4, 0.02), (0.8, 0.05))):
        assert made.mean[..., g].mean().item() == pytest.approx(mean, abs=1e-3)
        assert made.mean[..., g].std().item() == pytest.approx(0.03, rel=0.05)
        assert made.std[..., g].mean().item() == pytest.approx(std, rel=0.1)
    assert made.std[..., 2].std().item() == pytest.approx(0.01, rel=0.1)
    assert (made.std > 0).all()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("spread", [None, 0.0])
def test_gradient_is_the_numerical_one(channels, spread):
    model = Contrast(channels=channels, generation=generation(channels=channels)).double()
    noise = model.draw(torch.zeros(4, channels, 2, 2, dtype=torch.float64), generator())
    mixture, theta = drawn(4, channels), parameters(model)
    if spread is not None:
        theta = {name: p.fill_(spread) if "spread" in name else p for name, p in theta.items()}

    def made(*values):
        found = call_method(model, "mixture", dict(zip(theta, values, strict=True)), mixture, noise)
        return found.mean, found.std

    values = [p.requires_grad_() for p in theta.values()]
    if spread is None:
        assert torch.autograd.gradcheck(made, values)
    else:
        found = torch.autograd.grad(sum(m.sum() for m in made(*values)), values)
        assert all(g.isfinite().all() and (g != 0).all() for g in found)


def test_without_real_images_the_start_is_wide():
    model = Contrast(channels=2, generation=generation(priors=False)).double()
    _, made = apply(model, 5000, 2)
    assert made.mean.shape == (5000, 2, 3)
    assert made.mean.mean().item() == pytest.approx(0.5, abs=0.02)
    assert made.mean.std().item() == pytest.approx(1 / 12**0.5, abs=0.02)


def test_theta_reads_as_how_far_it_moved_and_how_wide_it_is():
    model = Contrast(generation=generation())
    assert model.bounded()["contrast_shift"] == 0.0
    assert model.bounded()["contrast_spread"] == pytest.approx(0.03)
    with torch.no_grad():
        model.raw_mean.add_(1.0)
    assert model.bounded()["contrast_shift"] == pytest.approx(0.1)


def test_the_image_itself_is_left_alone():
    image = torch.rand(2, 1, 4, 4)
    model = Contrast(generation=generation())
    assert model.changes_mixture and torch.equal(model(image, model.draw(image, generator())), image)
