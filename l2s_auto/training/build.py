"""Recipe and plan -> the parts of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from l2s_auto.augmenters import AugmenterModule, Randomised, build_augmenter, learns_share
from l2s_auto.core.component import build
from l2s_auto.core.composition import REAL_LIKE, Composition, learned_from
from l2s_auto.core.digits import relative
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Plan
from l2s_auto.core.protocols import Hypergradient, Loss, UpdateRule
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import TrainState
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.losses import LOSSES, Ignoring, WithRegions
from l2s_auto.networks import network_for, trainable
from l2s_auto.optimisers import OPTIMISERS
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.classes import target_of
from l2s_auto.synthesis.generator import Generator
from l2s_auto.training.checkpoint import SEPARATOR
from l2s_auto.training.data import BoxSampler
from l2s_auto.training.deep_supervision import fresh_heads
from l2s_auto.training.replay import Replay
from l2s_auto.training.schedule import SCHEDULES, Schedule
from l2s_auto.training.team import ALONE, Team

#: Of a training that learns theta: fraction for the home phase, at its end.
HOME = 0.3


@dataclass(frozen=True)
class Parts:
    """Everything that a step is made of. Nothing in it changes but the random generators, and what `replay` remembers.

    autocast  dtype of first-order passes through the network; None = the weights' own
    randomised  scanners of all kinds, for rendered images that are not real-like; None: there are none
    scans     real cases that move theta, where they are others than those that images are made from
    context   (C, *S) image on the plan's grid -> (1, *S) what a cascade's first network finds; None: no cascade, or its
              first network is not trained yet
    replay    what makes the images of plain iterations
    """

    plan: Plan
    recipe: Recipe
    network: torch.nn.Module
    augmenter: AugmenterModule
    loss: Loss
    rule: UpdateRule
    outer_rule: UpdateRule
    schedule: Schedule
    hypergradient: Hypergradient
    generator: Generator
    sampler: BoxSampler
    random: torch.Generator
    device: torch.device
    autocast: torch.dtype | None
    team: Team = ALONE
    randomised: AugmenterModule | None = None
    scans: BoxSampler | None = None
    context: Callable[[np.ndarray], np.ndarray] | None = None
    replay: Replay = field(default_factory=Replay)


class ImageSource(Protocol):
    """What a method says of the images that the network learns from.

    families  fractions of the families of images, where a recipe has none; None: `learned_from`
    """

    families: Mapping[str, float] | None

    def augmenter(self) -> AugmenterModule | None:
        """The method's own augmenter, with nothing to learn; None: the recipe's."""
        ...


def check_names(module: torch.nn.Module, *, kind: str, name: str) -> None:
    """UserError if a parameter's name holds what separates names in a checkpoint."""
    wrong = [own for own, _ in module.named_parameters() if SEPARATOR in own]
    if wrong:
        raise UserError.single(
            f"Parameters of the {kind} cannot be saved.",
            where=f"{kind} {name}",
            found=", ".join(wrong),
            expected=f"names without {SEPARATOR}",
            mend="Rename the parameters, or the modules that hold them.",
        )


def make_network(plan: Plan, recipe: Recipe) -> torch.nn.Module:
    """The network of a plan and a recipe, with fresh weights."""
    network = network_for(plan, recipe.network)
    check_names(network, kind="network", name=recipe.network.name)
    return network


def make_augmenter(plan: Plan, recipe: Recipe) -> AugmenterModule:
    """The recipe's A_theta for the plan's images."""
    augmenter: AugmenterModule = build_augmenter(
        recipe.augmenter,
        channels=plan.input_channels,
        dimensions=len(plan.patch),
        spacing=plan.spacing,
        generation=plan.generation,
    )
    return augmenter


def composition_for(plan: Plan, recipe: Recipe, families: Mapping[str, float] | None, scans: int) -> Composition:
    """Fractions of the families of images: the recipe's, or else the method's, or else `learned_from`.

    families  the method's
    scans     how many there are to learn from
    """
    known = recipe.families if recipe.families is not None else families
    chosen = Composition(learned_from(scans) if known is None else known)
    return chosen if plan.generation.priors else chosen.without_scans_statistics()


def count_scans(cases: Sequence[StoredCase]) -> int:
    """How many cases have an image."""
    return sum(case.image is not None for case in cases)


def make_loss(plan: Plan, recipe: Recipe) -> Loss:
    """The recipe's loss, with the plan's regions, without what nobody labelled."""
    loss: Loss = build(recipe.loss, LOSSES, kind="loss")
    if plan.region_classes:
        loss = WithRegions(loss, plan.region_classes)
    return loss if plan.ignore is None else Ignoring(loss)


def make_hypergradient(recipe: Recipe) -> Hypergradient:
    """The estimator, on the recipe's part of the batch and in its micro-batches."""
    given = {"part": recipe.hyper_part, "micro_batch": recipe.micro_batch}
    return build(recipe.hypergradient, HYPERGRADIENTS, kind="hypergradient", **given)


def make_sampler(cases: Sequence[StoredCase], plan: Plan, *, seed: int, device: torch.device) -> BoxSampler:
    """Random boxes of the cases, many about a voxel of a label; what nobody labelled is none."""
    targets = target_of(plan.generation)
    targets[targets == len(plan.labels)] = 0
    return BoxSampler(cases, target_of=targets, rng=np.random.default_rng(seed), device=device)


def make_generator(plan: Plan, composition: Composition, *, device: torch.device) -> Generator:
    """What draws clean images from the plan's label maps and scans."""
    return Generator(
        plan.generation,
        channels=plan.input_channels,
        spacing=relative(plan.spacing),
        shape=plan.patch,
        composition=composition,
        device=device,
        pairs=plan.pair_classes,
        flips=plan.flips,
    )


def build_parts(
    plan: Plan,
    recipe: Recipe,
    cases: Sequence[StoredCase],
    *,
    method: ImageSource | None = None,
    device: torch.device,
    autocast: torch.dtype | None = None,
    team: Team = ALONE,
    context: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Parts:
    """Make every part; seeds PyTorch's global generator, from which the weights are drawn.

    method     what images are made of, where the recipe does not say; None: of a training that learns theta. If it has
               an augmenter of its own, with nothing to learn, that one changes all rendered images alike
    context    what the first network of a cascade finds
    """
    torch.manual_seed(recipe.seed)
    random = torch.Generator(device).manual_seed(recipe.seed)
    network = make_network(plan, recipe).to(device)
    composition = composition_for(plan, recipe, None if method is None else method.families, count_scans(cases))
    randomised = None
    augmenter = None if method is None else method.augmenter()
    if augmenter is None:
        augmenter = make_augmenter(plan, recipe)
        several = 0 < composition[REAL_LIKE] < composition.rendered or learns_share(augmenter)
        randomised = Randomised().to(device) if several and plan.generation.priors else None
    augmenter = augmenter.to(device)
    return Parts(
        plan=plan,
        recipe=recipe,
        network=network,
        augmenter=augmenter,
        loss=make_loss(plan, recipe),
        rule=build(recipe.optimiser, OPTIMISERS, kind="optimiser"),
        outer_rule=build(recipe.outer_optimiser, OPTIMISERS, kind="outer optimiser"),
        schedule=build(recipe.schedule, SCHEDULES, kind="schedule"),
        hypergradient=make_hypergradient(recipe),
        generator=make_generator(plan, composition, device=device),
        sampler=make_sampler(cases, plan, seed=recipe.seed, device=device),
        random=random,
        device=device,
        autocast=autocast,
        team=team,
        randomised=randomised,
        context=context,
    )


def initial_state(parts: Parts) -> TrainState:
    """The state before the first step. Frozen parameters are neither in phi nor in theta."""
    phi, theta = trainable(parts.network), trainable(parts.augmenter)
    if phi:  # a network that is frozen has nothing to learn, with heads or without
        phi |= fresh_heads(parts.network, len(parts.plan.labels), seed=parts.recipe.seed)
    return TrainState(
        step=0,
        seconds=0.0,
        phi=phi,
        inner_state=parts.rule.init(phi),
        theta=theta,
        outer_state=parts.outer_rule.init(theta),
    )
