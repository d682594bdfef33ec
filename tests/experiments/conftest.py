"""A small dataset for experiments."""

import json

import numpy as np
import pytest

from l2s_auto.core.types import Volume
from l2s_auto.io.volumes import write_label_map, write_volume


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Ten scans of two balls in noise, in plain folders."""
    folder = tmp_path_factory.mktemp("data") / "two balls"
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(20.0)] * 3, indexing="ij"))
    for number in range(10):
        labels = np.zeros((20, 20, 20), np.int16)
        for value, centre in ((1, (6, 10, 10)), (2, (14, 10, 10))):
            away = grid - np.add(centre, rng.uniform(-1, 1, 3))[:, None, None, None]
            labels[np.square(away).sum(0) < 16] = value
        image = np.array([30.0, 80.0, 130.0])[labels] + 5 * rng.standard_normal(labels.shape)
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        write_volume(folder / "images" / f"c{number}.nii.gz", Volume(image[None].astype(np.float32), np.eye(4)))
        write_label_map(folder / "labels" / f"c{number}.nii.gz", labels, np.eye(4))
    (folder / "labels.json").write_text(json.dumps({"left": 1, "right": 2}))
    return folder
