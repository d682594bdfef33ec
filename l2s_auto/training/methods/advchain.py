"""Adversarial chained augmentation of real scans, which the paper compares with (AdvChain, Chen et al. 2022)."""

from __future__ import annotations

import torch

from l2s_auto.core.digits import relative
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.hypergradients.differentiate import gradients, leaves, pieces_of
from l2s_auto.hypergradients.two_pass import Sum
from l2s_auto.synthesis.deform import warp_image
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.training.adversarial import Chain, Ranges, ascended, disagreement, nearest
from l2s_auto.training.batches import blanked, draw_plain
from l2s_auto.training.build import Parts
from l2s_auto.training.deep_supervision import of_network
from l2s_auto.training.methods.first_order import Supervised
from l2s_auto.training.step import StepResult, all_logits, network_logits, phi_step, weighted_loss


class AdvChain(Supervised):
    """`supervised`, and the network is to find the same in a scan that a chain of changes has made hard for it.

    The chain's parameters begin at random and go uphill on how much the network disagrees with itself; then the loss is
    that of the scan, plus `weight` times the disagreement. What was found in the scan is deformed along and taken as it
    is: there, labels teach.

    weight  of the disagreement, >= 0
    ascent  steps uphill, >= 1, each a pass through the network
    step    how long one is, in units of the ranges
    noise, bias, elastic, rotation, scale, translation  ranges (`training.adversarial.Ranges`)
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        ascent: int = 1,
        step: float = 1.0,
        noise: float = 0.05,
        bias: float = 0.3,
        elastic: float = 1.4,
        rotation: float = 15.0,
        scale: float = 0.15,
        translation: float = 4.0,
    ) -> None:
        if min(weight, noise, bias, elastic, rotation, scale, translation) < 0 or ascent < 1 or step <= 0:
            raise ValueError(f"ascent >= 1, step > 0 and no other below 0 are needed, not {ascent} and {step}")
        self.weight, self.ascent, self.step_size = weight, ascent, step
        self.ranges = Ranges(noise, bias, elastic, rotation, scale, translation)

    def chain(self, parts: Parts) -> Chain:
        return Chain(spacing=relative(parts.plan.spacing), ranges=self.ranges)

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        batch = draw_plain(parts, state.theta)
        chain = self.chain(parts)
        joint = batch.image[:1, : parts.plan.input_channels].expand(parts.plan.batch, -1, *batch.image.shape[2:])
        share = parts.team.share(parts.plan.batch)
        values = {name: value[share] for name, value in chain.draw(joint, parts.random).items()}
        total = Sum()
        for piece in pieces_of(len(batch.image), parts.recipe.micro_batch):
            some = Batch(batch.image[piece], batch.target[piece])
            loss, grads = self.of_piece(parts, state.phi, some, chain, {k: v[piece] for k, v in values.items()})
            part = len(some.image) / parts.plan.batch
            total.add({"": loss * part, **{name: g * part for name, g in grads.items()}})
        grads = parts.team.sum(total.values)
        loss = grads.pop("")
        return StepResult(phi_step(parts, state, grads, rate_scale=parts.schedule(progress)), None, loss.item())

    def of_piece(
        self, parts: Parts, phi: Params, batch: Batch, chain: Chain, values: Params
    ) -> tuple[torch.Tensor, Params]:
        """The labels' loss, and the gradient by phi of it and the disagreement."""
        probe = leaves(phi)
        logits = all_logits(parts, probe, batch.image, fast=True)
        loss = weighted_loss(parts, logits, batch.target)
        grads = gradients(loss, probe)
        expected = logits[0].detach().softmax(1)
        for _ in range(self.ascent):
            probes = leaves(values)
            slope = torch.autograd.grad(
                self.disagreement(parts, phi, batch, expected, chain, probes),
                list(probes.values()),
                allow_unused=True,
                materialize_grads=True,
            )
            values = ascended(values, dict(zip(values, slope, strict=True)), step=self.step_size)
        probe = leaves(phi)
        own = of_network(probe)
        hard = gradients(self.disagreement(parts, own, batch, expected, chain, values), own)
        return loss.detach(), {name: g + self.weight * hard[name] if name in own else g for name, g in grads.items()}

    def disagreement(
        self, parts: Parts, phi: Params, batch: Batch, expected: torch.Tensor, chain: Chain, values: Params
    ) -> torch.Tensor:
        """Between what the network finds in the changed scan and what it found in the scan, deformed along."""
        channels = parts.plan.input_channels
        image, context = batch.image[:, :channels], batch.image[:, channels:]
        where = chain.positions(tuple(image.shape[2:]), values)
        lacking = (image == 0).flatten(2).all(2)
        image = blanked(rescale(warp_image(chain.painted(image, values), where)), lacking)
        if context.shape[1]:
            image = torch.cat([image, nearest(context, where.detach())], 1)
        found = network_logits(parts, phi, image, fast=True).softmax(1)
        return disagreement(found, warp_image(expected, where))
