"""Label maps of many regions pass as such, images do not, whatever the number of values."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.core.errors import UserError
from l2s_auto.io.dataset import find_dataset, verify_dataset
from l2s_auto.io.exchanged import require_not_exchanged
from l2s_auto.io.json_files import write_json
from l2s_auto.io.label_like import look_of
from tests.io.scans_of_kinds import BODY, BRAIN, OUTSIDE, SHAPE, ct, mri, organs, regions

LABEL_MAPS = {
    "two organs": organs(),
    "one": (organs() > 0).astype(np.uint8),
    "floats": organs().astype(np.float32) + 1e-6,
    "190 regions, values up to 14175": regions(190, largest=14_175),
    "1300 regions, values up to 2^31": regions(1300, largest=2**31 - 1),
    "a slice": organs()[:, :, 12:13],
}
IMAGES = {
    "ct": ct(),
    "mri": mri(),
    "8 bits": (mri() / 4).astype(np.uint8),
    "fractions": mri() / 900.0,
    "smooth": np.rint(ndimage.gaussian_filter(mri().astype(float), 2)).astype(np.int16),
    "ct in a narrow window, 8 bits": np.rint(255 * ((ct() - 20.0) / 50).clip(0, 1)).astype(np.uint8),
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_label_maps(name: str) -> None:
    look = look_of(LABEL_MAPS[name])
    assert look.is_label_map and not look.is_image


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str) -> None:
    assert not look_of(IMAGES[name]).is_label_map


@pytest.mark.parametrize("name", ["ct", "mri", "8 bits", "fractions"])
def test_images_in_place_of_label_maps(name: str) -> None:
    assert look_of(IMAGES[name]).is_image


def test_noise_of_few_values_is_neither() -> None:
    look = look_of(np.random.default_rng(0).integers(0, 5, SHAPE))
    assert not look.is_label_map and not look.is_image


def _dataset(folder, *, images, labels, cases=4, make_image=ct, make_labels=lambda case: organs(), declared=None):
    for case in range(cases):
        for name, array in ((images, make_image(case)), (labels, make_labels(case))):
            (folder / name).mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / name / f"c{case}.nii.gz")
    if declared is not None:
        write_json(folder / "dataset.json", declared)
    return folder


@pytest.mark.parametrize("make_image", [ct, mri, lambda case: (mri(case) / 900).astype(np.float32)])
@pytest.mark.parametrize("names", [("images", "labels"), ("imagesTr", "labelsTr")])
def test_exchanged_folders_are_named(tmp_path, make_image, names) -> None:
    declared = None
    if names[1] == "labelsTr":
        declared = {"channel_names": {"0": "MR"}, "labels": {"organ": 1, "spine": 2}, "file_ending": ".nii.gz"}
    folder = _dataset(tmp_path, images=names[1], labels=names[0], make_image=make_image, declared=declared)
    with pytest.raises(UserError, match="seem to be exchanged") as caught:
        find_dataset(folder)
    (offence,) = caught.value.offences
    assert f"label maps in {names[0]} (e.g. c0.nii.gz: 3 values" in offence.found and names[1] in offence.found
    assert offence.mend == f"Exchange the names of the folders {names[0]} and {names[1]}."


def test_the_right_folders_pass(tmp_path) -> None:
    folder = _dataset(tmp_path, images="images", labels="labels")
    verify_dataset(find_dataset(folder))
    assert find_dataset(folder).labels == {0: "background", 1: "label 1", 2: "label 2"}


def test_label_maps_of_many_regions_pass(tmp_path) -> None:
    folder = _dataset(
        tmp_path,
        images="images",
        labels="labels",
        make_image=lambda case: np.random.default_rng(case).normal(100, 20, (48, 48, 48)).astype(np.float32),
        make_labels=lambda case: regions(1300, largest=2**31 - 1),
        cases=2,
    )
    dataset = find_dataset(folder)
    verify_dataset(dataset)
    assert len(dataset.labels) == 1301


def test_label_folders_that_hold_images_alone(tmp_path) -> None:
    """Each is named, and none of their values becomes a label."""
    folder = _dataset(tmp_path, images="images", labels="labels", make_labels=lambda case: mri(case + 10))
    dataset = find_dataset(folder)
    assert dataset.labels == {0: "background"}
    with pytest.raises(UserError) as caught:
        verify_dataset(dataset)
    assert len(caught.value.offences) == 4
    assert all("an image: " in o.found and "scattered" in o.found for o in caught.value.offences)


def test_one_image_among_the_label_maps(tmp_path) -> None:
    folder = _dataset(
        tmp_path,
        images="images",
        labels="labels",
        make_labels=lambda case: mri(7) if case == 2 else organs(),
    )
    with pytest.raises(UserError) as caught:
        verify_dataset(find_dataset(folder))
    (offence,) = caught.value.offences
    assert offence.where.endswith("labels/c2.nii.gz") and "an image" in offence.found


def test_unreadable_files_are_left_to_the_verification(tmp_path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"no")
    require_not_exchanged([tmp_path / "a.nii.gz"], [tmp_path / "a.nii.gz"])
    require_not_exchanged([], [])


def test_bodies_cover_what_they_should() -> None:
    assert (BRAIN & ~BODY).sum() == 0 and 0.2 < OUTSIDE.mean() < 0.4


def test_thin_regions_of_coarse_voxels_are_a_label_map() -> None:
    """Of which nearly half of the neighbours differ, all at the outer border."""
    rng = np.random.default_rng(0)
    shells = np.zeros((48, 48, 48), np.uint8)
    for k in range(60):
        x, y, z = rng.integers(4, 40, 3)
        shells[x : x + 4, y : y + 4, z : z + 4] = 1 + k % 7
    look = look_of(shells)
    assert look.values == 8 and look.is_label_map


@pytest.mark.parametrize("levels", [16, 24])
def test_an_image_of_few_grey_levels_is_none(levels: int) -> None:
    image = mri().astype(float)
    grey = np.rint((image - image.min()) / np.ptp(image) * (levels - 1)).astype(np.int16)
    assert not look_of(grey).is_label_map
