"""Real scans as they are, with nnU-Net's changes of intensity: what supervised training learns from."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.synthesis.families.base import FromScan, Known
from l2s_auto.synthesis.like_nnunet import changed_like_nnunet


class Original(FromScan):
    """Noise, blur, brightness, contrast, low resolution and gamma, as often and as strongly as in nnU-Net."""

    def draw(self, images: int, known: Known, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"seed": torch.randint(2**31, (images,), generator=generator, device=generator.device)}

    def __call__(
        self, scans: torch.Tensor, classes: torch.Tensor, drawn: Mapping[str, torch.Tensor], known: Known
    ) -> torch.Tensor:
        return changed_like_nnunet(scans, drawn["seed"].tolist(), spacing=known.spacing)
