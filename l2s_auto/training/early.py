"""The first part of a training in smaller patches, and more of them, where the plan asks for it."""

from __future__ import annotations

from dataclasses import replace

from l2s_auto.training.build import Parts, make_generator
from l2s_auto.training.replay import Replay


class Stages:
    """Which parts an iteration is made of: those of the plan's early patches at first, then those of the plan itself.

    Networks, theta and random numbers are the same; patches of either kind are drawn from the same cases.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.share = parts.plan.early.share if parts.plan.early is not None else 0.0
        self._early: Parts | None = None

    def at(self, progress: float) -> Parts:
        """The parts at a share of the training."""
        if progress >= self.share:
            self._early = None
            return self.parts
        self._early = self._early or early_parts(self.parts)
        return self._early


def early_parts(parts: Parts) -> Parts:
    """The parts whose plan has the early patch, of at most the patch itself, and the early batch."""
    plan, early = parts.plan, parts.plan.early
    assert early is not None, "the plan has no early patches"
    x, y, z = (min(small, large) for small, large in zip(early.patch, plan.patch, strict=True))
    plan = plan.model_copy(update={"patch": (x, y, z), "batch": early.batch, "early": None})
    generator = make_generator(plan, parts.generator.shares, device=parts.device)
    return replace(parts, plan=plan, generator=generator, replay=Replay())
