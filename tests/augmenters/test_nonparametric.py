"""The small network: identity at the start, noise of its own later."""

import pytest
import torch

from l2s_auto.augmenters import Nonparametric
from tests.augmenters.common import generator, image_of


@pytest.mark.parametrize("shape", [(6, 7), (1, 5), (6, 7, 8), (1, 9, 3)])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_starts_at_the_identity_on_any_grid(shape, channels):
    model, image = Nonparametric(channels=channels, dimensions=len(shape)), torch.rand(2, channels, *shape)
    assert torch.equal(model(image, model.draw(image, generator())), image)
    assert model.bounded() == {"last_layer_norm": 0.0}


def test_it_adds_noise_of_its_own_once_it_has_moved():
    model, image = Nonparametric(start=0.3), image_of((6, 7, 8), dtype=torch.float32)
    random = generator()
    one, two = (model(image, model.draw(image, random)) for _ in range(2))
    assert not torch.allclose(one, two) and not torch.allclose(one, image)
    assert model.bounded()["last_layer_norm"] > 0


def test_it_is_small():
    assert sum(p.numel() for p in Nonparametric().parameters()) < 20_000


@pytest.mark.parametrize("wrong", [{"dimensions": 1}, {"channels": 0}, {"features": 0}, {"start": -1.0}])
def test_impossible_ones_are_errors(wrong):
    with pytest.raises(ValueError, match="dimensions 2 or 3"):
        Nonparametric(**wrong)
