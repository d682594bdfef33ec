"""Phantoms, the demo, and the experiments of the method's paper (`l2s_experiment NAME`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def _recovery(output: Path, **options: Any) -> Path:
    from l2s_auto.experiments.recovery import recovery  # PyTorch is loaded where it is needed

    return recovery(output, **options)


EXPERIMENTS: dict[str, Callable[..., Path]] = {"recovery": _recovery}
"""Name -> function(output folder, **options) -> path of the figure. What is not in it is not in this version."""
