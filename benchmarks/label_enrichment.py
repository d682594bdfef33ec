"""Label enrichment: is the number of tissues found, are clusters regions, and do priors hold what classes hold?

    python benchmarks/label_enrichment.py                      mixtures of a known number of tissues
    python benchmarks/label_enrichment.py --run RUN_FOLDER     the preprocessed cases of a run (a dry run will do), too

For a run: the share of unlabelled voxels in pieces (connected by faces) of fewer than 10 voxels, and the deviation of
intensities from their cluster's mean, for clusters by nearest centre and as regions; and for each generation class the
mean and standard deviation over cases beside those of the plan's prior.
"""

from __future__ import annotations

from pathlib import Path

import cc3d
import numpy as np
from scipy import ndimage

from common import finish, machine, parser
from l2s_auto.core.plan import Plan
from l2s_auto.io.json_files import read_model
from l2s_auto.planning.kmeans import find_clusters
from l2s_auto.preprocessing.store import open_case
from l2s_auto.synthesis.classes import adapt, assign, class_of, target_of

MIXTURES = ((0.01, 0.06), (0.02, 0.10), (0.03, 0.12), (0.04, 0.14))  # noise, least distance of two tissues
REPEATS, SAMPLE = 20, 20_000


def mixture(tissues: int, noise: float, gap: float, *, even: bool, rng: np.random.Generator) -> np.ndarray:
    """Intensities of tissues at random places, at least `gap` apart, of equal or random shares (3 % or more)."""
    while True:
        means = np.sort(rng.uniform(0.05, 0.95, tissues))
        if tissues == 1 or np.diff(means).min() > gap:
            break
    shares = np.full(tissues, 1.0) if even else np.maximum(rng.dirichlet(np.full(tissues, 3.0)), 0.03)
    counts = rng.multinomial(SAMPLE, shares / shares.sum())
    return np.concatenate([rng.normal(mean, noise, count) for mean, count in zip(means, counts, strict=True)])


def count_tissues() -> list[dict[str, object]]:
    """For each kind of mixture how many of 20 numbers are right, for 1 to 6 tissues."""
    rng, found = np.random.default_rng(0), []
    for noise, gap in MIXTURES:
        for even in (True, False):
            right = [
                sum(
                    len(find_clusters(mixture(k, noise, gap, even=even, rng=rng), noise=noise).centres) == k
                    for _ in range(REPEATS)
                )
                for k in range(1, 7)
            ]
            found.append({"noise": noise, "apart": gap, "equal_shares": even, "right": right})
            print(f"noise {noise}, {gap} apart, {'equal' if even else 'random'} shares: {right}, {sum(right)} in all")
    return found


def speckled(index: np.ndarray, where: np.ndarray) -> float:
    """Share of the voxels `where` in pieces of fewer than 10."""
    pieces = cc3d.connected_components(np.where(where, index + 1, 0).astype(np.uint8), connectivity=6)
    small = np.bincount(pieces.ravel()) < 10
    return float(small[pieces[where]].mean())


def scatter(image: np.ndarray, index: np.ndarray) -> float:
    """(N,) intensities, their clusters -> standard deviation within clusters."""
    count = np.maximum(np.bincount(index), 1)
    return float((image - (np.bincount(index, weights=image) / count)[index]).std())


def measure_run(run: Path) -> dict[str, object]:
    """Clusters by nearest centre, as regions, and the classes of every other case, beside the plan's priors."""
    plan = read_model(run / "plan.json", Plan)
    generation = plan.generation
    target, classes = target_of(generation), class_of(generation)
    centres = np.array(
        [label.centre for label in generation.enriched if label.target == 0 and label.centre is not None]
    )
    nearest, regions, moments = [], [], []
    for folder in sorted((run / "preprocessed").iterdir())[::2]:
        case = open_case(folder.name, folder.parent)
        image, enriched = np.asarray(case.image)[0], np.asarray(case.enriched).astype(np.int64)
        where = target[enriched] == 0
        smooth = ndimage.gaussian_filter(image, [generation.smoothing_mm / s for s in plan.spacing], mode="nearest")
        first = np.zeros_like(enriched)
        first[where] = assign(smooth[where], adapt(smooth[where], centres))
        for index, found in ((first, nearest), (enriched, regions)):
            found.append((speckled(index, where), scatter(image[where], index[where])))
        members = [image[classes[enriched] == c] for c in range(generation.classes)]
        moments.append([(m.mean(), m.std()) if m.size > 30 else (np.nan, np.nan) for m in members])
    middle, spread = np.nanmean(moments, axis=0), np.nanstd(moments, axis=0)
    named = {"nearest": np.mean(nearest, axis=0), "regions": np.mean(regions, axis=0)}
    for name, (share, within) in named.items():
        print(f"{name}: {share:.2%} in pieces below 10 voxels, scatter {within:.4f}, {len(nearest)} cases")
    classes_found = []
    for c, prior in enumerate(generation.priors):
        pairs = [(middle[c, 0], spread[c, 0]), (middle[c, 1], spread[c, 1])]
        pairs += [(prior.mean[0], prior.mean_spread[0]), (prior.std[0], prior.std_spread[0])]
        keys = ("mean", "std", "prior_mean", "prior_std")
        classes_found.append({key: [round(float(x), 4) for x in pair] for key, pair in zip(keys, pairs, strict=True)})
        print(f"class {c}: {classes_found[-1]}")
    return {
        "cases": len(nearest),
        **{name: {"speckled": float(share), "scatter": float(within)} for name, (share, within) in named.items()},
        "classes": classes_found,
    }


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--run", type=Path, help="a run folder with preprocessed cases")
    given = options.parse_args()
    figures: dict[str, object] = {"machine": machine(given.device), "mixtures": count_tissues()}
    if given.run is not None:
        figures["run"] = measure_run(given.run)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
