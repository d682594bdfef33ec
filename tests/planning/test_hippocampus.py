"""On real cases, where they are at hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.fingerprint import take_fingerprint
from l2s_auto.planning.planner import determine_normalisation, make_plan

FOLDER = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "Dataset004_Hippocampus"


@pytest.mark.skipif(not FOLDER.exists(), reason="the hippocampus cases are not beside the repository")
def test_plan_of_the_hippocampus() -> None:
    from l2s_auto.io.volumes import read_label_map
    from l2s_auto.preprocessing.pipeline import prepare, prepare_labels
    from l2s_auto.preprocessing.read import read_for_fingerprint, read_image
    from l2s_auto.synthesis.classes import enrich

    images = sorted((FOLDER / "imagesTr").glob("*.nii.gz"))[:40]
    cases = tuple(Case(p.name[:-12], (p,), FOLDER / "labelsTr" / f"{p.name[:-12]}.nii.gz") for p in images)
    dataset = Dataset("hippocampus", FOLDER, cases, ("MRI",), {0: "background", 1: "Anterior", 2: "Posterior"})
    read = partial(read_for_fingerprint, normalisation=determine_normalisation(dataset.channels))
    plan = make_plan(take_fingerprint(dataset, read=read), memory_gb=4, device="cpu")
    assert plan.patch == (40, 56, 40) and len(plan.topology.features) == 4
    tissue, anterior, posterior = (
        [label.generation_class for label in plan.generation.enriched if label.target == target] for target in range(3)
    )
    assert anterior == posterior and len(anterior) == len(tissue)
    assert 4 <= len(tissue) <= 6

    prepared = prepare(read_image(cases[0]), plan)
    labels, _ = read_label_map(cases[0].label)
    enriched = enrich(prepared.image, prepare_labels(labels, prepared.geometry, plan), plan.generation, plan.spacing)
    assert np.all(np.bincount(enriched.ravel())[: len(tissue)] > 0)
    alike = np.mean([np.mean(np.diff(enriched, axis=axis) == 0) for axis in range(3)])
    assert alike > 0.6, "neighbours mostly share their cluster: no salt and pepper"
