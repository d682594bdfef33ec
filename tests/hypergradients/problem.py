"""A two-pass problem on small random volumes, in float64, and its numerical hypergradient."""

import torch

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.core.types import Batch
from l2s_auto.losses import DiceCrossEntropy
from l2s_auto.networks import build_network, call
from l2s_auto.synthesis.intensity import rescale

SHAPE = (8, 8, 8)


class Problem:
    """Both losses on two random volumes each, everything random fixed."""

    synthetic = real = 2

    def __init__(self, network, augmenter, seed, dtype=torch.float64, loss=None):
        generator = torch.Generator().manual_seed(seed)
        self.network, self.augmenter, self.loss = network, augmenter, loss or DiceCrossEntropy()

        def batch():
            image = torch.rand(2, 1, *SHAPE, generator=generator, dtype=torch.float64).to(dtype)
            return Batch(image, (image[:, 0] > 0.5).long())

        self.clean, self.scans = batch(), batch()
        self.noise = augmenter.draw(self.clean.image, generator)

    def augmented(self, theta, piece):
        noise = {name: value[piece] for name, value in self.noise.items()}
        return rescale(call(self.augmenter, theta, self.clean.image[piece], noise))

    def synth_loss(self, phi, image, piece, *, fast=False):
        return self._share(phi, image, self.clean.target[piece], fast)

    def real_loss(self, phi, piece, *, fast=False):
        return self._share(phi, self.scans.image[piece], self.scans.target[piece], fast)

    def _share(self, phi, image, target, fast):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast and image.dtype == torch.float32):
            logits = call(self.network, phi, image)
        return self.loss(logits.to(image.dtype), target) * (len(image) / 2)

    def joint(self, values):
        return dict(values)


def make_network(activation="elu"):
    torch.manual_seed(0)
    topology = Topology(
        features=(4, 6),
        kernels=((3, 3, 3),) * 2,
        strides=((1, 1, 1), (2, 2, 2)),
        convolutions_encoder=(1, 1),
        convolutions_decoder=(1,),
    )
    component = Component(name="unet", options={"activation": activation})
    return build_network(component, channels=1, classes=2, topology=topology).double()


def real_loss_after_update(problem, phi, theta, rule, state):
    """The two-pass objective as a function of theta: update phi on the synthetic loss, look at the real one."""
    whole = slice(0, 2)
    leaves = {k: p.clone().requires_grad_() for k, p in phi.items()}
    loss = problem.synth_loss(leaves, problem.augmented(theta, whole), whole)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    new, _ = rule.update(phi, dict(zip(phi, grads, strict=True)), state)
    return problem.real_loss(new, whole).item()


def numerical_derivative(problem, phi, theta, rule, state, direction, h=2e-5):
    """d(objective)/d(theta) along `direction`, by a central difference of fourth order.

    h is small because the quantiles in `rescale` have a kink wherever two voxels change their order.
    """

    def at(t):
        moved = {k: p + t * direction[k] for k, p in theta.items()}
        return real_loss_after_update(problem, phi, moved, rule, state)

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def along(grad, direction):
    return sum((grad[k] * direction[k]).sum() for k in grad).item()


def flat(grads):
    return torch.cat([g.flatten() for g in grads.values()])


def relative_error(got, exact):
    got, exact = flat(got), flat(exact)
    return ((got - exact).norm() / exact.norm()).item()


def cosine(got, exact):
    return torch.nn.functional.cosine_similarity(flat(got), flat(exact), dim=0).item()
