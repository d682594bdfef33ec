"""Where learning starts, from what the fingerprint knows of the real images."""

from __future__ import annotations

from l2s_auto.core.plan import GenerationPlan

#: Noise that learning starts from where the images do not say more, as a share of the intensity range.
USUAL_NOISE = 0.05
#: A class that is darker than this has no signal (air): its deviation, often 0 after a mask, says nothing of the noise.
NO_SIGNAL = 0.05


def noise_start(generation: GenerationPlan | None) -> float:
    """A standard deviation of noise: the usual one, or that of the quietest class if it is smaller.

    No class of the real images varies less than their noise does.
    """
    priors = generation.priors if generation else ()
    seen = [
        std for prior in priors for mean, std in zip(prior.mean, prior.drawn["std"], strict=True) if mean > NO_SIGNAL
    ]
    return min([USUAL_NOISE, *seen])
