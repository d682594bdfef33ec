"""Some voxels of each label."""

from __future__ import annotations

import numpy as np

from l2s_auto.preprocessing.places import as_table, from_table, some_voxels


def test_every_label_has_voxels_of_its_own_and_any_may_be_among_them() -> None:
    target = np.random.default_rng(0).choice([0, 1, 2, 9], (12, 9, 7), p=[0.7, 0.2, 0.095, 0.005]).astype(np.int16)
    seen: set[tuple[int, ...]] = set()
    for seed in range(60):
        places = some_voxels(target, np.random.default_rng(seed), most=20)
        assert list(places) == np.unique(target[target > 0]).tolist()
        for label, where in places.items():
            assert len(where) == min(20, int((target == label).sum()))
            assert len(np.unique(where, axis=0)) == len(where), "no voxel twice"
            assert (target[tuple(where.T)] == label).all()
            seen |= {tuple(place) for place in where.tolist()}
    assert len(seen) == (target > 0).sum()


def test_tables_hold_the_same_and_nothing_has_none() -> None:
    target = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    places = some_voxels(target, np.random.default_rng(1))
    back = from_table(as_table(places))
    assert list(back) == list(places) and all(np.array_equal(back[label], places[label]) for label in places)
    assert from_table(as_table({})) == {} == some_voxels(np.zeros((3, 3, 3), dtype=int), np.random.default_rng(0))
