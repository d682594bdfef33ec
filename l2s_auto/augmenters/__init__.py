"""A_theta: models of what a scanner does to an image, with parameters that are learned or fixed."""

from l2s_auto.augmenters.base import AugmenterModule
from l2s_auto.augmenters.nonparametric import Nonparametric
from l2s_auto.augmenters.parametric import Parametric, ParametricRandom
from l2s_auto.augmenters.randomised import Randomised

AUGMENTERS = {"parametric": Parametric, "parametric-random": ParametricRandom, "nonparametric": Nonparametric}

__all__ = ["AUGMENTERS", "AugmenterModule", "Nonparametric", "Parametric", "ParametricRandom", "Randomised"]
