"""Label maps without images are validated on synthetic images of them, which the training's generator draws.

An image is a whole label map as it stands: not deformed, not mirrored, nothing cut off. So its segmentation can be
compared with the label map itself, on its own grid. Contrast, texture, resolution, noise and bias field are drawn as in
training. A seed of its own, of the case's name and the image's number, makes the same image at every validation, on
every device, and leaves the random numbers of the training alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch

from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.training.build import Parts, make_generator

#: Images of each label map, each of a contrast of its own.
IMAGES = 2
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ImaginedCase:
    """A synthetic image of a label map; it is drawn when it is asked for, and not kept.

    number  of the image, from 0
    """

    parts: Parts
    case: StoredCase
    number: int

    @property
    def id(self) -> str:
        return self.case.id

    @property
    def enriched(self) -> np.ndarray:
        """(*S) the label map."""
        return np.asarray(self.case.enriched)

    @property
    def image(self) -> np.ndarray:
        """(C, *S) float32 in [0, 1], as the network reads it."""
        return imagine(self.parts, self.enriched, seed=zlib.crc32(f"{self.id}/{self.number}".encode()))


def imagined(parts: Parts, cases: Sequence[StoredCase]) -> list[ImaginedCase]:
    """Synthetic images of the label maps that have no image."""
    return [ImaginedCase(parts, case, number) for case in cases if case.image is None for number in range(IMAGES)]


@torch.no_grad()
def imagine(parts: Parts, enriched: np.ndarray, *, seed: int) -> np.ndarray:
    """(*S) enriched labels -> (C, *S) a synthetic image of all of them; on the CPU, so that memory is no matter."""
    random = torch.Generator(_CPU).manual_seed(seed)
    generator = make_generator(
        parts.plan.model_copy(update={"patch": enriched.shape}), parts.generator.composition, device=_CPU
    )
    draw = generator.draw(1, random)
    draw = replace(draw, view=replace(draw.view, cuts=torch.zeros_like(draw.view.cuts)))
    layout = generator.undeformed(torch.from_numpy(enriched.astype(np.int64))[None], draw)
    clean = generator.render(layout, draw)
    scanner = parts.randomised or parts.augmenter
    scanner = deepcopy(scanner).to(_CPU)
    image = rescale(scanner(clean, scanner.draw(clean, random)))
    return np.ascontiguousarray(image[0].numpy(), dtype=np.float32)
