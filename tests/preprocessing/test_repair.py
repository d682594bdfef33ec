"""Training and prediction repair the same: what lies outside never decides how a scan is normalised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.plan import Normalisation
from l2s_auto.core.types import Case, Volume
from l2s_auto.io.volumes import write_label_map, write_volume
from l2s_auto.preprocessing.pipeline import prepare_native
from l2s_auto.preprocessing.read import read_for_fingerprint
from l2s_auto.preprocessing.repair import in_hounsfield, repaired
from tests.io.scans_of_kinds import BRAIN, OUTSIDE, ct, mri, organs

CT = Normalisation(scheme="fixed", lower=-500.0, upper=500.0)
MRI = Normalisation(scheme="percentile", lower=0.5, upper=99.5)


def _volume(*channels: np.ndarray) -> Volume:
    return Volume(np.stack(channels), np.eye(4), ("read",))


@pytest.mark.parametrize("scheme", ["percentile", "z-score", "z-score of nonzero", "range", "none"])
def test_the_normalised_image_is_that_of_a_mask(scheme: str) -> None:
    rule = Normalisation(scheme=scheme, lower=0.5, upper=99.5)
    image = mri().astype(np.float32)
    masked, _, box = prepare_native(_volume(np.where(BRAIN, image, 0)), (rule,), spacing=None)
    for fill in (-32768, 65535, np.nan):
        found, raw, own_box = prepare_native(_volume(np.where(BRAIN, image, np.float32(fill))), (rule,), spacing=None)
        assert np.array_equal(found, masked) and own_box == box and raw.min() == 0


def test_a_good_volume_is_itself() -> None:
    for volume, schemes in ((_volume(ct()), (CT,)), (_volume(mri(), mri(1)), (MRI, MRI)), (_volume(mri()), ())):
        assert repaired(volume, schemes) is volume


def test_each_channel_by_its_own_scheme() -> None:
    volume = _volume(ct() + 1024, mri() + 1024)
    found = repaired(volume, (CT, MRI))
    assert np.array_equal(found.data[0], ct()) and np.array_equal(found.data[1], volume.data[1])
    assert found.notes[0] == "read" and len(found.notes) == 2


def test_repairing_twice_changes_nothing_more() -> None:
    once = repaired(_volume(np.where(OUTSIDE, 32767, ct().astype(np.int32) + 1024)), (CT,))
    assert np.array_equal(repaired(once, (CT,)).data, once.data)


def test_which_normalisations_are_of_hounsfield_units() -> None:
    assert in_hounsfield(CT) and not in_hounsfield(MRI)
    assert in_hounsfield(Normalisation(scheme="clipped z-score", lower=-160, upper=240, mean=60, std=40))
    assert not in_hounsfield(Normalisation(scheme="fixed", lower=0, upper=1))
    assert not in_hounsfield(Normalisation(scheme="clipped z-score", lower=12, upper=900, mean=400, std=80))


def test_the_fingerprint_measures_what_prediction_sees(tmp_path: Path) -> None:
    write_label_map(tmp_path / "labels.nii.gz", organs(), np.eye(4))
    measured = []
    for name, image in (("hu", ct()), ("raw", ct().astype(np.float32) + 1024)):
        write_volume(tmp_path / f"{name}.nii.gz", Volume(image[None], np.eye(4)))
        case = Case(name, (tmp_path / f"{name}.nii.gz",), label=tmp_path / "labels.nii.gz")
        measured.append(read_for_fingerprint(case, normalisation=(CT,)))
    assert np.array_equal(measured[0].image, measured[1].image) and np.array_equal(measured[0].raw, measured[1].raw)
