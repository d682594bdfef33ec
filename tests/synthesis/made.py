"""Settings that the tests share: ranges with every step off, and what is known of made-up images."""

import torch

from l2s_auto.synthesis.deform import DeformationRanges
from l2s_auto.synthesis.families import Known
from l2s_auto.synthesis.generator import Ranges
from l2s_auto.synthesis.intensity import PriorTensors
from l2s_auto.synthesis.resolution import ResolutionRanges
from l2s_auto.synthesis.texture import TextureRanges
from l2s_auto.synthesis.view import ViewRanges

STILL = DeformationRanges(rotation=0, scale=0, shear=0, translation=0, elastic=0, flip=0)
OFF_BUT_TEXTURE = {
    "resolution": ResolutionRanges(partial=0, blur=0, thick=0),
    "view": ViewRanges(cropped=0, black=0, flat=0, stripped=0),
    "gamma": 0.0,
}
OFF = Ranges(deformation=STILL, texture=TextureRanges(correlated=0), **OFF_BUT_TEXTURE)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def known(means=(0.01, 0.2, 0.9), *, channels=1, shape=(8, 10, 6), structures=None, tissues=None, spread=0.0, std=0.02):
    """Of three classes, the first of them air; without means, of images of which nothing is known."""
    count = len(means) or 3
    given = (means, (spread,) * count, (std,) * count, (spread,) * count)
    prior = PriorTensors(*(torch.tensor(values).expand(channels, count) for values in given)) if means else None
    structures = tuple(range(count)) if structures is None else structures
    air = torch.tensor([number == 0 for number in range(count)])
    return Known(channels, (1.0,) * len(shape), structures, tissues, air, prior)
