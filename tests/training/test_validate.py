"""Validation sees what prediction will."""

from dataclasses import replace

import torch

from l2s_auto.networks.precision import keep_first_block_precise
from l2s_auto.training.validate import network_with


def test_in_fast_precision_the_image_is_not_rounded_and_training_goes_on_as_before(make_parts):
    parts, _, state = make_parts()
    parts = replace(parts, autocast=torch.bfloat16)
    phi = state.phi
    image = 0.5 + 0.002 * torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = parts.network(image).float()
    found = network_with(parts, phi)(image)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(parts.network(image).float(), rounded, rtol=0, atol=0)
        expected = keep_first_block_precise(parts.network)(image).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.equal(found, rounded)
