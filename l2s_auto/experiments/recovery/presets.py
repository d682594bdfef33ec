"""What the made-up scanner does and Learn2Synth has to find: the paper's settings (arXiv 2411.16719, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from l2s_auto.core.component import Component

#: Where learning starts, whatever the preset: not a value of any of them.
START_EXPONENTS = (0.35, 0.35, 0.35)
START_SIGMA = 0.07
START_RANGE = (0.05, 0.10)
#: Exponents where the noise is what is asked for, noise where the exponents are.
USUAL_EXPONENTS = (0.2, 0.2, 0.2)
USUAL_SIGMA = 0.05
EXPONENT_NAMES = ("exponent_low", "exponent_middle", "exponent_high")


@dataclass(frozen=True)
class Preset:
    """A scanner: exponents of the bias field's low, middle and high frequency, noise of one level or from a range."""

    name: str
    exponents: tuple[float, float, float] = USUAL_EXPONENTS
    sigma: tuple[float, ...] = (USUAL_SIGMA,)

    @property
    def theta(self) -> dict[str, float]:
        """By the names that a user reads."""
        names = ("sigma",) if len(self.sigma) == 1 else ("sigma_min", "sigma_max")
        return dict(zip((*EXPONENT_NAMES, *names), (*self.exponents, *self.sigma), strict=True))

    @property
    def scanner(self) -> Component:
        """The augmenter that makes the real images."""
        return _augmenter(self.exponents, self.sigma)

    @property
    def learner(self) -> Component:
        """The augmenter that learns."""
        return _augmenter(START_EXPONENTS, (START_SIGMA,) if len(self.sigma) == 1 else START_RANGE)


def _augmenter(exponents: tuple[float, ...], sigma: tuple[float, ...]) -> Component:
    if len(sigma) == 1:
        return Component(name="parametric", options={"exponents": exponents, "sigma": sigma[0]})
    return Component(
        name="parametric-range", options={"exponents": exponents, "sigma_min": sigma[0], "sigma_max": sigma[1]}
    )


PRESETS = {
    preset.name: preset
    for preset in (
        *(Preset(f"sigma {sigma:g}", sigma=(sigma,)) for sigma in (0.0, 0.05, 0.10, 0.15)),
        Preset("sigma 0.025 to 0.2", sigma=(0.025, 0.2)),
        *(
            Preset("exponents " + " ".join(f"{e:g}" for e in exponents), exponents=exponents)
            for exponents in ((0.2, 0.2, 0.2), (0.5, 0.5, 0.5), (0.8, 0.8, 0.8), (1.0, 0.0, 0.0))
        ),
    )
}
