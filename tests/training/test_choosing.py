"""Validation segments each scan by the weights that prediction would choose for it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from l2s_auto.core.dial import DIAL, Dial
from l2s_auto.io.json_files import read_model
from l2s_auto.training import choosing, dial
from l2s_auto.training.choosing import Chooser, Chosen

WINDOWS = SimpleNamespace(patch=(4, 4, 4), classes=2)
IMAGE = torch.zeros(1, 4, 4, 4)
CLASSES = np.ones((4, 4, 4), np.uint8)


@pytest.fixture
def seen(monkeypatch):
    """Networks are names; those that see the scan are noted."""
    names = []
    monkeypatch.setattr(choosing, "network_with", lambda parts, phi: phi)

    def complete(networks, *_):
        names.extend(networks)
        return torch.from_numpy(CLASSES)

    def look(networks, *_):
        names.extend(networks)
        return SimpleNamespace(values=CLASSES)

    monkeypatch.setattr(choosing, "sliding_window_classes", complete)
    monkeypatch.setattr(choosing, "look", look)
    return names


@pytest.mark.parametrize(("agreed", "taken"), [(0.91, "home"), (0.9, "home"), (0.89, "general")])
def test_a_scan_takes_the_home_weights_where_both_agree_and_else_the_general_ones(seen, monkeypatch, agreed, taken):
    monkeypatch.setattr(choosing, "agreement", lambda *_, labels: agreed)
    assert Chooser(None, Chosen("home", "general", 0.9))(IMAGE, WINDOWS) == taken
    assert seen == ["home", "general"]


def test_without_general_weights_nothing_is_compared(seen):
    assert Chooser(None, Chosen("home"))(IMAGE, WINDOWS) == "home" and seen == []


@pytest.mark.parametrize(
    ("aim", "threshold", "leaves"), [("each", 0.9, True), ("each", None, False), ("both", 0.9, False)]
)
def test_general_weights_are_left_where_each_scan_chooses(monkeypatch, tmp_path, aim, threshold, leaves):
    known = Dial(aim=aim, a=1.0, chosen={"home": 1.0, "both": 0.5, "anywhere": 0.0}, threshold=threshold)
    monkeypatch.setattr(dial, "measured", lambda *_, **__: known)
    monkeypatch.setattr(dial, "save_weights", lambda *_: None)
    ends = {"general": {"phi": {"w": torch.zeros(1)}}, "phi": {"w": torch.ones(1)}, "seconds": 9.0}
    parts = SimpleNamespace(network=torch.nn.Identity(), team=SimpleNamespace(leader=True))
    chosen = dial.choose_point(parts, SimpleNamespace(**ends), [], tmp_path, aim=aim, progress=lambda *_: None)
    assert (chosen.general is not None) == leaves and torch.equal(chosen.phi["w"], torch.ones(1))
    assert read_model(tmp_path / DIAL, Dial) == known
