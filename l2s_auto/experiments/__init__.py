"""Phantoms, the demo, and the experiments of the method's paper (`l2s_experiment NAME`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

EXPERIMENTS: dict[str, Callable[[Path], Path]] = {}
"""Name -> function(output folder) -> path of the figure. What is not in it is not available in this version."""
