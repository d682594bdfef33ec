from __future__ import annotations

import numpy as np

from l2s_auto.preprocessing.crop import MARGIN, crop, full_box, nonzero_box, uncrop


def test_box_holds_all_nonzero_voxels_and_a_margin() -> None:
    image = np.zeros((2, 30, 30, 30))
    image[0, 10:15, 12, 20] = 1
    image[1, 12, 12, 8] = -3
    assert nonzero_box(image) == ((10 - MARGIN, 15 + MARGIN), (12 - MARGIN, 13 + MARGIN), (8 - MARGIN, 21 + MARGIN))


def test_uncrop_inverts_crop_where_the_outside_is_zero() -> None:
    image = np.zeros((1, 30, 31, 32))
    image[0, 10:15, 12:20, 20:22] = 5
    box = nonzero_box(image)
    assert crop(image, box).size < image.size
    assert np.array_equal(uncrop(crop(image, box), box, (30, 31, 32)), image)


def test_outside_that_is_not_zero_is_not_cropped() -> None:
    image = np.zeros((1, 30, 30, 30))
    image[0, 10:15, 10:15, 10:15] = 5
    assert nonzero_box(5 - image) == full_box((30, 30, 30))


def test_nothing_is_cropped_of_an_empty_image_or_for_little() -> None:
    assert nonzero_box(np.zeros((1, 9, 9, 9))) == full_box((9, 9, 9))
    image = np.ones((1, 40, 40, 40))
    image[:, :6] = 0
    assert nonzero_box(image) == full_box((40, 40, 40))
