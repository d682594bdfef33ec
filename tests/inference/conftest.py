"""A model that thresholds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.load import Model
from tests.inference.tiny_models import Threshold, blocks, make_plan, write_scan


@pytest.fixture
def threshold_model(tmp_path: Path) -> Model:
    return Model(make_plan(), Recipe(), (Threshold(),), source=tmp_path / "run", hash="0" * 64, folds=("fold_0",))


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scäns in"
    for number in range(4):
        write_scan(folder / f"case_{number}.nii.gz", blocks((12 + number, 13, 14)))
    return folder


@pytest.fixture
def set_threads():
    """PyTorch's number of threads may be set; it is what it was afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
