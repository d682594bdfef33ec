"""Connected pieces and touching labels, against what scipy and loops find."""

import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.planning.pieces import label_pieces, touching_labels


@pytest.fixture(params=[(0, 3, 7), (-2, 0, 5), (1, 4)])
def random_map(request):
    values = np.array(request.param)
    smooth = [ndimage.gaussian_filter(np.random.default_rng(i).standard_normal((14, 12, 9)), 1) for i in values % 11]
    return np.argmax(smooth, axis=0), values


def test_pieces_are_those_of_each_label_alone(random_map):
    number, values = random_map
    counts, usual = label_pieces(number, values, 2.0)
    assert set(counts) == set(usual) == set(values.tolist()) - {0}
    for value in counts:
        components, count = ndimage.label(number == np.flatnonzero(values == value)[0], np.ones((3, 3, 3)))
        sizes = np.bincount(components.ravel())[1:]
        assert counts[value] == count and usual[value] == pytest.approx(2 * np.median(sizes))


def test_touching_labels_share_a_face(random_map):
    number, values = random_map
    found = set()
    for axis in range(3):
        for one, two in zip(
            np.moveaxis(number, axis, 0)[:-1].ravel(), np.moveaxis(number, axis, 0)[1:].ravel(), strict=True
        ):
            if one != two and values[one] != 0 and values[two] != 0:
                found.add((int(values[min(one, two)]), int(values[max(one, two)])))
    assert set(touching_labels(number, values)) == found


def test_labels_that_only_meet_at_an_edge_do_not_touch():
    number = np.zeros((4, 4, 1), dtype=int)
    number[1, 1], number[2, 2] = 1, 2
    assert touching_labels(number, np.array([0, 1, 2])) == ()


def test_many_labels_stay_apart():
    number = np.arange(1000).reshape(10, 10, 10)
    counts, _ = label_pieces(number, np.arange(1000), 1.0)
    assert len(counts) == 999 and set(counts.values()) == {1}
