"""Figures are written, and show volumes the right way round."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from l2s_auto.report.curves import theta_and_dice
from l2s_auto.report.figures import EDGE, GAP, LINE, NARROWEST, overlay, rgb
from l2s_auto.report.slices import centre_of, cut, upright, window
from l2s_auto.report.style import COLOURS, colours_of, png_bytes, write_png

PNG = b"\x89PNG\r\n\x1a\n"
NAMES = {1: "one", 2: "two $x$"}


@pytest.fixture
def volume():
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 14, 10), np.int32)
    labels[3:6, 3:9, 2:7], labels[7:10, 3:9, 2:7] = 1, 2
    return rng.random(labels.shape, dtype=np.float32), labels


def is_picture(path) -> bool:
    content = path.read_bytes()
    return content.startswith(PNG) and len(content) > 2000


def test_overlay_also_of_an_empty_segmentation_and_odd_values(tmp_path, volume):
    image, labels = volume
    affine = np.diag([1, 1, 3, 1.0])
    assert is_picture(overlay(image, labels, NAMES, affine, tmp_path / "new" / "a.png", title="cäse"))
    assert is_picture(overlay(image, labels * 0, NAMES, affine, tmp_path / "b.png"))
    assert is_picture(overlay(image * 0, labels, NAMES, affine, tmp_path / "c.png"))
    assert is_picture(overlay(image[:, :, :1], labels[:, :, 3:4], NAMES, affine, tmp_path / "d.png"))
    many = {value: f"label {value}" for value in range(1, 60)}
    assert is_picture(overlay(image, labels * 29, many, affine, tmp_path / "e.png"))


def test_a_label_has_its_colour_within_a_line_where_it_lies(tmp_path):
    """Patient's right on the left, anterior and superior up; one label in a grey scan."""
    image, labels = np.zeros((20, 20, 20), np.float32), np.zeros((20, 20, 20), np.int32)
    labels[2:10, 11:19, 12:18] = 1
    image[:] = 100.0
    image[0] = 0.0
    path = overlay(image, labels, {1: "one", 2: "not there"}, np.diag([-1.0, 1, 1, 1]), tmp_path / "a.png")
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1:] == (NARROWEST, 3)
    full = np.argwhere((pixels == rgb(COLOURS[0])).all(axis=-1))
    panels = full[(full[:, 0] > 45) & (full[:, 0] < 260)]
    thirds = [panels[(panels[:, 1] >= NARROWEST / 3 * k) & (panels[:, 1] < NARROWEST / 3 * (k + 1))] for k in range(3)]
    size = (NARROWEST - 2 * EDGE - 2 * GAP) // 3
    axial = (thirds[0] - [EDGE + LINE, EDGE]) / size
    # The file's first axis runs from the patient's right to the left, as the picture's columns do.
    np.testing.assert_allclose(axial.min(axis=0), [1 - 19 / 20, 2 / 20], atol=0.02)
    np.testing.assert_allclose(axial.max(axis=0), [1 - 11 / 20, 10 / 20], atol=0.02)
    assert not (pixels == rgb(COLOURS[1])).all(axis=-1).any(), "what is not there is not in the legend"


def test_curves_with_gaps(tmp_path):
    history = [
        {"iteration": 1, "loss_synth": 1.0, "loss_real": None, "theta": {}, "val_dice": None},
        {"iteration": 2, "loss_synth": float("nan"), "loss_real": 0.5, "theta": {"sigma": 0.1}, "val_dice": 0.2},
        {"other": 3},
    ]
    assert is_picture(write_png(theta_and_dice(history), tmp_path / "a.png"))
    assert png_bytes(theta_and_dice([])).startswith(PNG)


def test_volumes_stand_upright_in_all_48_orientations(volume):
    image, labels = volume
    base = np.diag([1.0, 2.0, 3.0, 1.0])
    reference = upright(image, labels, base)
    assert np.array_equal(reference.image, image) and reference.spacing == (1, 2, 3)
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            orientation = np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
            stored = nib.Nifti1Image(image, base).as_reoriented(orientation)
            moved = np.asarray(nib.Nifti1Image(labels, base).as_reoriented(orientation).dataobj)
            view = upright(np.asarray(stored.dataobj), moved, stored.affine)
            assert np.array_equal(view.image, image) and np.array_equal(view.labels, labels)
            assert view.spacing == pytest.approx((1, 2, 3))


def test_right_is_on_the_left_and_superior_is_up():
    volume = np.zeros((4, 5, 6))
    volume[-1, 0, 0], volume[0, 0, -1] = 1, 2  # most right; most superior
    coronal = cut(volume, 1, 0)
    assert coronal.shape == (6, 4)
    assert coronal[0, 0] == 1  # drawn from below: lower row, leftmost column
    assert coronal[-1, -1] == 2


def test_the_centre_has_a_label_in_each_plane():
    labels = np.zeros((11, 11, 11), int)
    assert centre_of(labels) == (5, 5, 5)
    labels[1], labels[9] = 1, 1  # the centre of mass lies between
    assert labels[centre_of(labels)[0]].any()


def test_window_of_constant_and_nan_images():
    assert window(np.full((3, 3, 3), 7.0)) == (7.0, 8.0)
    assert window(np.full((3, 3, 3), np.nan)) == (0.0, 1.0)


def test_colours_are_distinct_and_stable():
    assert len(set(COLOURS)) == len(COLOURS)
    assert colours_of({3: "a", 1: "b"}) == {3: COLOURS[0], 1: COLOURS[1]}


def test_matplotlib_is_loaded_only_when_something_is_drawn():
    code = "import sys, l2s_auto.report.html, l2s_auto.report.figures; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
