"""The accelerator that these tests are run on: CUDA, or the device that L2S_TEST_DEVICE names."""

import os

import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.networks.device import choose_device
from tests.end_to_end.conftest import dataset, own_state  # noqa: F401 - fixtures


@pytest.fixture
def device() -> torch.device:
    name = os.environ.get("L2S_TEST_DEVICE", "cuda")
    try:
        return choose_device(name)
    except UserError as error:
        pytest.skip(f"no accelerator: {error}")
