"""What the data dictate: Fingerprint (what was measured) and Plan (what follows from it). JSON on disk.

All axes are those of the canonical orientation (closest to R, A, S); lengths are in millimetres, extents in voxels.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Triple = tuple[float, float, float]
Voxels = tuple[int, int, int]


class Strict(BaseModel):
    """A frozen record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    label_centre: dict[int, Triple] = {}
    label_spread: dict[int, Triple] = {}
    label_pieces: dict[int, int] = {}
    label_piece: dict[int, float] = {}
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

    dataset: str
    content: str = ""
    channels: tuple[str, ...]
    labels: dict[int, str]
    regions: dict[str, tuple[int, ...]] = {}
    ignore: int | None = None
    cases: tuple[CaseFingerprint, ...]
    intensity: tuple[Statistics, ...]
    percentile_error: float = Field(default=0.0, ge=0)
    modalities: tuple[Literal["CT", "MRI", "other"], ...] = ()
    unlabelled_sample: tuple[float, ...] = ()
    smoothing_residual: float = Field(default=0.0, ge=0)


class LabelPlan(Strict):
    """An output class of the network, in the order of its logits; the first is background, value 0."""

    value: int
    name: str


class Topology(Strict):
    """U-Net, one entry a stage, the first at full resolution.

    convolutions_encoder  of a residual encoder, its blocks of two
    """

    features: tuple[int, ...]
    kernels: tuple[Voxels, ...]
    strides: tuple[Voxels, ...]
    convolutions_encoder: tuple[int, ...]
    convolutions_decoder: tuple[int, ...]
    residual: bool = False

    @property
    def divisor(self) -> Voxels:
        """What a patch must be divisible by along each axis."""
        x, y, z = (math.prod(stride[axis] for stride in self.strides) for axis in range(3))
        return x, y, z

    @model_validator(mode="after")
    def _lengths(self) -> Topology:
        n = len(self.features)
        if not (len(self.kernels) == len(self.strides) == len(self.convolutions_encoder) == n):
            raise ValueError("features, kernels, strides and convolutions_encoder need one entry a stage")
        if len(self.convolutions_decoder) != n - 1:
            raise ValueError("convolutions_decoder needs one entry fewer than there are stages")
        return self


class LowResolution(Strict):
    """The network of a cascade that sees more of a case at once, in less detail; what it finds, the other is told.

    spacing  mm
    patch    voxels
    """

    spacing: Triple
    patch: Voxels
    batch: int = Field(ge=1)
    topology: Topology


class Normalisation(Strict):
    """How a channel's intensities become about [0, 1].

    percentile  each scan's own lower and upper percentile become 0 and 1 (MRI: units are arbitrary)
    fixed       the given values, in original units, become 0 and 1 (CT: Hounsfield units mean something)
    """

    scheme: Literal["percentile", "fixed"]
    lower: float
    upper: float


class ClassPrior(Strict):
    """How bright a generation class is in the real images, normalised units, one entry a channel.

    mean, mean_spread  average and standard deviation, over cases, of the class's mean
    std, std_spread    average and standard deviation, over cases, of the class's standard deviation
    """

    mean: tuple[float, ...]
    mean_spread: tuple[float, ...]
    std: tuple[float, ...]
    std_spread: tuple[float, ...]


class EnrichedLabel(Strict):
    """A value of the enriched label map: which output class it is a part of, which intensities it is drawn from.

    target   index of the network's output class; the number of these for voxels that nobody labelled
    generation_class  its intensities; enriched labels with the same one share their intensities
    centre   for a cluster of tissue: its intensity in the normalised first channel; None for a label as it is
    """

    name: str
    target: int = Field(ge=0)
    generation_class: int = Field(ge=0)
    centre: float | None = None


class GenerationPlan(Strict):
    """Label enrichment: every voxel belongs to an enriched label, every enriched label to a generation class.

    priors is empty when there are no real images.

    measured  whether the priors of clusters are those of the cases as they were split, rather than first guesses
    """

    enriched: tuple[EnrichedLabel, ...]
    priors: tuple[ClassPrior, ...] = ()
    measured: bool = True
    smoothing_mm: float = Field(default=0.0, ge=0)

    @property
    def classes(self) -> int:
        """Number of generation classes."""
        return 1 + max(label.generation_class for label in self.enriched)

    @property
    def structures(self) -> tuple[int, ...]:
        """For each generation class the structure that it belongs to: parts of the same labels are one structure.

        Clusters of unlabelled tissue (target 0) are structures of their own.
        """
        targets = [frozenset(e.target for e in self.enriched if e.generation_class == c) for c in range(self.classes)]
        keys = [("tissue", c) if 0 in found else ("labels", found) for c, found in enumerate(targets)]
        order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return tuple(order[key] for key in keys)

    @model_validator(mode="after")
    def _priors(self) -> GenerationPlan:
        if self.priors and len(self.priors) != self.classes:
            raise ValueError(f"{self.classes} generation classes need as many priors, not {len(self.priors)}")
        return self


class Plan(Strict):
    """Everything that the data dictate. Travels with the weights, so that prediction needs nothing else.

    pairs  original values of (left, right) labels
    regions  name -> original values that make it up together, and are learned and scored together too
    ignore  original value of voxels that nobody labelled: what is found there costs nothing
    low_resolution  the first network of a cascade; None: there is one network
    why    field -> one sentence: what it follows from
    """

    version: int = 1
    dataset: str
    channels: tuple[str, ...]
    labels: tuple[LabelPlan, ...]
    spacing: Triple
    patch: Voxels
    batch: int = Field(ge=1)
    topology: Topology
    normalisation: tuple[Normalisation, ...]
    generation: GenerationPlan
    pairs: tuple[tuple[int, int], ...] = ()
    regions: dict[str, tuple[int, ...]] = {}
    ignore: int | None = None
    iterations: int = Field(ge=1)
    low_resolution: LowResolution | None = None
    why: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Plan:
        """What somebody who edits the file can get wrong; each message names the field."""
        _require_grid("", self)
        if self.low_resolution is not None:
            _require_grid("low_resolution.", self.low_resolution)
        if self.channels and len(self.normalisation) != len(self.channels):
            raise ValueError(f"normalisation needs one entry a channel: {len(self.channels)}")
        values = self.label_values
        if len(set(values)) != len(values) or not values or values[0] != 0:
            raise ValueError("labels need different values, the first 0 (background)")
        classes = len(values) + (self.ignore is not None)
        if any(label.target >= classes for label in self.generation.enriched):
            raise ValueError(f"generation.enriched has a target beyond the {len(values)} labels")
        if self.ignore in values:
            raise ValueError(f"ignore {self.ignore} is a label too")
        for name, groups in (("pairs", self.pairs), ("regions", self.regions.values())):
            unknown = {value for group in groups for value in group} - set(values)
            if unknown:
                raise ValueError(f"{name} names {sorted(unknown)}, which are not among the labels")
        return self

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
        own = {"spacing": low.spacing, "patch": low.patch, "batch": low.batch, "topology": low.topology}
        return self.model_copy(update={**own, "low_resolution": None, "why": {}})


def _require_grid(field: str, grid: Plan | LowResolution) -> None:
    """ValueError for a spacing that is none, or a patch that the topology cannot divide."""
    if min(grid.spacing) <= 0:
        raise ValueError(f"{field}spacing {grid.spacing} needs numbers above 0, in mm")
    divisor = grid.topology.divisor
    if min(grid.patch) < 1 or any(n % d for n, d in zip(grid.patch, divisor, strict=True)):
        raise ValueError(f"{field}patch {grid.patch} needs multiples of {divisor}, which the topology's strides divide")
