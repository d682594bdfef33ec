"""A training that the device has too little memory for, made smaller: fewer samples at a time, then smaller patches."""

from __future__ import annotations

import gc
import logging
import math
from dataclasses import replace

import torch

from l2s_auto.core.errors import UserError
from l2s_auto.training.build import Parts, make_generator, make_hypergradient

LOGGER = logging.getLogger("l2s_auto")


def out_of_memory(error: BaseException) -> bool:
    """Whether this is what a device without enough memory raises."""
    text = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in ("not enough memory", "can't allocate memory", "out of memory")
    )


def smaller(parts: Parts, batch: int | None = None) -> Parts:
    """The parts of a training that takes less memory.

    batch  samples of the step that failed, where they are not the plan's

    What is there to save time goes first: cases on the device, and the graph of plain iterations. Then samples at a
    time are halved, which changes nothing but the time. From one sample on, the longest axis of the patch loses as much
    as the poolings ask for, and about an eighth at least, and there are no early patches. Raises UserError where
    nothing is left to lose.
    """
    plan, recipe = parts.plan, parts.recipe
    spared = [sampler.drop_resident() for sampler in (parts.sampler, parts.scans) if sampler is not None]
    if any([*spared, parts.replay.drop()]):
        LOGGER.warning("The device has too little memory: from here on no cases are kept on it.")
        return parts
    batch = batch or plan.batch
    at_a_time = min(recipe.micro_batch or batch, batch)
    if at_a_time > 1:
        recipe = recipe.model_copy(update={"micro_batch": (at_a_time + 1) // 2})
        LOGGER.warning(
            "The device has too little memory: from here on %d of %d samples at a time.", recipe.micro_batch, batch
        )
        return replace(parts, recipe=recipe, hypergradient=make_hypergradient(recipe))
    divisor = plan.topology.divisor
    longest = max(range(3), key=lambda axis: plan.patch[axis] - divisor[axis])
    steps = max(1, plan.patch[longest] // 8 // divisor[longest])
    patch = list(plan.patch)
    patch[longest] -= steps * divisor[longest]
    # A network cannot normalise a single voxel, which is what its lowest stage would be left with.
    if math.prod(n // d for n, d in zip(patch, divisor, strict=True)) < 2:
        raise UserError.single(
            "There is not enough memory for the smallest training.",
            where="the device",
            found=f"no room for one patch of {' x '.join(map(str, plan.patch))} voxels",
            expected="more free memory",
            mend="Free some, choose another device, or ask for fewer --features.",
        )
    x, y, z = patch
    plan = plan.model_copy(update={"patch": (x, y, z), "early": None})
    LOGGER.warning("The device has too little memory: from here on patches of %d x %d x %d voxels.", x, y, z)
    generator = make_generator(plan, parts.generator.composition, device=parts.device)
    return replace(parts, plan=plan, generator=generator)


def free(device: torch.device) -> None:
    """Give back what a step that failed has left."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
