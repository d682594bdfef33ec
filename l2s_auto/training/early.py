"""The first part of a training in smaller patches, and more of them, where the plan asks for it."""

from __future__ import annotations

from dataclasses import replace

from l2s_auto.training.build import Parts, make_generator


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
    """The parts of a training by `Plan.early_part`."""
    plan = parts.plan.early_part
    return replace(parts, plan=plan, generator=make_generator(plan, parts.generator.composition, device=parts.device))
