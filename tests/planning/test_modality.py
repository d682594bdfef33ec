"""What a channel looks like."""

import numpy as np

from l2s_auto.planning.modality import guess, usual


def test_whole_numbers_from_air_to_bone_are_ct():
    rng = np.random.default_rng(0)
    scan = np.rint(rng.uniform(-1024, 1500, (20, 20, 20)))
    assert guess(scan) == "CT"
    assert guess(scan + 0.3) == "other" and guess(scan + 1024) == "MRI"
    assert guess(rng.standard_normal((5, 5, 5))) == "other"


def test_most_cases_decide():
    assert usual(["CT"] * 4 + ["MRI"]) == "CT" and usual(["CT", "MRI"]) == "other"
