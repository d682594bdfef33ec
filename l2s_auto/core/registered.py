"""Names of the registered parts, known without loading them; a test holds them to the registries."""

from __future__ import annotations

METHODS = ("learn2synth", "learn2synth-matched", "synthseg", "supervised", "mixed", "finetuned", "advchain")
AUGMENTERS = (
    *("parametric", "parametric-random", "parametric-range", "nonparametric"),
    *("gamma", "blur", "rician", "contrast", "share"),
)
OPTIMISERS = ("adam", "adamw", "momentum", "nesterov", "sgd")
#: Field of a recipe -> names of its parts.
REGISTERED: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "augmenter": AUGMENTERS,
    "network": ("unet", "residual-unet"),
    "loss": ("dice", "cross-entropy", "dice+cross-entropy", "dice+cldice"),
    "optimiser": OPTIMISERS,
    "outer_optimiser": OPTIMISERS,
    "schedule": ("constant", "cosine", "poly"),
    "hypergradient": ("unrolled", "forward", "finite-difference", "finite-difference-central"),
}
