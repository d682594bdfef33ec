"""Writes a dataset of made bodies in nnU-Net's raw layout: the CT-like world of the measurements.

    OMP_NUM_THREADS=1 python benchmarks/made_bodies.py --output FOLDER --cases 60 --test-cases 20 --seed 0

Training scans have contrast agent, as most scans of public data sets; imagesTs_unenhanced has the test bodies without.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from common import finish, parser
from l2s_auto.experiments.bodies import LABELS, write_dataset
from l2s_auto.experiments.bodies_values import PHASES
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.volumes import read_volume


def millilitres(folder: Path) -> dict[str, float]:
    """Mean volume of each label over the training cases."""
    sums = dict.fromkeys(list(LABELS)[1:], 0.0)
    cases = find_dataset(folder).cases
    for case in cases:
        volume = read_volume(case.label)
        voxel = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
        for name in sums:
            sums[name] += float(np.count_nonzero(volume.data == LABELS[name])) * voxel
    return {name: round(total / len(cases), 1) for name, total in sums.items()}


def main() -> None:
    options = parser("A dataset of bodies like those in an abdominal CT.")
    options.add_argument("--output", type=Path, required=True, help="folder to write the dataset to")
    options.add_argument("--cases", type=int, default=24, help="training cases")
    options.add_argument("--test-cases", type=int, default=0, help="other bodies, with and without contrast agent")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--phase", choices=[*PHASES, "mixed"], default="enhanced", help="of the training scans")
    given = options.parse_args()
    start = time.perf_counter()
    write_dataset(
        given.output,
        seed=given.seed,
        cases=given.cases,
        test_cases=given.test_cases,
        phase=None if given.phase == "mixed" else given.phase,
    )
    seconds = round(time.perf_counter() - start, 1)
    figures = {"cases": given.cases, "seed": given.seed, "seconds": seconds, "millilitres": millilitres(given.output)}
    finish(figures, given.json)


if __name__ == "__main__":
    main()
