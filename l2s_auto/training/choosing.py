"""Which weights segment a scan in validation, as in prediction: one set of them, or those that the scan chooses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from l2s_auto.core.protocols import Network, Params
from l2s_auto.inference.box import agreement, box_of, look
from l2s_auto.inference.sliding_window import Windowing, sliding_window_classes
from l2s_auto.training.build import Parts
from l2s_auto.training.validate import network_with


@dataclass(frozen=True)
class Chosen:
    """What the end of a training leaves for prediction.

    phi        the weights that predict; where each scan chooses, those for home
    general    the weights of scans that are unlike the training's; None: phi predicts for all scans
    threshold  Dice between the segmentations of both from which on a scan takes phi
    """

    phi: dict[str, torch.Tensor]
    general: Params | None = None
    threshold: float = 0.0


class Chooser:
    """(C, *S) image, how windows are run -> the network that segments it."""

    def __init__(self, parts: Parts, chosen: Chosen) -> None:
        self.home = network_with(parts, chosen.phi)
        self.general = None if chosen.general is None else network_with(parts, chosen.general)
        self.threshold = chosen.threshold

    def __call__(self, image: torch.Tensor, windowing: Windowing) -> Network:
        if self.general is None:
            return self.home
        found = sliding_window_classes([self.home], image, windowing).numpy()
        box = box_of(found, windowing.patch, labels=windowing.classes)
        seen = look([self.general], image, windowing, box).values
        agreed = agreement(found[box], seen, labels=windowing.classes)
        return self.home if agreed >= self.threshold else self.general
