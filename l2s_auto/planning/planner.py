"""From fingerprint to plan: one small function a decision, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from l2s_auto.core.digits import RATIO_DIGITS, SPACING_DIGITS, extent_in, significant
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import (
    Fingerprint,
    GenerationPlan,
    LabelPlan,
    LowResolution,
    Normalisation,
    Plan,
    Triple,
    Voxels,
)
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.clusters import BACKGROUND, determine_generation, with_ignored
from l2s_auto.planning.devices import DeviceDefaults, device_defaults, device_kind
from l2s_auto.planning.early import determine_early
from l2s_auto.planning.fingerprint import SMOOTHING
from l2s_auto.planning.low_resolution import ENOUGH, low_resolution, share_in_patch
from l2s_auto.planning.memory import StepMemory
from l2s_auto.planning.pairs import determine_pairs
from l2s_auto.planning.patch import Fit, determine_batch, determine_patch, times
from l2s_auto.planning.sides import may_flip, why_flips

ANISOTROPIC = 3.0  # from this ratio of spacings on, the coarse axis is planned from its finer scans
SMALL_CASE = 100_000  # voxels of a case that a CPU trains a larger network on


def make_plan(
    fingerprint: Fingerprint,
    *,
    memory_gb: float | None,
    device: str,
    choices: Choices | None = None,
    step: StepMemory | None = None,
    processes: int = 1,
    residual: bool = False,
    bfloat16: bool = True,
) -> Plan:
    """Everything that the data and the device's kind dictate, and why.

    memory_gb      GB that each process of the training may use; None: the device's usual patch and batch, unchecked
    choices        what the user decides
    step           what the most demanding training step keeps; None: a plain step
    processes      that share each batch
    residual       whether the network's encoder is a residual one
    bfloat16       whether the device computes in it natively
    Raises UserError if nothing fits into the memory, or if a cascade is asked for and a patch shows enough without.
    """
    choices = choices or Choices()
    kind = device_defaults(device)
    if choices.patch is not None or choices.batch is not None:
        kind = kind._replace(early=0.0)  # who chooses them has them throughout
    labels = determine_labels(fingerprint)
    spacing, why_spacing = determine_spacing(fingerprint, choices.spacing)
    shapes = shapes_at(fingerprint, spacing)
    features, why_features = determine_features(device, shapes, choices.features, bfloat16=bfloat16)
    names = {label.value: label.name for label in labels}
    pairs = determine_pairs(names, fingerprint.cases)
    fit = Fit(
        channels=max(1, len(fingerprint.channels)),
        classes=len(labels),
        features=features,
        memory_gb=memory_gb,
        step=step or StepMemory(),
        processes=processes,
        residual=residual,
        context=len(labels) - 1 if choices.cascade else 0,
    )
    chosen = determine_patch(shapes, spacing, fit=fit, voxels=kind.voxels, wanted=choices.patch)
    most = kind.largest_batch(chosen.patch)
    batch, why_batch = determine_batch(shapes, chosen, fit=fit, most=most, wanted=choices.batch)
    early, why_early = determine_early(chosen.patch, batch, chosen.topology, fit=fit, kind=kind)
    low, why_cascade = None, {}
    if choices.cascade:
        voxels = kind.voxels if choices.patch is None else math.prod(chosen.patch)
        low, told = determine_low_resolution(shapes, spacing, chosen.patch, fit=fit, voxels=voxels, kind=kind)
        why_cascade = {"low_resolution": told}
    smoothing = significant(SMOOTHING * min(spacing), SPACING_DIGITS)
    generation = determine_generation(fingerprint, labels, pairs, smoothing_mm=smoothing)
    if fingerprint.ignore is not None:
        generation = with_ignored(generation, target=len(labels))
    normalisation = determine_normalisation(fingerprint.channels)
    return Plan(
        dataset=fingerprint.dataset,
        channels=fingerprint.channels,
        labels=labels,
        spacing=spacing,
        patch=chosen.patch,
        batch=batch,
        topology=chosen.topology,
        normalisation=normalisation,
        generation=generation,
        pairs=pairs,
        mirrored=may_flip(names, pairs),
        regions=fingerprint.regions,
        ignore=fingerprint.ignore,
        iterations=kind.iterations,
        low_resolution=low,
        early=early,
        why={
            "spacing": why_spacing,
            "patch": chosen.why,
            **why_context(shapes, spacing, chosen.patch, fit=fit, voxels=kind.voxels, choices=choices),
            **why_cascade,
            "batch": why_batch,
            **({"early": why_early} if early is not None else {}),
            "topology": f"{why_features}; an axis is halved while it keeps 4 voxels and is not coarser than the others",
            "normalisation": why_normalisation(fingerprint.channels, normalisation),
            "generation": why_generation(fingerprint, generation),
            "pairs": ", ".join(f"{names[left]} | {names[right]}" for left, right in pairs)
            or "no left and right of one structure, by names or mirror symmetry",
            "mirrored": why_flips(names, pairs),
            "iterations": f"the usual of the device ({device_kind(device)})",
        },
    )


def why_context(
    shapes: Sequence[Voxels], spacing: Triple, patch: Voxels, *, fit: Fit, voxels: int, choices: Choices
) -> dict[str, str]:
    """How much of a case a patch shows, where that is little and the user has not decided it; and what would help."""
    if choices.patch is not None or choices.spacing is not None or choices.cascade:
        return {}
    median = usual_shape(shapes)
    coarse = enough_at(median, spacing, fit=fit, voxels=voxels)
    if coarse is None:
        return {}
    told = f"a patch holds {share_in_patch(median, patch):.0%} of a usual case; at {times(coarse)} mm (--spacing)"
    told += f" it would hold {ENOUGH:.0%}, in less detail: for large structures that look alike"
    return {"context": f"{told}; --cascade trains both, the second told what the first finds, in twice the time"}


def usual_shape(shapes: Sequence[Voxels]) -> Voxels:
    """The median voxels of the cases, along each axis."""
    x, y, z = (max(1, round(float(n))) for n in np.median(np.array(shapes), axis=0))
    return x, y, z


def enough_at(median: Voxels, spacing: Triple, *, fit: Fit, voxels: int) -> Triple | None:
    """The finest spacing, in mm, at which a patch shows enough of a usual case; None if it does at `spacing`."""

    def patch_at(other: Triple) -> Voxels:
        return determine_patch([at_spacing(median, spacing, other)], other, fit=fit, voxels=voxels).patch

    return low_resolution(median, spacing, patch_at=patch_at)


def at_spacing(shape: Voxels, old: Triple, new: Triple) -> Voxels:
    """The voxels of `new` mm that `shape` of `old` mm become."""
    x, y, z = (max(1, round(extent_in(n, s, t))) for n, s, t in zip(shape, old, new, strict=True))
    return x, y, z


def determine_low_resolution(
    shapes: Sequence[Voxels], spacing: Triple, patch: Voxels, *, fit: Fit, voxels: int, kind: DeviceDefaults
) -> tuple[LowResolution, str]:
    """The first network of a cascade, and why it is this one. Raises UserError where the patch shows enough anyway.

    shapes         of the cases at `spacing`, with whose `patch` the second network is trained
    voxels         of a patch, at most
    """
    fit = fit._replace(context=0)  # it is not told anything
    coarse = enough_at(usual_shape(shapes), spacing, fit=fit, voxels=voxels)
    if coarse is None:
        raise UserError.single(
            "A cascade would show the network nothing new.",
            where="--cascade",
            found=f"patches of {times(patch)} voxels; with as many, shaped as the cases are, a patch holds "
            f"{ENOUGH:.0%} of a usual case or more",
            expected="larger cases, or smaller patches",
            mend="Leave the option out.",
        )
    small = [at_spacing(shape, spacing, coarse) for shape in shapes]
    chosen = determine_patch(small, coarse, fit=fit, voxels=voxels)
    batch, _ = determine_batch(small, chosen, fit=fit, most=kind.largest_batch(chosen.patch))
    early, _ = determine_early(chosen.patch, batch, chosen.topology, fit=fit, kind=kind)
    low = LowResolution(spacing=coarse, patch=chosen.patch, batch=batch, topology=chosen.topology, early=early)
    share = share_in_patch(usual_shape(shapes), patch)
    return (
        low,
        f"a patch of the second network holds {share:.0%} of a usual case, one of the first at least {ENOUGH:.0%}",
    )


def determine_labels(fingerprint: Fingerprint) -> tuple[LabelPlan, ...]:
    """Output classes: background, then the other labels by value."""
    names = {BACKGROUND: "background", **fingerprint.labels}
    order = [BACKGROUND, *sorted(value for value in names if value != BACKGROUND)]
    return tuple(LabelPlan(value=value, name=names[value]) for value in order)


def determine_spacing(fingerprint: Fingerprint, wanted: Triple | None = None) -> tuple[Triple, str]:
    """Median spacing in mm; for anisotropic data the coarse axis gets its 10th percentile instead, as in nnU-Net.

    Anisotropic: the coarsest axis is more than 3 times as coarse as the others and has less than a third of their
    voxels. The coarse axis never becomes finer than the others.

    wanted  the user's spacing
    Returns the spacing and why.
    """
    if wanted is not None:
        return wanted, "as asked for"
    spacings = np.array([case.spacing for case in fingerprint.cases])
    shapes = np.array([case.shape for case in fingerprint.cases])
    target = np.median(spacings, axis=0)
    voxels = np.median(shapes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    why = f"the median of {len(spacings)} cases"
    ratio = significant(target[worst] / max(target[others]), RATIO_DIGITS)
    if ratio > ANISOTROPIC and ANISOTROPIC * voxels[worst] < min(voxels[others]):
        coarse = target[worst]
        target[worst] = max(np.percentile(spacings[:, worst], 10), max(target[others]))
        why += f"; of the coarse axis, with {coarse:.3g} mm, the 10th percentile, so that thinner slices keep detail"
    x, y, z = (significant(float(t), SPACING_DIGITS) for t in target)
    return (x, y, z), why


def shapes_at(fingerprint: Fingerprint, spacing: Triple) -> list[Voxels]:
    """Each case's voxels once it is resampled."""
    return [at_spacing(case.shape, case.spacing, spacing) for case in fingerprint.cases]


def determine_features(
    device: str, shapes: Sequence[Voxels], wanted: int | None = None, *, bfloat16: bool = True
) -> tuple[int, str]:
    """Features of the first stage: the user's, or what the kind of device trains in reasonable time; and why.

    A CPU has half of them for cases of many voxels, or it would not see enough images in minutes: with 16 features
    a patch of 64³ takes 0.75 s an iteration on 2 cores, and one of 40 x 56 x 40 0.15 s. So has one that computes in
    float32 alone, for volumes: on one core of it 300 s are 170 updates with 16 features and 475 with 8.
    """
    if wanted is not None:
        return wanted, f"{wanted} features, as asked for"
    features = device_defaults(device).features
    usual = float(np.median([math.prod(shape) for shape in shapes]))
    half = f"{features // 2} features, half of the usual"
    if device_kind(device) == "cpu" and usual > SMALL_CASE:
        return features // 2, f"{half}, for cases of {usual:,.0f} voxels on a CPU"
    if device_kind(device) == "cpu" and not bfloat16 and min(map(min, shapes)) > 1:
        return features // 2, f"{half}, for volumes on a CPU that computes in float32 alone"
    return features, f"{features} features, the usual of the device ({device_kind(device)})"


def determine_normalisation(channels: Sequence[str]) -> tuple[Normalisation, ...]:
    """One scheme a channel; the fingerprint must be measured with the same.

    A channel named CT is in Hounsfield units: -500 to 500 become 0 to 1, and what is kept ends at -1000 and 1000, from
    air to dense bone. Every other channel is scaled by its own percentiles.
    """
    return tuple(
        Normalisation(scheme="fixed", lower=-500.0, upper=500.0)
        if name.strip().upper() == "CT"
        else Normalisation(scheme="percentile", lower=0.5, upper=99.5)
        for name in channels
    )


def why_normalisation(channels: Sequence[str], schemes: Sequence[Normalisation]) -> str:
    """A sentence a channel."""
    reasons = {
        "fixed": "in Hounsfield units, which mean the same in every scan",
        "percentile": "in units of its own, so by percentiles of each scan",
    }
    told = [f"{name}: {reasons[scheme.scheme]}" for name, scheme in zip(channels, schemes, strict=True)]
    return "; ".join(told) or "no images: synthetic ones are made in the network's units"


def why_generation(fingerprint: Fingerprint, generation: GenerationPlan) -> str:
    """What the generation classes are."""
    clusters = sum(label.centre is not None and label.target == 0 for label in generation.enriched)
    labels = len(fingerprint.labels) - 1
    if clusters:
        own = generation.classes - clusters
        return f"{labels} labels in {own} of them; {clusters} are tissues told apart where no label is"
    return f"of {labels} labels and background; where no label is, no tissues can be told apart"
