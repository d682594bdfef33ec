"""A_theta: models of what a scanner does to an image, with parameters that are learned or fixed."""

from typing import Any

from l2s_auto.augmenters.base import AugmenterModule
from l2s_auto.augmenters.blur import Blur
from l2s_auto.augmenters.composite import Composite, compose
from l2s_auto.augmenters.contrast import Contrast
from l2s_auto.augmenters.gamma import Gamma
from l2s_auto.augmenters.nonparametric import Nonparametric
from l2s_auto.augmenters.parametric import Parametric, ParametricRandom, ParametricRange
from l2s_auto.augmenters.randomised import Randomised
from l2s_auto.augmenters.rician import Rician
from l2s_auto.augmenters.share import Share
from l2s_auto.core.component import Component

AUGMENTERS = {
    "parametric": Parametric,
    "parametric-random": ParametricRandom,
    "parametric-range": ParametricRange,
    "nonparametric": Nonparametric,
    "gamma": Gamma,
    "blur": Blur,
    "rician": Rician,
    "contrast": Contrast,
    "share": Share,
}


def build_augmenter(component: Component, **given: Any) -> Any:
    """The augmenter of a name or of several joined with +, such as `contrast+gamma+parametric`.

    given  what the program knows of the images: channels, dimensions, spacing (mm), generation (the plan's); a part
           takes what it needs
    """
    return compose(component, AUGMENTERS, **given)


def changes_mixture(augmenter: Any) -> bool:
    """Whether its `mixture` does anything, so that images are rendered from what that gives."""
    return bool(getattr(augmenter, "changes_mixture", False))


def learns_share(augmenter: Any) -> bool:
    """Whether its `own_share` gives the fraction of real-like images."""
    return bool(getattr(augmenter, "learns_share", False))


__all__ = [
    "AUGMENTERS",
    "AugmenterModule",
    "Blur",
    "Composite",
    "Contrast",
    "Gamma",
    "Nonparametric",
    "Parametric",
    "ParametricRandom",
    "ParametricRange",
    "Randomised",
    "Rician",
    "Share",
    "build_augmenter",
    "changes_mixture",
    "learns_share",
]
