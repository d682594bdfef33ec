"""A model that thresholds."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.load import Model
from tests.inference.tiny_models import Threshold, make_plan


@pytest.fixture
def threshold_model(tmp_path: Path) -> Model:
    return Model(make_plan(), Recipe(), (Threshold(),), source=tmp_path / "run", hash="0" * 64, folds=("fold_0",))
