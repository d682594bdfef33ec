"""How much memory a training needs, estimated from the tensors that backpropagation keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from l2s_auto.core.plan import Plan, Topology, Voxels

_PLAIN = 1.2  # peak of a plain step by what it keeps: gradients on their way, work space
_IMAGE = 450  # bytes a voxel of the batch: images, targets, and what generates them
_FIXED = 35e6  # bytes: work space of the libraries
#: Of the weights: their moments, gradients, successors; with v and u in a hyper-step; with the general weights and
#: their moments in the home phase, which has no hyper-steps.
_COPIES, _COPIES_HYPER, _COPIES_HOME = 6, 9, 9
_KEPT = 3  # tensors kept a convolution: its input, the normalisation's input, the activation's input
_BYTES = 4  # float32


def activation_bytes(
    topology: Topology, patch: Voxels, batch: int, *, channels: int, classes: int, checkpointing: bool = False
) -> float:
    """Bytes of activations that one plain training step keeps for its backward pass.

    checkpointing  every stage keeps its input and output; the largest, all of it when its turn comes
    """
    voxels: list[float] = []
    now = [float(n) for n in patch]
    for stride in topology.strides:
        now = [n / s for n, s in zip(now, stride, strict=True)]
        voxels.append(now[0] * now[1] * now[2])
    features = topology.features
    numbers, inside = voxels[0] * channels, [0.0]
    for stage, count in enumerate(_convolutions(topology)):
        inside.append(voxels[stage] * features[stage] * (_KEPT * count - 1))
        numbers += voxels[stage] * features[stage]
    for stage, count in enumerate(topology.convolutions_decoder):
        # The first convolution reads the skip connection and the enlarged image: twice the features.
        inside.append(voxels[stage] * features[stage] * (_KEPT * count - 1))
        numbers += voxels[stage] * features[stage] * 3
    numbers += max(inside) if checkpointing else sum(inside)
    # Logits, their softmax, and about as much again in the loss.
    numbers += 3 * voxels[0] * classes
    return numbers * batch * _BYTES


def _convolutions(topology: Topology) -> list[int]:
    """Of each stage of the encoder: blocks have two each, and the first stage of a residual one a stem."""
    if not topology.residual:
        return list(topology.convolutions_encoder)
    return [2 * blocks + (stage == 0) for stage, blocks in enumerate(topology.convolutions_encoder)]


def weight_count(topology: Topology, *, channels: int, classes: int) -> int:
    """Number of weights of the convolutions; normalisation and biases are negligible beside them."""
    total, before = 0, channels
    for features, kernel, count in zip(topology.features, topology.kernels, _convolutions(topology), strict=True):
        taps = kernel[0] * kernel[1] * kernel[2]
        total += taps * features * (before + (count - 1) * features)
        before = features
    for stage, count in enumerate(topology.convolutions_decoder):
        low, high = topology.features[stage + 1], topology.features[stage]
        kernel, stride = topology.kernels[stage], topology.strides[stage + 1]
        total += stride[0] * stride[1] * stride[2] * low * high
        total += kernel[0] * kernel[1] * kernel[2] * high * (2 * high + (count - 1) * high)
    return total + topology.features[0] * classes


@dataclass(frozen=True)
class StepMemory:
    """What the most demanding training step keeps, whatever the plan.

    hyper        peak of theta's gradient as a multiple of the activations that a plain step keeps for the samples that
                 it looks at; None = theta is not learned
    part         share of the batch, in (0, 1], that theta's gradient is taken from
    micro_batch  samples in memory at a time; None = the whole batch
    checkpointing  the network computes its activations again instead of keeping them
    home         the training has a home phase
    """

    hyper: float | None = None
    part: float = 1.0
    micro_batch: int | None = None
    checkpointing: bool = False
    home: bool = False

    @property
    def copies(self) -> int:
        """Of the weights: themselves and what is as large as they, at most."""
        return max(_COPIES if self.hyper is None else _COPIES_HYPER, _COPIES_HOME if self.home else 0)

    def multiple(self, batch: int) -> float:
        """Peak of activations as a multiple of what a plain step keeps for one sample.

        The passes of first order go over the whole batch, theta's gradient over a part; both a micro-batch at a time.
        """
        at_a_time = min(batch, self.micro_batch or batch)
        part = min(at_a_time, math.ceil(self.part * batch))
        return max(_PLAIN * at_a_time, (self.hyper or 0.0) * part)


def training_memory_gb(
    topology: Topology, patch: Voxels, batch: int, *, channels: int, classes: int, step: StepMemory, context: int = 0
) -> float:
    """GB (1e9 bytes) that training needs, at most: activations, images, weights and what is as large as they.

    context  channels that the network reads beside those of the images
    Fitted to the peak of resident memory on a CPU in float32 (`benchmarks/memory_model.py`).
    """
    one = activation_bytes(
        topology, patch, 1, channels=channels + context, classes=classes, checkpointing=step.checkpointing
    )
    activations = one * step.multiple(batch)
    images = _IMAGE * math.prod(patch) * batch * channels
    weights = weight_count(topology, channels=channels + context, classes=classes) * _BYTES * step.copies
    return (activations + images + weights + _FIXED) / 1e9


def plan_memory_gb(plan: Plan, step: StepMemory, *, processes: int = 1) -> float:
    """GB that each of the processes that train by the plan needs, in that part of the training that needs most."""
    if plan.early is not None:
        parts = plan.early_part, plan.model_copy(update={"early": None})
        return max(plan_memory_gb(part, step, processes=processes) for part in parts)
    share = math.ceil(plan.batch / processes)
    return training_memory_gb(
        plan.topology,
        plan.patch,
        share,
        channels=plan.input_channels,
        classes=len(plan.labels),
        step=step,
        context=plan.context_channels,
    )
