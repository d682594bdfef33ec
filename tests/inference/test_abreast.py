"""Windows side by side give what they give one after the other."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from l2s_auto.inference.abreast import MOST, ROOM, map_abreast, windows_abreast
from l2s_auto.inference.sliding_window import Windowing, sliding_window_slabs

CPU = torch.device("cpu")


@pytest.fixture
def four_threads(set_threads):
    set_threads(4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_order(count, four_threads):
    def slow(item):
        time.sleep(0.01 * (item % 3))
        return item

    assert list(map_abreast(slow, range(10), count)) == list(range(10))
    assert torch.get_num_threads() == 4


def test_threads_share_the_cores(four_threads):
    seen = list(map_abreast(lambda item: (threading.get_ident(), torch.get_num_threads()), range(8), 2))
    assert {threads for _, threads in seen} == {2} and threading.get_ident() not in {ident for ident, _ in seen}


def test_not_more_is_under_way_than_there_is_room_for(four_threads):
    given = []

    def items():
        for number in range(20):
            given.append(number)
            yield number

    for number, _ in enumerate(map_abreast(lambda item: item, items(), 2)):
        assert len(given) <= number + 3


def test_an_error_ends_it_and_gives_the_threads_back(four_threads):
    with pytest.raises(ZeroDivisionError):
        list(map_abreast(lambda item: 1 / (item - 3), range(10), 2))
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_windows_side_by_side_give_the_same_logits(axis, four_threads):
    image = torch.rand((1, 20, 17, 30), generator=torch.Generator().manual_seed(0))
    image[:, 12:] = 0.25  # windows without content
    network = torch.nn.Conv3d(1, 3, 3, padding=1)

    def slabs(abreast):
        windowing = Windowing((8, 8, 8), 3, abreast=abreast)
        return list(sliding_window_slabs([network], image, windowing, axis=axis))

    for (planes, one), (same, two) in zip(slabs(1), slabs(3), strict=True):
        assert planes == same
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_as_many_as_fit_side_by_side(threshold_model, four_threads):
    plan = threshold_model.plan
    assert windows_abreast(plan, CPU) == MOST
    assert windows_abreast(plan, torch.device("cuda")) == 1
    x, y, z = plan.patch
    of_one = 4 * (4 * plan.topology.features[0] + 2 * len(plan.labels)) * x * y * z
    times = int((ROOM / of_one / 2.5) ** (1 / 3)) + 1
    large = plan.model_copy(update={"patch": (x * times, y * times, z * times)})
    assert 1 <= windows_abreast(large, CPU) <= 2
