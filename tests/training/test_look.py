"""The agreement that the threshold is chosen from is the one that a prediction measures."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case
from l2s_auto.evaluation.appearance import AS_THEY_ARE
from l2s_auto.inference import box
from l2s_auto.inference.agreement import segment_scan
from l2s_auto.inference.aim import Setting
from l2s_auto.inference.load import Model
from l2s_auto.inference.scan import read_scan
from l2s_auto.training import dial
from l2s_auto.training.dial import Held, look
from l2s_auto.training.validate import network_with


class Shifted(torch.nn.Module):
    """By intensity, with borders that are a little off; its answer in a voxel depends on the window around it."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image - self.by * image.mean(dim=(2, 3, 4), keepdim=True)
        return torch.cat([0.5 - x, torch.minimum(x - 0.5, 0.9 - x), x - 0.9], dim=1)


@pytest.fixture
def held(tmp_path, cases):
    """A scan of many windows, with structures in a part of it."""
    case, image = cases[0], np.zeros((22, 20, 18), np.float32)
    enriched = np.zeros(image.shape, np.uint8)
    inside = tuple(slice(2, 2 + n) for n in case.enriched.shape)
    image[inside] = np.asarray(case.image)[0]
    image += np.random.default_rng(0).uniform(0, 0.1, image.shape).astype(np.float32)
    enriched[inside] = np.asarray(case.enriched)
    path = tmp_path / "case.nii.gz"
    nib.save(nib.Nifti1Image(image, np.eye(4)), path)
    return Held(Case("case", (path,)), replace(case, image=image[None], enriched=enriched))


@pytest.mark.parametrize("small", [True, False])
def test_training_and_prediction_measure_the_same_agreement(make_parts, held, monkeypatch, small):
    parts, _, _ = make_parts()
    if not small:
        monkeypatch.setattr(box, "box_of", lambda classes, *_, **__: tuple(slice(0, n) for n in classes.shape))
        monkeypatch.setattr(dial, "box_of", box.box_of)
        monkeypatch.setattr("l2s_auto.inference.agreement.box_of", box.box_of)
    home, general = Shifted(0.5), Shifted(0.1)
    ends = {0.0: general, 0.5: home, 1.0: home}
    networks = {a: network_with(replace(parts, network=network), {}) for a, network in ends.items()}
    (_, (_, itself)), (_, (own, agreed)), (_, again) = look(parts, networks, held, AS_THEY_ARE)
    model = Model(parts.plan, Recipe(), (home,), source=held.case.images[0], hash="", general=(general,))
    model = replace(model, setting=Setting("each", (1.0,), 0.0))
    scan = read_scan(held.case, model)
    predicted = segment_scan(scan, model, device=torch.device("cpu"), overlap=0.5, tta=False)
    assert predicted.agreement == round(agreed, 4) and again == (own, agreed)
    assert 0 < agreed < itself < 1, "even the same network sees other windows in a look"
