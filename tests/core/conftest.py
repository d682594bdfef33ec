"""A small plan for any label values."""

import pytest

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan, Topology


@pytest.fixture
def make_plan():
    def make(*, values, pairs=()):
        return Plan(
            dataset="tiny",
            channels=("MRI",),
            labels=tuple(LabelPlan(value=v, name=str(v)) for v in values),
            spacing=(1.0, 1.0, 1.0),
            patch=(8, 8, 8),
            batch=2,
            topology=Topology(
                features=(4, 8),
                kernels=((3, 3, 3),) * 2,
                strides=((1, 1, 1), (2, 2, 2)),
                convolutions_encoder=(2, 2),
                convolutions_decoder=(2,),
            ),
            normalisation=(Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
            generation=GenerationPlan(
                enriched=tuple(EnrichedLabel(name=str(v), target=i, generation_class=i) for i, v in enumerate(values))
            ),
            pairs=pairs,
            iterations=10,
        )

    return make
