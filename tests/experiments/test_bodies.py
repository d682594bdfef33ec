"""Laws of the made bodies: deterministic, anatomically placed, in Hounsfield units, one anatomy for both phases."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.experiments.bodies import LABEL_OF_TISSUE, LABELS, Body, make_body, render, write_dataset
from l2s_auto.experiments.bodies_anatomy import Tissue
from l2s_auto.experiments.bodies_canvas import Canvas, Ellipsoid, Tube, Union
from l2s_auto.experiments.bodies_organs import bowel_loop
from l2s_auto.experiments.bodies_values import TABLE, draw_values
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.verify import verify_dataset
from l2s_auto.planning.planner import determine_normalisation

ORGANS = [name for name in LABELS if name != "background"]


@pytest.fixture(scope="module")
def bodies() -> list[Body]:
    return [make_body(np.random.default_rng([0, number])) for number in range(8)]


def median(body: Body, image: np.ndarray, *tissues: Tissue) -> float:
    """Median HU of tissues."""
    return float(np.median(image[np.isin(body.tissue, tissues)]))


def centre(body: Body, name: str) -> np.ndarray:
    """Centre of mass of a label in RAS+ mm."""
    voxels = np.argwhere(body.labels == LABELS[name])
    return body.affine[:3, :3] @ voxels.mean(axis=0) + body.affine[:3, 3]


def small_canvas() -> Canvas:
    """2 mm voxels around the origin, smooth surfaces."""
    x, y, z = np.meshgrid(*[np.arange(-30, 31, 2, dtype=np.float32)] * 3, indexing="ij")
    return Canvas((x, y, z), 2.0, np.zeros_like(x))


def test_same_seed_gives_the_same_voxels(bodies: list[Body]) -> None:
    again = make_body(np.random.default_rng([0, 1]))
    np.testing.assert_array_equal(again.tissue, bodies[1].tissue)
    np.testing.assert_array_equal(again.affine, bodies[1].affine)
    scans = [render(again, np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*scans)


def test_persons_differ_in_every_organ(bodies: list[Body]) -> None:
    for name in ORGANS:
        volumes = [np.count_nonzero(body.labels == LABELS[name]) for body in bodies]
        assert np.std(volumes) > 0.05 * np.mean(volumes), name
        places = np.array([centre(body, name) for body in bodies])
        assert np.all(places.std(axis=0) > 1), name


def test_every_label_is_in_every_case_and_large_enough(bodies: list[Body]) -> None:
    for body in bodies:
        labels = body.labels
        assert set(np.unique(labels)) == set(LABELS.values())
        for name in ORGANS:
            assert np.count_nonzero(labels == LABELS[name]) > 80, name


def test_organs_are_where_they_are_in_a_person(bodies: list[Body]) -> None:
    for body in bodies:
        liver, spleen, left, right, aorta, stomach, gallbladder = (centre(body, name) for name in ORGANS)
        assert left[0] < aorta[0] < right[0] and spleen[0] < left[0] + 10 and stomach[0] < 0 < liver[0]
        assert aorta[1] < stomach[1] and left[1] < stomach[1], "y is to the front"
        assert max(left[2], right[2]) < liver[2] + 10 and gallbladder[2] < liver[2], "z is up"
        assert gallbladder[1] > right[1]


def test_labels_are_within_the_body(bodies: list[Body]) -> None:
    """Around each organ's voxels are further tissues, never air or the table."""
    outside = (Tissue.AIR, Tissue.TABLE_SHELL, Tissue.TABLE_FOAM)
    for body in bodies:
        labelled = body.labels > 0
        near = np.zeros_like(labelled)
        for axis in (0, 1):
            for step in (-1, 1):
                near |= np.roll(labelled, step, axis)
        assert not np.isin(body.tissue[near], outside).any()
        assert not labelled[[0, -1]].any() and not labelled[:, [0, -1]].any()


def test_persons_lie_on_the_table(bodies: list[Body]) -> None:
    for body in bodies:
        y = body.affine[1, 3] + body.affine[1, 1] * np.arange(body.shape[1])
        table = np.isin(body.tissue, (Tissue.TABLE_SHELL, Tissue.TABLE_FOAM)).any(axis=(0, 2))
        muscle = (body.tissue == Tissue.MUSCLE).any(axis=(0, 2))
        assert y[table].min() < y[muscle].min() and y[table].mean() < y[muscle].mean() - 50


def test_loops_of_bowel_move_on_and_stay_in_the_abdomen() -> None:
    """A step of no length would give NaN."""
    for seed in range(300):
        nodes = np.array(bowel_loop(np.random.default_rng(seed)))[:, :3]
        np.testing.assert_allclose(np.linalg.norm(np.diff(nodes, axis=0), axis=1), 30)
        assert np.all((nodes >= (-90, -5, -140)) & (nodes <= (90, 78, -25)))


def test_layers_cover_fractions_of_voxels(bodies: list[Body]) -> None:
    for body in bodies:
        for layer in body.layers:
            assert np.all((layer.coverage >= 0) & (layer.coverage <= 1))


def test_partial_volume_is_the_volume_of_the_shape() -> None:
    """The sum of coverages is the volume of a ball and of a capsule, within 2 %."""
    ball, capsule = Ellipsoid((1, 2, -3), (15, 15, 15)), Tube([(-10, 0, 0, 9), (10, 0, 0, 9)])
    for shape, volume in ((ball, 4 / 3 * np.pi * 15**3), (capsule, np.pi * 81 * 20 + 4 / 3 * np.pi * 9**3)):
        canvas = small_canvas()
        box, depth = canvas.depth_of(shape)
        canvas.paint(Tissue.LIVER, depth, box)
        assert canvas.layers[0].coverage.sum() * 8 == pytest.approx(volume, rel=0.02)


def test_box_of_a_shape_has_all_of_it() -> None:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    canvas = small_canvas()
    shape = Union((Ellipsoid((-3, 2, 0), (20, 7, 9), turn), Tube([(0, 0, 0, 5), (10, 12, 14, 3)])))
    whole = shape.depth(canvas.points)
    box, depth = canvas.depth_of(shape)
    assert np.count_nonzero(depth > -1) == np.count_nonzero(whole > -1) > 0
    np.testing.assert_allclose(depth, whole[box], atol=1e-4)


def test_ellipsoid_depth_is_a_distance_near_the_surface() -> None:
    """One millimetre outwards along each axis is one millimetre of depth."""
    shape = Ellipsoid((0, 0, 0), (30, 12, 18))
    tips = np.diag([31.0, 13.0, 19.0])
    assert shape.depth((tips[:, 0], tips[:, 1], tips[:, 2])) == pytest.approx([-1, -1, -1], abs=0.1)


def test_values_are_hounsfield_units(bodies: list[Body]) -> None:
    ranges = {
        Tissue.AIR: (-1015, -985),
        Tissue.FAT: (-130, -60),
        Tissue.MUSCLE: (20, 90),
        Tissue.BONE: (150, 1200),
        Tissue.MARROW: (80, 500),
        Tissue.LUNG: (-920, -700),
        Tissue.LIVER: (30, 150),
        Tissue.SPLEEN: (35, 180),
        Tissue.LEFT_CORTEX: (20, 220),
        Tissue.RIGHT_CORTEX: (20, 220),
        Tissue.AORTA: (30, 350),
        Tissue.GALLBLADDER: (-20, 50),
    }
    for number, body in enumerate(bodies):
        image = render(body, np.random.default_rng(number))
        assert image.dtype == np.int16 and image.min() >= -1024 and image.max() <= 3071
        for tissue, (low, high) in ranges.items():
            assert low < median(body, image, tissue) < high, tissue.name


def test_contrast_agent_is_bright_in_vessels_and_kidneys_and_nowhere_else(bodies: list[Body]) -> None:
    for number, body in enumerate(bodies):
        without, with_agent = (
            render(body, np.random.default_rng(number), phase=phase) for phase in ("unenhanced", "enhanced")
        )
        assert abs(median(body, with_agent, Tissue.AORTA) - median(body, with_agent, Tissue.MUSCLE)) > 40
        assert abs(median(body, without, Tissue.AORTA) - median(body, without, Tissue.MUSCLE)) < 30
        for tissue in (Tissue.AORTA, Tissue.LEFT_CORTEX, Tissue.RIGHT_CORTEX, Tissue.SPLEEN, Tissue.LIVER):
            assert median(body, with_agent, tissue) > median(body, without, tissue) + 5, tissue.name
        for tissue in (Tissue.FAT, Tissue.LUNG, Tissue.GALLBLADDER):
            assert abs(median(body, with_agent, tissue) - median(body, without, tissue)) < 12, tissue.name


def test_noise_has_ten_to_thirty_hounsfield_units_and_is_correlated_in_a_slice(bodies: list[Body]) -> None:
    for number, body in enumerate(bodies):
        image = render(body, np.random.default_rng(number)).astype(float)
        liver = body.tissue == Tissue.LIVER
        for axis in range(3):  # a voxel whose neighbours are liver too
            liver &= np.roll(liver, 1, axis) & np.roll(liver, -1, axis)
        residual = image - np.median(image[liver])
        assert 7 < residual[liver].std() < 40
        pairs = liver[:-1] & liver[1:]
        assert 0.1 < np.corrcoef(residual[:-1][pairs], residual[1:][pairs])[0, 1] < 0.8


def test_every_tissue_has_values_and_phase_may_be_either() -> None:
    assert set(TABLE) == set(Tissue) and set(LABEL_OF_TISSUE.values()) == set(ORGANS)
    aorta = [draw_values(np.random.default_rng(seed), None).mean[Tissue.AORTA] for seed in range(40)]
    assert 4 <= sum(value < 60 for value in aorta) <= 20


def test_an_unknown_phase_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"phase: found 'delayed'; expected enhanced or unenhanced"):
        draw_values(np.random.default_rng(0), "delayed")  # type: ignore[arg-type]


def test_dataset_is_written_accepted_and_recognised_as_ct(tmp_path) -> None:
    folder = write_dataset(tmp_path / "Körper aus Formeln", seed=3, cases=5, test_cases=1)
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert description["channel_names"] == {"0": "CT"} and description["numTraining"] == 5
    dataset = find_dataset(folder)
    assert len(dataset.cases) == 5 and dict(dataset.labels) == {value: name for name, value in LABELS.items()}
    verify_dataset(dataset)
    (scheme,) = determine_normalisation(dataset.channels)
    assert scheme.scheme == "fixed"


def test_test_bodies_are_scanned_in_both_phases_on_the_same_grid(tmp_path) -> None:
    folder = write_dataset(tmp_path, seed=3, cases=1, test_cases=1)
    names = ("imagesTs", "imagesTs_unenhanced", "labelsTs")
    found = [list((folder / name).iterdir()) for name in names]
    assert [path.name for (path,) in found] == ["body_002_0000.nii.gz"] * 2 + ["body_002.nii.gz"]
    images = [nibabel.load(path) for (path,) in found]
    for image in images:
        assert image.header.get_xyzt_units()[0] == "mm" and image.shape == images[0].shape
        np.testing.assert_allclose(image.affine, images[0].affine)
        assert np.all((np.array(image.header.get_zooms()) > 3.4) & (np.array(image.header.get_zooms()) < 4.1))
    enhanced, unenhanced, labels = (np.asarray(image.dataobj) for image in images)
    aorta = labels == LABELS["aorta"]
    assert enhanced[aorta].mean() > unenhanced[aorta].mean() + 30
