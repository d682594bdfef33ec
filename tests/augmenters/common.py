"""Images, and an augmenter of each kind with options that tests can shrink or silence."""

import torch

from l2s_auto.augmenters import AUGMENTERS, Composite
from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan

SHAPES = ((6, 7), (6, 5, 4))
#: Options with which an augmenter changes nothing: every strength at its lower bound.
SILENT = {
    "parametric": {"exponents": (0, 0, 0), "sigma": 0},
    "parametric-random": {"exponents": (0, 0, 0), "sigma": 0},
    "parametric-range": {"exponents": (0, 0, 0), "sigma_min": 0, "sigma_max": 0},
    "nonparametric": {"features": 1, "start": 0.0},
    "gamma": {"mean": 0, "spread": 0},
    "blur": {"sigma": 0},
    "rician": {"sigma": 0},
    "contrast": {},
    "share": {},
}
#: Options in the middle of every range.
LOUD = {
    "nonparametric": {"features": 1, "start": 0.3},
    "gamma": {"mean": 0.1, "spread": 0.3},
    "blur": {"sigma": 0.7},
    "parametric-range": {"sigma_min": 0.025, "sigma_max": 0.2},
}
assert set(SILENT) == set(AUGMENTERS)


def generator(seed=4):
    return torch.Generator().manual_seed(seed)


def image_of(shape, channels=1, batch=2, dtype=torch.float64):
    """U(0, 1), with some voxels at exactly 0, as outside a head."""
    image = torch.rand(batch, channels, *shape, generator=generator(3), dtype=torch.float64)
    return (image * (image > 0.1)).to(dtype)


def make(name, *, options=LOUD, channels=1, dimensions=3):
    """In float64."""
    given = {"channels": channels, "dimensions": dimensions} if name == "nonparametric" else {}
    given = {"channels": channels} if name == "contrast" else given
    torch.manual_seed(0)
    return AUGMENTERS[name](**given, **options.get(name, {})).double()


def make_all(*, options=LOUD, channels=1, dimensions=3):
    """One after the other, all but those that differ from another in their noise alone."""
    names = ("contrast", "gamma", "blur", "parametric-range", "rician", "nonparametric")
    return Composite({n: make(n, options=options, channels=channels, dimensions=dimensions) for n in names})


def generation(priors=True, channels=1, stds=(0.0, 0.02, 0.05)):
    """Three classes: air, and two tissues."""
    return GenerationPlan(
        enriched=tuple(EnrichedLabel(name=str(i), target=i, generation_class=i) for i in range(3)),
        priors=tuple(
            ClassPrior(
                mean=(m,) * channels, mean_spread=(0.03,) * channels, std=(s,) * channels, std_spread=(0.01,) * channels
            )
            for m, s in zip((0.0, 0.4, 0.8), stds, strict=True)
        )
        if priors
        else (),
    )
