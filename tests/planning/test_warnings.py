"""What is no error and should be known."""

from l2s_auto.planning.planner import make_plan
from l2s_auto.planning.warnings import warnings_of

MEANS = {0: (0.5,), 1: (0.4,), 2: (0.42,)}


def told(fingerprint):
    return "\n".join(warnings_of(fingerprint, make_plan(fingerprint, memory_gb=None, device="cpu")))


def test_a_sound_dataset_is_not_warned_of(fingerprint_of):
    assert told(fingerprint_of(shapes=[(36, 50, 35)] * 6, means=MEANS, stds=MEANS)) == ""


def test_labels_that_most_cases_lack(fingerprint_of):
    means = [
        {0: (0.5,), 1: (0.4,), **({2: (0.4,)} if i < 2 else {}), **({3: (0.1,)} if i == 0 else {})} for i in range(6)
    ]
    text = told(
        fingerprint_of(shapes=[(36, 50, 35)] * 6, means=means, stds=means, labels={0: "b", 1: "x", 2: "y", 3: "z"})
    )
    assert "label 'y' (2) is in 2 of 6 cases only" in text and "'z' (3) is in 1 of 6 cases; it cannot" in text
    assert "'x'" not in text


def test_pieces_below_ten_voxels(fingerprint_of):
    fingerprint = fingerprint_of(shapes=[(36, 50, 35)] * 6, spacings=[(2.0, 2.0, 2.0)] * 6, means=MEANS, stds=MEANS)
    cases = [case.model_copy(update={"label_piece": {1: 40.0, 2: 800.0}}) for case in fingerprint.cases]
    text = told(fingerprint.model_copy(update={"cases": tuple(cases)}))
    assert "label 'a' (1) has 5.0 voxels" in text and "'b'" not in text


def test_fewer_people_than_folds(fingerprint_of):
    fingerprint = fingerprint_of(shapes=[(36, 50, 35)] * 6, means=MEANS, stds=MEANS)
    cases = [case.model_copy(update={"subject": str(i // 2)}) for i, case in enumerate(fingerprint.cases)]
    assert "3 people make 3 folds instead of 5" in told(fingerprint.model_copy(update={"cases": tuple(cases)}))


def test_a_ct_of_another_name(fingerprint_of):
    fingerprint = fingerprint_of(shapes=[(36, 50, 35)] * 6, means=MEANS, stds=MEANS)
    assert "'MRI' looks like CT" in told(fingerprint.model_copy(update={"modalities": ("CT",)}))
    named = fingerprint.model_copy(update={"modalities": ("CT",), "channels": ("ct",)})
    assert told(named) == ""


def test_cases_in_which_nothing_is_labelled(fingerprint_of):
    fingerprint = fingerprint_of(shapes=[(36, 50, 35)] * 6, means=MEANS, stds=MEANS)
    nothing = {"label_volume": {0: 9.0}, "label_mean": {0: (0.5,)}, "label_std": {0: (0.5,)}}
    first = fingerprint.cases[0].model_copy(update=nothing)
    text = told(fingerprint.model_copy(update={"cases": (first, *fingerprint.cases[1:])}))
    assert "nothing is labelled in 1 of 6 cases" in text and first.id in text


def test_a_case_whose_voxels_are_of_quite_another_size(fingerprint_of):
    def of(odd):
        spacings = [(1.0, 1.0, 1.0)] * 5 + [(odd, odd, odd)]
        return told(fingerprint_of(shapes=[(36, 50, 35)] * 6, spacings=spacings, means=MEANS, stds=MEANS))

    assert "another size" not in of(2.0) + of(0.5)
    last = fingerprint_of(shapes=[(36, 50, 35)] * 6, means=MEANS, stds=MEANS).cases[-1].id
    for odd in (10.0, 0.1):
        text = of(odd)
        assert f"than the usual 1 mm in 1 of 6 cases: {last} ({odd:g} mm)" in text and "its unit" in text
