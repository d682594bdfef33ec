"""What a user should know of a dataset before hours are spent on it, and that is no error."""

from __future__ import annotations

import numpy as np

from l2s_auto.core.digits import shown
from l2s_auto.core.errors import some_of
from l2s_auto.core.plan import Fingerprint, Plan
from l2s_auto.io.splits import FOLDS
from l2s_auto.planning.modality import CT

FEWEST_VOXELS = 10  # of a usual connected piece of a label at the plan's spacing
MOST_CASES = 0.5  # a label in less than this share of the cases is missing from most
#: Times the usual size of a voxel, or of this, from which on a case is named.
ODD = 5.0


def warnings_of(fingerprint: Fingerprint, plan: Plan) -> list[str]:
    """Sentences, the most important first."""
    return [
        *unnamed_ct(fingerprint),
        *odd_spacing(fingerprint),
        *empty_cases(fingerprint),
        *rare_labels(fingerprint),
        *tiny_labels(fingerprint, plan),
        *few_cases(fingerprint),
    ]


def odd_spacing(fingerprint: Fingerprint) -> list[str]:
    """Cases whose voxels are of quite another size than those of the others: mostly a wrong unit in the header."""
    sizes = {case.id: float(np.prod(case.spacing)) ** (1 / 3) for case in fingerprint.cases}
    usual = float(np.median(list(sizes.values())))
    odd = [f"{name} ({shown(size, 3)} mm)" for name, size in sizes.items() if not 1 / ODD < size / usual < ODD]
    if not odd or len(sizes) < 3:
        return []
    return [
        f"voxels of quite another size than the usual {shown(usual, 3)} mm in {len(odd)} of {len(sizes)} cases: "
        f"{some_of(odd, most=5)}. Check the voxel size, and its unit, in the header."
    ]


def empty_cases(fingerprint: Fingerprint) -> list[str]:
    """Cases in which nothing is labelled: healthy, or not drawn yet."""
    empty = [case.id for case in fingerprint.cases if not set(case.label_volume) - {0}]
    if not empty:
        return []
    names = ", ".join(empty[:10]) + (", …" if len(empty) > 10 else "")
    return [
        f"nothing is labelled in {len(empty)} of {len(fingerprint.cases)} cases ({names}): the network learns that "
        "nothing is there. If they have not been drawn yet, remove them."
    ]


def rare_labels(fingerprint: Fingerprint) -> list[str]:
    """Labels that cannot be both learned and validated, and labels that most cases lack."""
    told = []
    cases = len(fingerprint.cases)
    for value, name in fingerprint.labels.items():
        count = sum(value in case.label_volume for case in fingerprint.cases)
        if value != 0 and count < 2:
            told.append(f"label {name!r} ({value}) is in {count} of {cases} cases; it cannot be learned well.")
        elif value != 0 and count < MOST_CASES * cases:
            told.append(
                f"label {name!r} ({value}) is in {count} of {cases} cases only; where it was not drawn although it is "
                "there, the network learns to leave it out."
            )
    return told


def tiny_labels(fingerprint: Fingerprint, plan: Plan) -> list[str]:
    """Labels whose pieces are hardly there at the plan's spacing."""
    voxel = float(np.prod(plan.spacing))
    told = []
    for value, name in fingerprint.labels.items():
        sizes = [case.label_piece[value] for case in fingerprint.cases if value in case.label_piece]
        usual = float(np.median(sizes)) / voxel if sizes else FEWEST_VOXELS
        if value != 0 and usual < FEWEST_VOXELS:
            told.append(
                f"a usual piece of label {name!r} ({value}) has {usual:.1f} voxels at the plan's spacing; so "
                "small ones are easily missed. A finer --spacing may help."
            )
    return told


def few_cases(fingerprint: Fingerprint) -> list[str]:
    """Fewer people than folds."""
    people = len({case.subject or case.id for case in fingerprint.cases})
    if people >= FOLDS:
        return []
    return [f"{people} people make {people} folds instead of {FOLDS}; a mean over so few held-out cases says little."]


def unnamed_ct(fingerprint: Fingerprint) -> list[str]:
    """Channels that look like CT and are called otherwise."""
    return [
        f"channel {name!r} looks like CT; if it is, name it CT in dataset.json, to keep the meaning of its units."
        for name, kind in zip(fingerprint.channels, fingerprint.modalities, strict=False)
        if kind == CT and name.strip().upper() != CT
    ]
