"""Plans refuse what cannot be, and know their pairs."""

import pytest
from pydantic import ValidationError

from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan, Topology


def test_pairs_are_values_in_the_plan_and_indices_for_the_network(make_plan):
    plan = make_plan(values=(0, 4, 43, 7), pairs=((4, 43),))
    assert plan.pair_classes == ((1, 2),)


def test_a_plan_survives_json(make_plan):
    plan = make_plan(values=(0, -3, 700))
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan


def test_an_unknown_field_is_refused(make_plan):
    with pytest.raises(ValidationError, match="patsh"):
        type(make_plan(values=(0, 1))).model_validate({**make_plan(values=(0, 1)).model_dump(), "patsh": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": (0, 0)}, "greater than or equal to 1"),
        ({"kernels": ((2, 2, 2), (3, 3, 3))}, "kernels need extents of 1, 3, 5 or 7"),
        ({"strides": ((1, 1, 1), (9, 2, 2))}, "strides need to be 8 at most"),
        ({"strides": ((1, 1, 1), (0, 2, 2))}, "greater than or equal to 1"),
        ({"convolutions_encoder": (0, 2)}, "greater than or equal to 1"),
    ],
)
def test_a_topology_that_cannot_work_is_refused(changes, message):
    good = {"features": (4, 8), "kernels": ((3,) * 3,) * 2, "strides": ((1,) * 3, (2,) * 3)}
    good |= {"convolutions_encoder": (2, 2), "convolutions_decoder": (2,)}
    Topology(**good)
    with pytest.raises(ValidationError, match=message):
        Topology(**{**good, **changes})


@pytest.mark.parametrize(
    ("scheme", "lower", "upper", "message"),
    [
        ("fixed", 5.0, 5.0, "lower needs to be less than upper"),
        ("percentile", 0.5, 250.0, "percentiles lie between 0 and 100"),
        ("percentile", float("nan"), 99.5, "finite number"),
    ],
)
def test_a_normalisation_that_cannot_work_is_refused(scheme, lower, upper, message):
    with pytest.raises(ValidationError, match=message):
        Normalisation(scheme=scheme, lower=lower, upper=upper)


def test_generation_classes_have_no_gap():
    with pytest.raises(ValidationError, match="0 to 1, without a gap"):
        GenerationPlan(enriched=tuple(EnrichedLabel(name=str(c), target=0, generation_class=c) for c in (0, 2)))


def test_priors_have_one_number_a_channel(make_plan):
    plan = make_plan(values=(0, 1)).model_dump()
    prior = dict.fromkeys(("mean", "mean_spread", "std", "std_spread"), (0.5, 0.5))
    classes = 1 + max(label["generation_class"] for label in plan["generation"]["enriched"])
    plan["generation"]["priors"] = (prior,) * classes
    with pytest.raises(ValidationError, match="priors need one number a channel: 1"):
        Plan(**plan)


@pytest.mark.parametrize("changes", [{"kernels": ()}, {"convolutions_decoder": (2, 2, 2)}])
def test_a_topology_needs_one_entry_a_stage(make_plan, changes):
    with pytest.raises(ValidationError, match="one entry"):
        Topology(**{**make_plan(values=(0, 1)).topology.model_dump(), **changes})


def test_priors_are_one_a_class():
    labels = (
        EnrichedLabel(name="a", target=0, generation_class=0),
        EnrichedLabel(name="b", target=1, generation_class=1),
    )
    prior = ClassPrior(mean=(0.5,), mean_spread=(0.1,), std=(0.1,), std_spread=(0.0,))
    with pytest.raises(ValidationError, match="2 generation classes need as many priors"):
        GenerationPlan(enriched=labels, priors=(prior,))


def test_parts_of_the_same_labels_are_one_structure_and_tissues_are_their_own():
    classes = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 4)]
    enriched = tuple(EnrichedLabel(name=f"{t}{c}", target=t, generation_class=c) for t, c in classes)
    assert GenerationPlan(enriched=enriched).structures == (0, 1, 2, 2, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spacing": (1.0, 0.0, 1.0)}, "spacing .* needs numbers above 0"),
        ({"patch": (8, 7, 8)}, "patch .* needs multiples of"),
        ({"early": {"patch": (4, 3, 4), "batch": 8, "share": 0.5}}, "early.patch .* needs multiples of"),
        ({"early": {"patch": (4, 4, 4), "batch": 8, "share": 1.0}}, "less than 1"),
        ({"early": {"patch": (2, 2, 2), "batch": 8, "share": 0.5}}, "early.patch .* one voxel in the lowest stage"),
        ({"early": {"patch": (4, 16, 4), "batch": 8, "share": 0.5}}, r"early.patch .* needs to be patch \(8, 8, 8\)"),
        ({"early": {"patch": (4, 4, 4), "batch": 1, "share": 0.5}}, "early.batch 1 needs to be batch 2 or more"),
        ({"patch": (2, 2, 2)}, "patch .* one voxel in the lowest stage"),
        ({"normalisation": ()}, "normalisation needs one entry a channel"),
        ({"labels": (LabelPlan(value=1, name="a"),)}, "labels need different values, the first 0"),
        ({"pairs": ((1, 9),)}, "pairs names .9., which are not among the labels"),
        ({"regions": {"both": (1, 8)}}, "regions names .8., which are not among the labels"),
        ({"ignore": 2}, "ignore 2 is a label too"),
        ({"spacing": (float("nan"), 1.0, 1.0)}, "finite number"),
        ({"spacing": (20_000.0, 1.0, 1.0)}, "at most 10000"),
        ({"labels": [LabelPlan(value=v, name="a") for v in (0, 1, 2)]}, "labels need different names"),
        ({"pairs": ((1, 1),)}, "pairs need labels other than background"),
        ({"pairs": ((0, 1),)}, "pairs need labels other than background"),
        ({"regions": {"none": ()}}, "regions need one label or more"),
        ({"version": 99}, "Input should be 1"),
        ({"iterations": 10**15}, "less than or equal to"),
    ],
)
def test_an_edited_plan_must_fit_together(make_plan, changes, message):
    plan = make_plan(values=(0, 1, 2))
    with pytest.raises(ValueError, match=message):
        Plan(**{**plan.model_dump(), **changes})


def test_targets_beyond_the_labels_are_those_of_the_ignore_label_alone(make_plan):
    plan = make_plan(values=(0, 1, 2)).model_dump()
    plan["labels"] = plan["labels"][:2]
    with pytest.raises(ValueError, match="target beyond the 2 labels"):
        Plan(**plan)
    assert Plan(**{**plan, "ignore": 7}).class_of == {0: 0, 1: 1, 7: 2}


def test_regions_as_output_classes(make_plan):
    plan = make_plan(values=(0, 4, 7)).model_copy(update={"regions": {"both": (4, 7), "one": (7,)}})
    assert plan.region_classes == ((1, 2),)
