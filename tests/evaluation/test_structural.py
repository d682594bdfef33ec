"""Structural changes of appearance: what all keep, and what each does."""

import numpy as np
import pytest

from l2s_auto.evaluation.appearance import APPEARANCES, CHANGES, STRUCTURAL, changed

GRID = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in (36, 40, 32)], indexing="ij"))
LABELS = (np.square(GRID - np.array((18, 20, 16))[:, None, None, None]).sum(0) < 64).astype(np.int16)
#: A ball of 0.4 in tissue of 0.8, with a second ball of 0.4 that nobody labelled.
OTHER = np.square(GRID - np.array((7, 6, 8))[:, None, None, None]).sum(0) < 25
CORE = np.square(GRID - np.array((7, 6, 8))[:, None, None, None]).sum(0) < 9
CLEAN = np.where(LABELS + OTHER > 0, 0.4, 0.8)
NOISE = 0.02 * np.random.default_rng(0).standard_normal(CLEAN.shape)
SCAN = (1000 * (CLEAN + NOISE) - 500)[None].astype(np.float32)


def scans():
    """(data, spacing, labels) of each kind of scan."""
    slice_, plane = SCAN[..., 16:17], LABELS[..., 16:17]
    holes = SCAN.copy()
    holes[0, :2] = np.nan
    ct = np.where(GRID[:1] < 3, -3024, 300 * SCAN / 500).astype(np.int16)
    return {
        "volume": (SCAN, (1, 1, 1), LABELS),
        "no reference": (SCAN, (1, 1, 1), None),
        "nothing labelled": (SCAN, (1, 1, 1), 0 * LABELS),
        "all labelled": (SCAN, (1, 1, 1), LABELS + 1),
        "slice": (slice_, (1, 1, 5), plane),
        "slice across": (SCAN[:, 18:19], (0.1, 3, 3), LABELS[18:19]),
        "slice without reference": (slice_, (1, 1, 1), None),
        "anisotropic": (SCAN[..., ::4], (0.8, 0.8, 4.0), LABELS[..., ::4]),
        "two channels": (np.concatenate([SCAN, -2 * SCAN]), (1, 1, 1), LABELS),
        "a channel of one value": (np.concatenate([0 * SCAN, SCAN]), (1, 1, 1), LABELS),
        "CT": (ct, (0.7, 0.7, 1.5), LABELS),
        "NaN": (holes, (1, 1, 1), LABELS),
        "all NaN": (np.full_like(SCAN, np.nan), (1, 1, 1), LABELS),
        "one value": (np.full_like(SCAN, 7), (1, 1, 1), LABELS),
        "one voxel": (SCAN[:, :1, :1, :1], (1, 1, 1), None),
        "tiny": (SCAN[:, 16:19, 18:21, 14:16], (1, 1, 1), LABELS[16:19, 18:21, 14:16]),
    }


@pytest.mark.parametrize("kind", scans())
@pytest.mark.parametrize("name", STRUCTURAL)
def test_a_change_is_the_same_every_time_and_keeps_shape_and_range(name, kind):
    data, spacing, labels = scans()[kind]
    before = data.copy()
    first, second = (changed(data, name, spacing=spacing, labels=labels) for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True) and np.array_equal(data, before, equal_nan=True)
    assert first.dtype == np.float32 and first.shape == data.shape
    finite = np.isfinite(data)
    assert np.array_equal(np.isfinite(first), finite)
    for old, new, there in zip(data, first, finite, strict=True):
        if there.any():
            slack = 1e-3 * (1 + np.abs(old[there]).max())
            assert old[there].min() - slack <= new[there].min() and new[there].max() <= old[there].max() + slack


@pytest.mark.parametrize("name", STRUCTURAL)
def test_a_change_is_no_function_of_intensity_alone(name):
    """Of voxels that have the same value in the scan, some have quite another one than the rest."""
    data = np.round(SCAN, -2)
    new = changed(data, name, labels=LABELS)
    spread = max(np.ptp(new[data == value]) for value in np.unique(data))
    assert spread > 0.15 * np.ptp(data), "while a curve has none"
    assert np.abs(new - data).max() > 0.1 * np.ptp(data)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_neither_unit_counts(name):
    """Twice the intensities, or micrometres for millimetres: the same change, up to places that are random."""
    spacing = (0.7, 0.7, 1.4)
    usual = changed(SCAN, name, spacing=spacing, labels=LABELS)
    small = changed(SCAN, name, spacing=[edge / 1000 for edge in spacing], labels=LABELS)
    assert np.array_equal(usual, small)
    if name != "lesions":
        assert np.allclose(changed(2 * SCAN, name, spacing=spacing, labels=LABELS), 2 * usual, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_the_thickness_of_a_single_slice_does_not_count(name):
    data, labels = SCAN[..., 16:17], LABELS[..., 16:17]
    thin, thick = (changed(data, name, spacing=(1, 1, edge), labels=labels) for edge in (0.01, 50))
    assert np.array_equal(thin, thick)


def test_names_and_order():
    assert list(STRUCTURAL) == ["tissues exchanged", "lesions", "thick slices", "low-pass", "ghosts"]
    assert not set(STRUCTURAL) & set(APPEARANCES) and len(CHANGES) == 5


def medians(data):
    """Of the structure, of the tissue around it, and of a structure like it that is not labelled; 0 to 1."""
    x = (data[0] + 500) / 1000
    return [float(np.median(x[place])) for place in (LABELS > 0, (LABELS == 0) & ~OTHER, CORE)]


def test_two_tissues_change_places_and_texture_stays():
    new = changed(SCAN, "tissues exchanged", labels=LABELS)
    own, around, other = medians(new)
    assert (own, around) == pytest.approx((0.8, 0.4), abs=0.02)
    assert other == pytest.approx(0.4, abs=0.02), "it is no curve: what is alike and not labelled stays"
    core = np.square(GRID - np.array((18, 20, 16))[:, None, None, None]).sum(0) < 25
    assert np.corrcoef(new[0][core], SCAN[0][core])[0, 1] > 0.99


def test_structures_that_are_alike_move_together():
    halves = np.where(GRID[1] < 20, LABELS, 7 * LABELS)
    new = changed(SCAN, "tissues exchanged", labels=halves)
    assert [np.median(new[0][halves == value]) for value in (1, 7)] == pytest.approx([300, 300], abs=40)


def test_channels_exchange_the_same_tissues():
    both = changed(np.concatenate([SCAN, -SCAN]), "tissues exchanged", labels=LABELS)
    assert np.allclose(both[0], -both[1], atol=5)


def test_far_from_all_structures_nothing_is_exchanged():
    small = np.zeros_like(LABELS)
    small[17:20, 19:22, 15:18] = 1
    new = changed(SCAN, "tissues exchanged", labels=small)
    assert np.allclose(new[0, :8], SCAN[0, :8], atol=0.01)


def test_lesions_are_near_the_structures_smooth_and_of_their_size():
    new = changed(SCAN, "lesions", labels=LABELS)
    touched = np.abs(new - SCAN)[0] > 50
    assert 30 < touched.sum() < LABELS.sum()
    away = np.sqrt(np.square(GRID - np.array((18, 20, 16))[:, None, None, None]).sum(0))
    assert away[touched].max() < 8 + 13 / 2 + 13 * 0.35 * 1.3 * 1.5
    others = [changed(SCAN + step, "lesions", labels=LABELS) - step for step in (1.0, 2.0)]
    assert not np.allclose(others[0], others[1], atol=50), "another scan has them elsewhere"


def test_lesions_are_at_the_same_places_in_all_channels():
    data = np.concatenate([SCAN, SCAN[:, ::-1]])
    first, second = (np.abs(changed(data, "lesions", labels=LABELS) - data) > 100)[:2]
    assert (first & second).sum() > 0.8 * min(first.sum(), second.sum())


@pytest.mark.parametrize(
    ("spacing", "shape", "axis", "voxels"),
    [
        ((1, 1, 1), (24, 24, 24), 2, 4),
        ((0.5, 1, 0.5), (24, 24, 24), 1, 2),
        ((1, 1, 5), (24, 24, 24), 2, 2),
        ((1, 1, 5), (24, 24, 3), 1, 4),
        ((1, 1, 5), (24, 24, 1), 1, 4),
    ],
)
def test_slices_are_four_finest_edges_thick_or_of_two_voxels(spacing, shape, axis, voxels):
    """White noise in slices of n voxels: along the axis alone, and of about the variance 1/n between two centres."""
    data = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    new = changed(data, "thick slices", spacing=spacing)[0]
    ramp = np.broadcast_to(np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(3)]), shape)
    ramped = changed(ramp[None].astype(np.float32), "thick slices", spacing=spacing)[0]
    inner = [slice(None)] * 3
    inner[axis] = slice(voxels, -voxels)
    assert np.allclose(ramped[tuple(inner)], ramp[tuple(inner)], atol=1e-3), "nothing is shifted"
    steps = [np.square(np.diff(new, axis=a)).mean() / new.var() if shape[a] > 1 else 2 for a in range(3)]
    assert int(np.argmin(steps)) == axis
    assert 0.5 / voxels < new.var() < 1.1 / voxels


def test_low_pass_keeps_low_frequencies_and_removes_high_ones():
    n = np.arange(40) + 0.5
    waves = {period: np.cos(2 * np.pi * n / period) for period in (40, 10, 4, 2.5)}
    for period, wave in waves.items():
        data = np.broadcast_to(wave[:, None, None], (40, 8, 8))[None].astype(np.float32)
        left = changed(data, "low-pass").std() / data.std()
        assert left > 0.9 if period > 5 else left < 0.1
    coarse = np.broadcast_to(np.random.default_rng(0).standard_normal(12), (1, 12, 12, 12)).astype(np.float32)
    kept = changed(coarse, "low-pass", spacing=(1, 1, 3))
    assert np.allclose(kept, coarse, atol=1e-4), "coarse voxels have no such frequencies"


def test_ghosts_are_copies_along_the_longest_axis():
    data = np.zeros((1, 20, 100, 20), np.float32)
    data[:, 8:12, 45:55, 8:12] = 1
    new = changed(data, "ghosts")[0]
    assert new[10, 50, 10] == pytest.approx(0.62, abs=1e-4)
    assert [new[10, 50 + far, 10] for far in (-42, -21, 21, 42)] == pytest.approx([0.05, 0.14, 0.14, 0.05], abs=1e-4)
    assert new.sum() == pytest.approx(data.sum(), rel=1e-4) and new[10, 62, 10] == 0


def test_without_a_reference_two_clusters_are_exchanged_in_a_half():
    data = np.random.default_rng(0).choice([0.1, 0.5, 0.9], size=(6, 6, 6)).repeat(6, 0).repeat(6, 1).repeat(6, 2)
    new = changed(data[None].astype(np.float32), "tissues exchanged")[0]
    low, middle, high = (np.isclose(data, value) for value in (0.1, 0.5, 0.9))
    near, far = np.arange(36) < 10, np.arange(36) >= 27
    assert np.allclose(new[far], data[far], atol=1e-3)
    assert np.median(new[near][middle[near]]) == pytest.approx(0.9, abs=0.05)
    assert np.median(new[near][high[near]]) == pytest.approx(0.5, abs=0.05)
    assert np.median(new[near][low[near]]) == pytest.approx(0.1, abs=0.05)
