"""What a channel looks like."""

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.types import Case, Dataset, Volume
from l2s_auto.planning.modality import guess, usual, with_named_channels
from tests.io.scans_of_kinds import OUTSIDE, ct, mri


def test_whole_numbers_from_air_to_bone_are_ct():
    rng = np.random.default_rng(0)
    scan = np.rint(rng.uniform(-1024, 1500, (20, 20, 20)))
    assert guess(scan) == "CT"
    assert guess(scan + 0.3) == "other" and guess(scan + 1024) == "MRI"
    assert guess(rng.standard_normal((5, 5, 5))) == "other"


def test_most_cases_decide():
    assert usual(["CT"] * 4 + ["MRI"]) == "CT" and usual(["CT", "MRI"]) == "other"


@pytest.mark.parametrize(
    ("channels", "named"),
    [(("image",), ("CT",)), (("channel 0", "channel 1"), ("CT", "channel 1")), (("PET",), ("PET",)), ((), ())],
)
def test_channels_without_a_name_are_called_ct_where_they_look_like_it(channels, named):
    ct = np.rint(np.linspace(-1000, 1500, 1000)).reshape(10, 10, 10)
    seen = []

    def read(case):
        seen.append(case.id)
        return Volume(np.stack([ct, ct + 1000.0])[: max(1, len(channels))], np.eye(4))

    cases = tuple(Case(str(i), (Path("x"),)) for i in range(50))
    dataset = Dataset(name="d", folder=Path("d"), cases=cases, channels=channels, labels={0: "background"})
    assert with_named_channels(dataset, read=read).channels == named
    assert len(seen) <= 3


def test_one_scan_that_is_no_ct_keeps_the_name():
    ct = np.rint(np.linspace(-1000, 1500, 1000)).reshape(1, 10, 10, 10)

    def read(case):
        return Volume(ct + (2000 if case.id == "0" else 0), np.eye(4))

    cases = tuple(Case(str(i), (Path("x"),)) for i in range(3))
    dataset = Dataset(name="d", folder=Path("d"), cases=cases, channels=("image",), labels={0: "background"})
    assert with_named_channels(dataset, read=read).channels == ("image",)


def _named(channels, make):
    cases = tuple(Case(str(i), (Path("x"),)) for i in range(5))
    dataset = Dataset(name="d", folder=Path("d"), cases=cases, channels=channels, labels={0: "background"})
    return with_named_channels(dataset, read=lambda case: Volume(make(int(case.id))[None], np.eye(4))).channels


def test_a_fill_value_makes_no_ct_of_an_mri():
    filled = np.where(OUTSIDE, -32768, mri())
    assert guess(filled) == "MRI" and guess(np.where(OUTSIDE, -32768, ct())) == "CT"
    assert _named(("image",), lambda n: np.where(OUTSIDE, -9999, mri(n))) == ("image",)


@pytest.mark.parametrize("name", ["CT", "ct"])
def test_a_ct_in_other_units_is_called_otherwise(name):
    assert _named((name,), lambda n: (ct(n) + 160) / 400) == ("CT (other units)",)
    assert _named((name,), ct) == (name,) and _named((name,), lambda n: ct(n) + 1024) == (name,)
    assert _named((name,), lambda n: ct(n) if n == 2 else ct(n) / 1000) == (name,)  # verification names the others
