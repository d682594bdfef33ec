"""Which modules of a network have kinks: where a derivative jumps."""

from __future__ import annotations

from torch import nn

#: Continuous or not, their first derivative jumps somewhere, whatever their options.
KINKED = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Threshold),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink),
    nn.SELU,  # its slope at 0 is 1.76 from below and 1.05 from above
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)


def kinked_modules(network: nn.Module) -> list[str]:
    """Names of the classes of kinked modules, each once, in the network's order.

    Kinks from plain functions in a network's own `forward`, such as `torch.relu`, are not found: no module holds them.
    """
    return list(dict.fromkeys(type(module).__name__ for module in network.modules() if is_kinked(module)))


def is_kinked(module: nn.Module) -> bool:
    """ELU's slope at 0 is alpha from below and 1 from above, so it is smooth for alpha = 1 alone."""
    return isinstance(module, KINKED) or (isinstance(module, nn.ELU) and module.alpha != 1)
