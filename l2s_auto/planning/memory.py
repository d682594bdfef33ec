"""How much memory a training needs, estimated from the tensors that backpropagation keeps."""

from __future__ import annotations

from l2s_auto.core.plan import Topology, Voxels

_PEAK = 1.9  # peak of a plain step by what it keeps: gradients on their way, work space (measured on a CPU, 64³)
_KEPT = 3  # tensors kept a convolution: its input, the normalisation's input, the activation's input
_BYTES = 4  # float32


def activation_bytes(topology: Topology, patch: Voxels, batch: int, *, channels: int, classes: int) -> float:
    """Bytes of activations that one plain training step keeps for its backward pass."""
    voxels: list[float] = []
    now = [float(n) for n in patch]
    for stride in topology.strides:
        now = [n / s for n, s in zip(now, stride, strict=True)]
        voxels.append(now[0] * now[1] * now[2])
    features = topology.features
    numbers = voxels[0] * channels
    for stage, count in enumerate(topology.convolutions_encoder):
        numbers += voxels[stage] * features[stage] * _KEPT * count
    for stage, count in enumerate(topology.convolutions_decoder):
        # The first convolution reads the skip connection and the enlarged image: twice the features.
        numbers += voxels[stage] * features[stage] * (_KEPT * count + 2)
    # Logits, their softmax, and about as much again in the loss.
    numbers += 3 * voxels[0] * classes
    return numbers * batch * _BYTES


def weight_count(topology: Topology, *, channels: int, classes: int) -> int:
    """Number of weights of the convolutions; normalisation and biases are negligible beside them."""
    total, before = 0, channels
    for features, kernel, count in zip(topology.features, topology.kernels, topology.convolutions_encoder, strict=True):
        taps = kernel[0] * kernel[1] * kernel[2]
        total += taps * features * (before + (count - 1) * features)
        before = features
    for stage, count in enumerate(topology.convolutions_decoder):
        low, high = topology.features[stage + 1], topology.features[stage]
        kernel, stride = topology.kernels[stage], topology.strides[stage + 1]
        total += stride[0] * stride[1] * stride[2] * low * high
        total += kernel[0] * kernel[1] * kernel[2] * high * (2 * high + (count - 1) * high)
    return total + topology.features[0] * classes


def training_memory_gb(
    topology: Topology, patch: Voxels, batch: int, *, channels: int, classes: int, hyper: float = 1.0
) -> float:
    """GB (1e9 bytes) that a training step needs: activations, and weights with gradients and Adam's two moments.

    hyper  the most demanding step's peak as a multiple of a plain step's; above 1 if it differentiates through updates
    """
    activations = activation_bytes(topology, patch, batch, channels=channels, classes=classes)
    copies = 8 if hyper > 1 else 4
    weights = weight_count(topology, channels=channels, classes=classes) * _BYTES * copies
    return (hyper * _PEAK * activations + weights) / 1e9
