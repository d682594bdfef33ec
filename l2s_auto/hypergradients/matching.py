"""Theta by matching gradients: the theta whose synthetic images move the network as real images do.

A hyper-step asks which theta makes the *next* update best. Its gradient J^T P r, with r the real images' gradient by
the network's weights, J that of the synthetic gradient s by theta and P the update rule's scaling, is 0 at the right
theta only where the network has converged: before, it rewards a theta that merely makes s longer. Here s itself is
taken off: where real images are those of some theta*, the expected r - s(theta) is 0 at theta* whatever the network's
weights, and

    theta* = theta + (J^T P J)^-1 J^T P (r - s)

to first order. This is the efficient method of moments (Gallant and Tauchen, Econometric Theory 1996) with the
network's loss as the auxiliary model. r, s, J and theta are averaged over a growing window of past iterations, by which
what is noise in one batch goes; averaging theta with them keeps the estimate right while theta moves. J has two means,
over every other of its values each: the noise of one is independent of the other's, so that it makes J^T P J no larger.

A mean gradient hardly tells how much images differ from each other. So r and s go on, behind the weights' gradients,
with other figures of the two batches, such as the variance of the samples' losses. Their share of P follows from their
own noise: in units of theta's information, each figure counts as it would in generalised least squares.

Everything is a value: state in, state out. N weights, F further figures, K numbers in theta.
"""

from __future__ import annotations

from typing import Any

import torch

from l2s_auto.core.protocols import Params, State

#: The nth pair weighs n^(RECENT - 1), so that those of the beginning, at a theta far away, count for 1/n^RECENT: with 2
#: noise of level 0 was found as 0.011, with 3 as 0.006. The window is about the last of this many parts.
RECENT = 4.0
#: Least eigenvalue of J^T P J, scaled to a diagonal of about 1: where two numbers of theta do nearly the same.
LEAST = 0.03


def flat(values: Params) -> torch.Tensor:
    """All tensors as one vector, in the order of their names' first appearance."""
    return torch.cat([value.flatten() for value in values.values()])


def unflat(vector: torch.Tensor, like: Params) -> dict[str, torch.Tensor]:
    """The inverse of `flat`."""
    parts = vector.split([value.numel() for value in like.values()])
    return {name: part.view_as(value) for (name, value), part in zip(like.items(), parts, strict=True)}


def note(
    moments: State,
    *,
    real: torch.Tensor,
    synthetic: torch.Tensor,
    theta: torch.Tensor,
    jacobian: torch.Tensor | None = None,
    figures: int = 0,
) -> dict[str, Any]:
    """The state after another pair of batches at the same weights.

    real, synthetic  (N + F,) gradients of the two losses by the weights, then further figures
    theta            (K,) what the synthetic batch was made with
    jacobian         (K, N + F) derivative of the synthetic ones by theta; it may be given now and then only, but with
                     the first
    figures          F
    """
    weight = _weight(moments.get("count", 0))
    seen = {"real": real, "synthetic": synthetic, "square": synthetic**2, "theta": theta}
    if figures:
        difference = real - synthetic
        seen["figures"] = difference[-figures:] ** 2
        before = jacobian if jacobian is not None else moments["jacobian"].mean(0)
        seen["noise"] = _noise(before, difference, moments.get("square", synthetic**2), figures)
    made: dict[str, Any] = {name: _mean(moments.get(name), value, weight) for name, value in seen.items()}
    made["count"] = moments.get("count", 0) + 1
    made["jacobians"] = moments.get("jacobians", 0)
    before = moments.get("jacobian")
    if jacobian is None:
        assert before is not None, "the first pair needs a Jacobian"
        return {**made, "jacobian": before}
    if before is None:
        return {**made, "jacobian": torch.stack([jacobian, jacobian]), "jacobians": 1}
    half = made["jacobians"] % 2
    means = [before[0], before[1]]
    means[half] = _mean(means[half], jacobian, _weight(made["jacobians"] // 2))
    return {**made, "jacobian": torch.stack(means), "jacobians": made["jacobians"] + 1}


def estimate(moments: State) -> torch.Tensor:
    """(K,) the theta whose mean synthetic gradient, and further figures, would equal the real ones, to first order."""
    scale = _scale(moments["square"], moments.get("noise"), moments.get("figures"))
    tiny = torch.finfo(scale.dtype).tiny
    one, two = moments["jacobian"]
    both = (one + two) / 2
    product = (one * scale) @ two.T
    length = ((both * scale) * both).sum(1)
    # A number without influence has no length: any will do, for it rests.
    length = length.maximum((1e-6 * length.mean()).clamp_min(tiny)).sqrt()
    scaled = (product + product.T) / 2 / length / length[:, None]
    if not scaled.isfinite().all():
        return moments["theta"]  # nothing has been seen yet that tells anything
    values, vectors = torch.linalg.eigh(scaled)
    difference = (both * scale) @ (moments["real"] - moments["synthetic"]) / length
    step = vectors @ ((vectors.T @ difference) / values.clamp_min(LEAST))
    return moments["theta"] + step / length


def _scale(square: torch.Tensor, noise: torch.Tensor | None, figures: torch.Tensor | None) -> torch.Tensor:
    """(N + F,) the diagonal of P.

    One over the root mean square of each weight's gradient, as in Adam; where a weight's is far below the others', that
    of a hundredth of their mean. A further figure's is one over the variance of its difference, in units of the
    gradients' noise.
    """
    weights = len(square) - (0 if figures is None else len(figures))
    size = square[:weights].sqrt()
    tiny = torch.finfo(size.dtype).tiny
    scale = 1 / (size + 0.01 * size.mean()).clamp_min(tiny)
    if noise is None or figures is None:
        return scale
    return torch.cat([scale, noise / figures.clamp_min(tiny)])


def _noise(jacobian: torch.Tensor, difference: torch.Tensor, square: torch.Tensor, figures: int) -> torch.Tensor:
    """() how noisy J^T P (r - s) is for its length: variance along each number of theta by J^T P J there, the mean."""
    weights = len(difference) - figures
    scale = _scale(square[:weights], None, None)
    jacobian, difference = jacobian[:, :weights], difference[:weights]
    tiny = torch.finfo(scale.dtype).tiny
    along = (jacobian * scale) @ difference
    return (along**2 / ((jacobian * scale) * jacobian).sum(1).clamp_min(tiny)).mean()


def _weight(count: int) -> float:
    """Of the next value in a mean whose window grows with the number of values before."""
    return RECENT / (count + RECENT) if count else 1.0


def _mean(mean: torch.Tensor | None, value: torch.Tensor, weight: float) -> torch.Tensor:
    return value.clone() if mean is None else mean.lerp(value, weight)
