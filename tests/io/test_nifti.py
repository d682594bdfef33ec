"""Volumes of several classes that are written one after the other."""

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.io.volumes import write_volumes

AFFINE = np.array([[-1.5, 0.1, 0, 3], [0.1, 1.2, 0, -4], [0, 0, 2.0, 5], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["maps.nii.gz", "maps.nii"])
@pytest.mark.parametrize("first", [5, 40_000])
def test_a_file_holds_the_volumes_in_order(tmp_path, name, first):
    volumes = np.random.default_rng(0).random((3, first, 4, 2)).astype(np.float32)
    turned = np.asfortranarray(volumes)
    write_volumes(tmp_path / name, iter(turned), (first, 4, 2, 3), AFFINE)
    image = nib.load(tmp_path / name)
    assert np.array_equal(np.moveaxis(np.asanyarray(image.dataobj), -1, 0), volumes)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    assert image.header.get_zooms()[:3] == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0), abs=1e-5)


def test_a_writing_that_fails_leaves_nothing(tmp_path):
    def volumes():
        yield np.zeros((2, 2, 2), np.float32)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="space"):
        write_volumes(tmp_path / "maps.nii.gz", volumes(), (2, 2, 2, 2), AFFINE)
    assert list(tmp_path.iterdir()) == []
