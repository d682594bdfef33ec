"""The nonparametric A_theta of the paper: a small network that adds what it makes of the image and noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from l2s_auto.augmenters.base import AugmenterModule, normal

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
LINEAR = {2: "bilinear", 3: "trilinear"}
CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
#: Channels beside each other, in images and weights: few as they are, a CPU convolves them faster.
BESIDE = {2: torch.channels_last, 3: torch.channels_last_3d}


class Nonparametric(AugmenterModule):
    """image + U(image, noise): U a U-Net of two levels, one channel of Gaussian noise (arXiv 2411.16719, section 3).

    theta: U's weights. It starts at the identity, the last convolution being zero; that one moves first.

    channels    of the image
    features    of the upper level; the lower one has twice as many
    start       standard deviation of the last convolution's weights at the start
    dimensions  2 or 3 spatial axes, of any size
    """

    def __init__(self, *, channels: int = 1, features: int = 8, start: float = 0.0, dimensions: int = 3) -> None:
        super().__init__()
        if dimensions not in CONVOLUTIONS or channels < 1 or features < 1 or start < 0:
            raise ValueError(
                "dimensions 2 or 3, channels and features >= 1 and start >= 0 are needed, not "
                f"{dimensions}, {channels}, {features}, {start}"
            )
        convolution, wide = CONVOLUTIONS[dimensions], 2 * features
        self.dimensions = dimensions
        self.down = nn.ModuleList([convolution(channels + 1, features, 3), convolution(features, features, 3)])
        self.bottom = nn.ModuleList([convolution(features, wide, 3), convolution(wide, wide, 3)])
        self.up = nn.ModuleList([convolution(features + wide, features, 3)])
        self.last = convolution(features, channels, 1, bias=False)
        nn.init.normal_(self.last.weight, std=start)

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"noise": normal(image, len(image), 1, *image.shape[2:], generator=generator)}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        shape = image.shape[2:]
        given = torch.cat([image, noise["noise"]], 1)
        fine = self._smooth(self.down, given.contiguous(memory_format=BESIDE[self.dimensions]))
        # Half the size, rounded up: an axis of any length will do.
        coarse = functional.interpolate(fine, size=[-(-n // 2) for n in shape], mode="area")
        back = functional.interpolate(self._smooth(self.bottom, coarse), size=shape, mode=LINEAR[self.dimensions])
        return image + self.last(self._smooth(self.up, torch.cat([fine, back], 1))).contiguous()

    def _smooth(self, layers: nn.ModuleList, image: torch.Tensor) -> torch.Tensor:
        """Convolutions that keep the size, each followed by SiLU, which has all derivatives."""
        for layer in layers:
            assert isinstance(layer, (nn.Conv2d, nn.Conv3d))
            weight = layer.weight.contiguous(memory_format=BESIDE[self.dimensions])
            image = functional.silu(CONVOLVE[self.dimensions](image, weight, layer.bias, padding=1))
        return image

    def bounded(self) -> dict[str, float]:
        """The length of the last convolution's weights, 0 at the identity: weights have no meaning one by one."""
        return {"last_layer_norm": self.last.weight.norm().item()}
