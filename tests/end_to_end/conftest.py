"""A dataset of small scans with two blobs each, in two plain folders."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.training.trial import Measured

LABELS = {2: "core", 77: "shell"}


def make_scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) image in scanner units, and label map with the values 0, 2 and 77."""
    rng = np.random.default_rng(seed)
    shape = (14, 16, 12)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, 3)
    distance = np.linalg.norm((grid - centre) / [1.0, 1.2, 0.9], axis=-1)
    labels = np.where(distance < 2.5, 2, np.where(distance < 4.5, 77, 0)).astype(np.int16)
    clean = np.where(labels == 2, 900.0, np.where(labels == 77, 500.0, np.where(grid[..., 1] < 8, 100.0, 250.0)))
    return (clean + 20 * rng.standard_normal(shape)).astype(np.float32), labels


def save(array: np.ndarray, path: Path, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 2.0, 1.0]) if affine is None else affine), path)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six cases in a folder whose name has spaces and letters beyond ASCII."""
    folder = tmp_path / "my dätaset"
    for number in range(6):
        image, labels = make_scan(number)
        save(image, folder / "images" / f"scan {number}.nii.gz")
        save(labels, folder / "labels" / f"scan {number}.nii.gz")
    return folder


@pytest.fixture(autouse=True)
def quick_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is not tried in a process of its own, which would take longer than these trainings."""
    monkeypatch.setattr("l2s_auto.training.plans.try_plan", lambda *_, **__: Measured(0.01, 0.1, 0.2))


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model trained last is remembered below the test's own folder."""
    for variable in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "state"))
