"""What the data dictate: Fingerprint (what was measured) and Plan (what follows from it). JSON on disk.

All axes are those of the canonical orientation (closest to R, A, S); lengths are in millimetres, extents in voxels.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from l2s_auto.core.fields import Line, Name, PathPart
from l2s_auto.core.grid import (
    Batch,
    Early,
    LowResolution,
    Strict,
    Topology,
    Triple,
    Voxels,
    require_coarser,
    require_grid,
    wrong,
)
from l2s_auto.core.limits import (
    MAX_CHANNELS,
    MAX_INTENSITY,
    MAX_ITERATIONS,
    MAX_LABEL,
    MAX_LABELS,
    MAX_WEIGHTS,
    MIN_LABEL,
    MIN_RANGE,
    WIDEST,
)
from l2s_auto.core.structures import structures_of, tissues_of

LabelValue = Annotated[int, Field(ge=MIN_LABEL, le=MAX_LABEL)]
Intensity = Annotated[float, Field(ge=-MAX_INTENSITY, le=MAX_INTENSITY)]
#: Where the bell that scans are smoothed with before tissue is clustered ends, in its standard deviations.
SMOOTHING_ENDS = 3.0


class Statistics(Strict):
    """Summary of a set of intensities."""

    mean: float
    std: float
    minimum: float
    percentile_00_5: float
    median: float
    percentile_99_5: float
    maximum: float
    count: int = Field(ge=0)


class CaseFingerprint(Strict):
    """One case: its grid, and how bright each label is in the normalised image.

    label_mean, label_std  label value -> one number a channel, in normalised units (about [0, 1])
    label_volume           label value -> mm³, for labels present in the case
    label_centre           label value -> its centre in mm from the box's corner, along the canonical axes
    label_spread           label value -> standard deviation of its voxels' places along these axes, mm
    label_pieces           label value -> number of its connected pieces
    label_piece            label value -> mm³ of the usual (median) one
    touching               pairs of labels that share a face of a voxel, the smaller value first
    orientation            codes of the file's axes, such as RAS
    """

    id: str
    subject: str
    shape: Voxels
    spacing: Triple
    label_volume: dict[int, float]
    label_mean: dict[int, tuple[float, ...]]
    label_std: dict[int, tuple[float, ...]]
    label_centre: dict[int, Triple] = Field(default_factory=dict)
    label_spread: dict[int, Triple] = Field(default_factory=dict)
    label_pieces: dict[int, int] = Field(default_factory=dict)
    label_piece: dict[int, float] = Field(default_factory=dict)
    touching: tuple[tuple[int, int], ...] = ()
    orientation: str = ""


class Fingerprint(Strict):
    """What was measured on the training cases.

    content            hash of the files' names, sizes and times, by which a changed dataset is noticed
    regions, ignore    as in `Dataset`
    intensity          one summary a channel, original units, over the foreground (labels other than 0); percentiles are
                       of a sample, the rest is exact
    percentile_error   by how much of the distribution the percentiles may be off: the standard error of the share of
                       voxels below the median
    modalities         what each channel looks like: "CT" in Hounsfield units, "MRI" (no values below 0), or "other"
    unlabelled_sample  normalised intensities of the first channel where no label is, a random sample over all
                       cases, lightly smoothed; the planner clusters it
    smoothing_residual standard deviation of what the smoothing took away: noise and the finest texture
    """

    #: Every case is measured: the file grows with the dataset.
    largest_file: ClassVar[int] = 1 << 29

    dataset: PathPart
    content: str = ""
    channels: tuple[Name, ...]
    labels: dict[LabelValue, Name]
    regions: dict[Name, tuple[int, ...]] = Field(default_factory=dict)
    ignore: int | None = None
    cases: tuple[CaseFingerprint, ...]
    intensity: tuple[Statistics, ...]
    percentile_error: float = Field(default=0.0, ge=0)
    modalities: tuple[Literal["CT", "MRI", "other"], ...] = ()
    unlabelled_sample: tuple[float, ...] = ()
    smoothing_residual: float = Field(default=0.0, ge=0)


class LabelPlan(Strict):
    """An output class of the network, in the order of its logits; the first is background, value 0."""

    value: LabelValue
    name: Name


class Normalisation(Strict):
    """How a channel's intensities become about [0, 1].

    percentile  each scan's own lower and upper percentile become 0 and 1 (MRI: units are arbitrary)
    fixed       the given values, in original units, become 0 and 1 (CT: Hounsfield units mean something)

    and, of models that nnU-Net trained, whose numbers lie elsewhere:

    z-score             less the scan's mean, in its standard deviations
    z-score of nonzero  the same where the scan is not 0; elsewhere 0 stays
    clipped z-score     clipped to lower and upper, less `mean`, in units of `std`
    range               the scan's smallest and largest value become 0 and 1
    none                as it is
    """

    scheme: Literal["percentile", "fixed", "z-score", "z-score of nonzero", "clipped z-score", "range", "none"]
    lower: Intensity
    upper: Intensity
    mean: Intensity = 0.0
    std: float = Field(default=1.0, ge=MIN_RANGE, le=MAX_INTENSITY)

    @property
    def bounded(self) -> bool:
        """Whether normalised intensities are cut off a little beyond [0, 1]."""
        return self.scheme in ("percentile", "fixed")

    @model_validator(mode="after")
    def _rising(self) -> Normalisation:
        if self.lower >= self.upper:
            raise wrong("lower", "lower needs to be less than upper")
        if self.upper - self.lower < MIN_RANGE:
            raise wrong("lower", f"lower and upper need to differ by {MIN_RANGE:g} or more")
        if self.scheme == "percentile" and not (self.lower >= 0 and self.upper <= 100):
            raise wrong("upper" if self.upper > 100 else "lower", "percentiles lie between 0 and 100")
        return self


class ClassPrior(Strict):
    """How bright a generation class is in the real images, normalised units, one entry a channel.

    mean, mean_spread  average and standard deviation, over cases, of the class's mean
    std, std_spread    average and standard deviation, over cases, of the class's standard deviation
    noise, noise_spread  the same of what neighbouring voxels of the class differ by, as the deviation of white noise:
                       smaller than std, which counts whatever changes slowly, and voxels that lie on an edge. Empty
                       where it was not measured
    """

    mean: tuple[Intensity, ...]
    mean_spread: tuple[Intensity, ...]
    std: tuple[Intensity, ...]
    std_spread: tuple[Intensity, ...]
    noise: tuple[Intensity, ...] = ()
    noise_spread: tuple[Intensity, ...] = ()

    @property
    def all(self) -> tuple[tuple[float, ...], ...]:
        """What there is, each with one number a channel."""
        always = self.mean, self.mean_spread, self.std, self.std_spread
        return (*always, self.noise, self.noise_spread) if self.noise or self.noise_spread else always

    @property
    def drawn(self) -> dict[str, tuple[float, ...]]:
        """mean, mean_spread, std and std_spread that images are drawn with.

        The noise takes the deviation's place where it is known, as what is drawn differs from voxel to voxel.
        """
        std, spread = (self.noise, self.noise_spread) if self.noise else (self.std, self.std_spread)
        return {"mean": self.mean, "mean_spread": self.mean_spread, "std": std, "std_spread": spread}


class EnrichedLabel(Strict):
    """A value of the enriched label map: which output class it is a part of, which intensities it is drawn from.

    target   index of the network's output class; the number of these for voxels that nobody labelled
    generation_class  its intensities; enriched labels with the same one share their intensities
    centre   of a label, or of what has none, that is split by tissue: the tissue's intensity in the normalised first
             channel; None for a label as it is
    """

    name: Line
    target: int = Field(ge=0, le=MAX_LABELS)
    generation_class: int = Field(ge=0, le=MAX_LABELS)
    centre: Intensity | None = None


class GenerationPlan(Strict):
    """Label enrichment: every voxel belongs to an enriched label, every enriched label to a generation class.

    priors is empty when there are no real images.

    measured  whether the priors of clusters are those of the cases as they were split, rather than first guesses
    """

    enriched: tuple[EnrichedLabel, ...] = Field(min_length=1, max_length=MAX_LABELS + 1)
    priors: tuple[ClassPrior, ...] = ()
    measured: bool = True
    smoothing_mm: float = Field(default=0.0, ge=0, le=WIDEST)

    @property
    def classes(self) -> int:
        """Number of generation classes."""
        return 1 + max(label.generation_class for label in self.enriched)

    @property
    def structures(self) -> tuple[int, ...]:
        """See `structures_of`."""
        return structures_of(self)

    @property
    def tissues(self) -> tuple[int, ...]:
        """See `tissues_of`."""
        return tissues_of(self)

    @model_validator(mode="after")
    def _priors(self) -> GenerationPlan:
        used = {label.generation_class for label in self.enriched}
        if len(used) != self.classes:
            raise wrong("enriched", f"generation classes need to be 0 to {len(used) - 1}, without a gap")
        if self.priors and len(self.priors) != self.classes:
            raise wrong("priors", f"{self.classes} generation classes need as many priors, not {len(self.priors)}")
        return self


class Plan(Strict):
    """Everything that the data dictate. Travels with the weights, so that prediction needs nothing else.

    pairs  original values of (left, right) labels
    mirrored  whether networks see images with left and right exchanged, in training and by --tta; None: where there
            are pairs
    regions  name -> original values that make it up together, and are learned and scored together too
    ignore  original value of voxels that nobody labelled: what is found there costs nothing
    low_resolution  the first network of a cascade; None: there is one network
    early   smaller patches, and more of them, for the first part of a training; None: patch and batch throughout
    orientation  "canonical": scans are turned to R, A, S; "stored": networks see them as their files store them
    padding  what stands beside a scan that is smaller than the patch: the voxels at its edge again, or 0
    resampling  of scans: without aliasing, or by nnU-Net's cubic splines, which models from there have learnt from
    why    field -> one sentence: what it follows from
    """

    version: Literal[1] = 1
    dataset: PathPart
    channels: tuple[Name, ...] = Field(max_length=MAX_CHANNELS)
    labels: tuple[LabelPlan, ...] = Field(max_length=MAX_LABELS)
    spacing: Triple
    patch: Voxels
    batch: Batch
    topology: Topology
    normalisation: tuple[Normalisation, ...]
    generation: GenerationPlan
    pairs: tuple[tuple[int, int], ...] = ()
    mirrored: bool | None = None
    regions: dict[Name, tuple[int, ...]] = Field(default_factory=dict)
    ignore: LabelValue | None = None
    iterations: int = Field(ge=1, le=MAX_ITERATIONS)
    low_resolution: LowResolution | None = None
    early: Early | None = None
    orientation: Literal["canonical", "stored"] = "canonical"
    padding: Literal["edge", "zero"] = "edge"
    resampling: Literal["smooth", "spline"] = "smooth"
    why: dict[Name, Line] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Plan:
        """What somebody who edits the file can get wrong; each message names the field."""
        channels = max(self.input_channels + self.context_channels, len(self.labels))
        require_grid("", self, channels=channels)
        if self.low_resolution is not None:
            require_grid("low_resolution.", self.low_resolution, channels=channels)
            require_coarser(self.low_resolution.spacing, self.spacing)
        reads = (self.input_channels + self.context_channels) * math.prod(self.topology.kernels[0])
        if self.topology.features[0] * max(reads, len(self.labels)) > MAX_WEIGHTS:
            raise wrong("labels", f"{channels} channels or labels make too many weights")
        if self.channels and len(self.normalisation) != len(self.channels):
            raise wrong("normalisation", f"normalisation needs one entry a channel: {len(self.channels)}")
        values, names = self.label_values, [label.name for label in self.labels]
        if len(set(values)) != len(values) or not values or values[0] != 0:
            raise wrong("labels", "labels need different values, the first 0 (background)")
        if len(set(names)) != len(names):
            raise wrong("labels", "labels need different names")
        classes = len(values) + (self.ignore is not None)
        if any(label.target >= classes for label in self.generation.enriched):
            raise wrong("generation.enriched", f"generation.enriched has a target beyond the {len(values)} labels")
        if any(len(numbers) != self.input_channels for prior in self.generation.priors for numbers in prior.all):
            raise wrong("generation.priors", f"priors need one number a channel: {self.input_channels}")
        if self.ignore in values:
            raise wrong("ignore", f"ignore {self.ignore} is a label too")
        for name, groups in (("pairs", self.pairs), ("regions", self.regions.values())):
            unknown = {value for group in groups for value in group} - set(values)
            if unknown:
                raise wrong(name, f"{name} names {sorted(unknown)}, which are not among the labels")
        paired = [value for pair in self.pairs for value in pair]
        if len(set(paired)) != len(paired) or 0 in paired:
            raise wrong("pairs", "pairs need labels other than background, each in one pair, and once in it")
        if any(not values or 0 in values for values in self.regions.values()):
            raise wrong("regions", "regions need one label or more, and no background")
        return self

    @property
    def flips(self) -> bool:
        """Whether an image with left and right exchanged is one that the network knows."""
        return bool(self.pairs) if self.mirrored is None else self.mirrored

    @property
    def class_of(self) -> dict[int, int]:
        """Original value -> index of the output class; of the ignore label, the number of classes."""
        index = {value: number for number, value in enumerate(self.label_values)}
        return index if self.ignore is None else {**index, self.ignore: len(index)}

    @property
    def region_classes(self) -> tuple[tuple[int, ...], ...]:
        """Regions of several labels as indices of output classes."""
        return tuple(tuple(self.class_of[v] for v in values) for values in self.regions.values() if len(values) > 1)

    @property
    def label_values(self) -> tuple[int, ...]:
        """Original value of each output class."""
        return tuple(label.value for label in self.labels)

    @property
    def pair_classes(self) -> tuple[tuple[int, int], ...]:
        """Left-right pairs as indices of output classes."""
        index = {value: number for number, value in enumerate(self.label_values)}
        return tuple((index[left], index[right]) for left, right in self.pairs)

    @property
    def input_channels(self) -> int:
        """Channels of a scan; a dataset without images is synthesised with one."""
        return max(1, len(self.channels))

    @property
    def context_channels(self) -> int:
        """Channels in which the network is told what a coarser one found, a class but background each."""
        return 0 if self.low_resolution is None else len(self.labels) - 1

    @property
    def first_stage(self) -> Plan:
        """The plan of a cascade's first network."""
        low = self.low_resolution
        assert low is not None, "the plan has no cascade"
        own = {name: getattr(low, name) for name in LowResolution.model_fields}
        return self.model_copy(update={**own, "low_resolution": None, "why": {}})

    @property
    def early_part(self) -> Plan:
        """The plan of the first part of a training: patches no larger than the others, and at least as many of them."""
        early = self.early
        assert early is not None, "the plan has no early patches"
        return self.model_copy(update={"patch": early.patch, "batch": early.batch, "early": None})
