"""What can be known to be wrong with a recipe before anything takes long."""

from __future__ import annotations

import logging
from typing import Any

import torch

from l2s_auto.augmenters import AugmenterModule, build_augmenter, changes_mixture, learns_share
from l2s_auto.core.component import build, require, resolve
from l2s_auto.core.composition import ORIGINAL, REAL_LIKE
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.core.recipe import Recipe
from l2s_auto.losses import LOSSES
from l2s_auto.networks import NETWORKS, call, call_method, trainable
from l2s_auto.optimisers import OPTIMISERS
from l2s_auto.synthesis.intensity import Mixture
from l2s_auto.training.build import check_names, make_hypergradient
from l2s_auto.training.methods import METHODS, Method
from l2s_auto.training.methods.matched import Matched, require_few
from l2s_auto.training.schedule import SCHEDULES

#: What a method has, and an update rule.
METHOD = ("families", "home", "needs_images", "hyper_steps", "augmenter", "step")
RULE = ("init", "update", "vjp")
#: Images that an augmenter is tried on.
TRIAL = (2, 1, 8, 8, 8)
LOGGER = logging.getLogger("l2s_auto")


def build_method(recipe: Recipe) -> Method:
    """The recipe's method. Raises UserError."""
    name, _, augmenter = recipe.method.name.partition(":")
    if name == "learn2synth" and augmenter:
        raise _told_otherwise(recipe.method.name, f"--augmenter {augmenter}")
    if name == "learn2synth-random":
        raise _told_otherwise(recipe.method.name, "--contrasts random")
    method: Method = build(recipe.method, METHODS, kind="method")
    require(method, *METHOD, kind="method", name=recipe.method.name)
    return method


def _told_otherwise(name: str, options: str) -> UserError:
    return UserError.single(
        "That is a form of learn2synth, which has an option of its own.",
        where="method",
        found=repr(name),
        expected=f"learn2synth with {options}",
        mend=f"Leave out --method and add {options}.",
    )


def check_recipe(recipe: Recipe) -> None:
    """Make every part that does not need a plan, so that a wrong name or option is known before anything takes long.

    Raises UserError.
    """
    method = build_method(recipe)
    augmenter = trial_augmenter(recipe)
    check_names(augmenter, kind="augmenter", name=recipe.augmenter.name)
    parts: tuple[tuple[str, Any, str, tuple[str, ...]], ...] = (
        ("loss", build(recipe.loss, LOSSES, kind="loss"), recipe.loss.name, ("__call__",)),
        ("optimiser", build(recipe.optimiser, OPTIMISERS, kind="optimiser"), recipe.optimiser.name, RULE),
        (
            "outer optimiser",
            build(recipe.outer_optimiser, OPTIMISERS, kind="outer optimiser"),
            recipe.outer_optimiser.name,
            RULE,
        ),
        ("schedule", build(recipe.schedule, SCHEDULES, kind="schedule"), recipe.schedule.name, ("__call__",)),
        ("hypergradient", make_hypergradient(recipe), recipe.hypergradient.name, ("__call__",)),
    )
    for kind, part, name, needed in parts:
        require(part, *needed, kind=kind, name=name)
    resolve(recipe.network.name, NETWORKS, kind="network")
    if method.augmenter() is None:
        require_no_contrast(augmenter, recipe)
        require_no_originals(recipe)
    if method.hyper_steps and method.augmenter() is None:
        theta = theta_of(augmenter, recipe)
        if isinstance(method, Matched):
            require_few(theta, most=method.most_numbers, augmenter=recipe.augmenter.name)
        if getattr(method, "differentiates_theta", False):
            check_theta(augmenter, theta, recipe)
        elif learns_share(augmenter):
            raise _share_rests(f"method {recipe.method.name}", "a method that takes theta's gradient: learn2synth")


def warn_of_unused(recipe: Recipe, method: Method) -> None:
    """Say which of the recipe's parts the method makes no use of."""
    usual, unused = Recipe(), []
    if method.augmenter() is not None and recipe.augmenter != usual.augmenter:
        unused.append(f"the augmenter {recipe.augmenter.name}")
    if not method.hyper_steps:
        names = ("hypergradient", "hyper_every", "hyper_part", "outer_optimiser")
        unused += [name.replace("_", "-") for name in names if getattr(recipe, name) != getattr(usual, name)]
    if unused:
        LOGGER.warning("Warning: the method %s makes no use of %s.", recipe.method.name, ", ".join(unused))


def require_no_contrast(augmenter: AugmenterModule, recipe: Recipe) -> None:
    """UserError if theta would hold what random contrasts leave to chance."""
    if recipe.families is None or recipe.families.get(REAL_LIKE, 0) > 0:
        return
    if learns_share(augmenter) or changes_mixture(augmenter):
        raise UserError.single(
            "Contrasts cannot be random and learned at once.",
            where="--contrasts random (no real-like images)",
            found=f"augmenter {recipe.augmenter.name}",
            expected="an augmenter without contrast and share",
            mend="Choose another augmenter, or leave the contrasts as usual.",
        )


def require_no_originals(recipe: Recipe) -> None:
    """UserError where a method that learns theta would learn from scans as they are."""
    if recipe.families is not None and recipe.families.get(ORIGINAL, 0) > 0:
        raise UserError.single(
            "Learn2Synth never learns from a scan as it is, but in its home phase.",
            where="--families",
            found=f"{ORIGINAL}={recipe.families[ORIGINAL]:g} with the method {recipe.method.name}",
            expected="families without it",
            mend="Leave it out, or choose --method mixed.",
        )


def _share_rests(where: str, expected: str) -> UserError:
    return UserError.single(
        "The share of images like the real ones would not be learned.",
        where=where,
        found="nothing that moves it",
        expected=expected,
        mend="Choose that, or leave share out of the augmenter.",
    )


def trial_augmenter(recipe: Recipe) -> AugmenterModule:
    """The recipe's A_theta for images of one channel and one class, before those of the dataset are known."""
    one_class = GenerationPlan(enriched=(EnrichedLabel(name="all", target=0, generation_class=0),))
    given = {"channels": TRIAL[1], "dimensions": len(TRIAL) - 2, "spacing": (1.0, 1.0, 1.0), "generation": one_class}
    augmenter: AugmenterModule = build_augmenter(recipe.augmenter, **given)
    return augmenter


def theta_of(augmenter: AugmenterModule, recipe: Recipe) -> dict[str, torch.Tensor]:
    """What there is to learn; UserError if that is nothing."""
    theta = {name: p.requires_grad_() for name, p in trainable(augmenter).items()}
    if not theta:
        raise UserError.single(
            "The augmenter has nothing to learn.",
            where=f"augmenter {recipe.augmenter.name}",
            found="no parameter that may be trained",
            expected=f"at least one torch.nn.Parameter with requires_grad: {recipe.method.name} learns it",
            mend="Choose another augmenter, or learn nothing: --method synthseg.",
        )
    return theta


def check_theta(augmenter: AugmenterModule, theta: dict[str, torch.Tensor], recipe: Recipe) -> None:
    """UserError if some of theta has no say in what the augmenter makes of an image.

    A parameter whose gradient is 0 has one, as long as the image is computed from it.
    """
    try:
        image = tried(augmenter, theta)
    except Exception as error:  # it may only need larger images, or more classes; the user is told, and goes on
        LOGGER.warning(
            "Warning: the augmenter %s could not be tried on images of %s voxels, one class: %s: %s",
            recipe.augmenter.name, " x ".join(map(str, TRIAL[2:])), type(error).__name__, error,
        )  # fmt: skip
        return
    idle = list(theta)
    if image.requires_grad:
        grads = torch.autograd.grad(image.sum(), list(theta.values()), allow_unused=True)
        idle = [name for name, grad in zip(theta, grads, strict=True) if grad is None]
    if idle:
        raise UserError.single(
            "The augmenter has parameters without influence on its images.",
            where=f"augmenter {recipe.augmenter.name}",
            found=", ".join(idle),
            expected="images that are computed from every parameter, and not detached from them",
            mend="Use the parameters in forward, or freeze them with requires_grad_(False).",
        )


def tried(augmenter: AugmenterModule, theta: dict[str, torch.Tensor]) -> torch.Tensor:
    """A_theta of random images; what changes class intensities or the share of a family has a say too."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(TRIAL, generator=generator)
    noise = augmenter.draw(image, generator)
    if changes_mixture(augmenter):
        mixture = Mixture(torch.rand(TRIAL[0], 1, 1, generator=generator), torch.full((TRIAL[0], 1, 1), 0.1))
        mixture = call_method(augmenter, "mixture", theta, mixture, noise)
        image = mixture.mean[..., None, None] + mixture.std[..., None, None] * image
    image = call(augmenter, theta, image, noise)
    if learns_share(augmenter):
        image = image * call_method(augmenter, "own_share", theta)
    return image
