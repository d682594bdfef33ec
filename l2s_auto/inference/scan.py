"""One scan: read it, check that it fits the model, run the network, write the result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2s_auto.core.allocator import release_memory
from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.types import Case, Volume
from l2s_auto.inference.box import Classes
from l2s_auto.inference.cascade import context_in
from l2s_auto.inference.ensemble import windowing_of
from l2s_auto.inference.intensities import Known, checked, known_by
from l2s_auto.inference.jobs import Job
from l2s_auto.inference.load import Model
from l2s_auto.inference.outputs import NOTHING, Staged
from l2s_auto.inference.pieces import keep_largest, pieces_of
from l2s_auto.inference.posterior import ENTROPY, PROBABILITIES, Posterior
from l2s_auto.inference.qc import Scores, quality_rows
from l2s_auto.inference.sliding_window import slab_axis, sliding_window_slabs
from l2s_auto.inference.volumes import label_columns, label_volumes, region_volumes
from l2s_auto.io import ownership
from l2s_auto.io.atomic import unfinished
from l2s_auto.io.case_files import channel_of
from l2s_auto.io.content import hash_of_file
from l2s_auto.io.geometry import corner_offset
from l2s_auto.io.volumes import channels_of, files_of_volume, read_stored, write_label_map
from l2s_auto.preprocessing.pipeline import Geometry, prepare, restore_slabs

#: Folder beside the segmentations.
OVERLAYS = "overlays"
#: Voxels of a scan from which on memory counts more than the time to give it back.
LARGE = 2**25


@dataclass(frozen=True)
class Scan:
    """A scan that is ready for the network.

    image     (C, *S) float32 on the plan's grid
    geometry  the way back to the scan's own grid
    picture   the first channel that is there, on its own grid, in the file's type where that is smaller than float32
    notes     what reading had to assume, as in `Volume`
    """

    image: np.ndarray
    geometry: Geometry
    picture: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    def without_image(self) -> Scan:
        """What is needed once the network has run; the image of a large scan takes as much memory as all the rest."""
        return replace(self, image=self.image[:, :0].copy())


@dataclass(frozen=True)
class Segmented:
    """What the networks found.

    labels         (X, Y, Z) int32 original values on the scan's own grid
    scores         original value -> the Dice that the networks expect of it, None where there is none of it
    posterior      the probabilities, if they are wanted
    agreement, end, notes  where each scan chooses its weights: Dice between both ends, which was chosen (home or
                   general), and what a user should know of it
    """

    labels: np.ndarray
    scores: dict[int, float | None]
    posterior: Posterior | None = None
    agreement: float | None = None
    end: str | None = None
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Give the disk back, if what was found is not written."""
        if self.posterior is not None:
            self.posterior.close()


@dataclass(frozen=True)
class Tidy:
    """A segmentation of whose labels some have lost all but their largest piece.

    labels  (X, Y, Z) int32 original values on the scan's own grid
    parts   value -> voxels of its connected pieces, the largest first
    lost    value -> voxels that it lost
    """

    labels: np.ndarray
    parts: dict[int, list[int]]
    lost: dict[int, int]


@dataclass(frozen=True)
class Result:
    """Rows of the tables for one case, and its files, which do not have their names yet.

    The segmentation is last: where it is, rows and overlay are too, whenever the program is killed.

    notes  what a user should know of the scan, such as what reading it had to assume
    choice  what the manifest tells of the weights that the scan chose; empty where it chose none
    """

    volumes: dict[str, object]
    quality: list[dict[str, object]]
    staged: Staged = NOTHING
    notes: tuple[str, ...] = ()
    choice: Mapping[str, object] = field(default_factory=dict)

    @property
    def flagged(self) -> bool:
        return any(row["flag"] for row in self.quality)


def read_scan(case: Case, model: Model) -> Scan:
    """All channels of a case, preprocessed. UserError if it does not fit the model."""
    volume, there = read_channels(case, known_by(model.plan), may_lack=model.recipe.missing_share > 0)
    return _prepared(volume, model, there)


def ready_scan(volume: Volume, model: Model) -> Scan:
    """A volume in memory, preprocessed. UserError if it does not fit the model."""
    channels = model.plan.input_channels
    offences = []
    if not volume.data.size or not np.isfinite(volume.affine).all():
        found = f"data of shape {volume.data.shape} and the affine {np.round(volume.affine[:3], 4).tolist()}"
        offences.append(Offence("the volume", found, "voxels, and numbers in the affine", "Check what you give."))
        raise UserError("The scan cannot be segmented.", offences)
    if len(volume.data) != channels:
        found, mend = f"{len(volume.data)} channels", "Give the channels in the order of training."
        offences.append(Offence("the volume", found, f"{channels}, as the model was trained with", mend))
    if not offences:
        volume, offences = checked("the volume", volume, known_by(model.plan))
    if offences:
        raise UserError("The scan cannot be segmented.", offences)
    return _prepared(volume, model, list(range(channels)))


def _prepared(volume: Volume, model: Model, there: list[int]) -> Scan:
    try:
        prepared = prepare(volume, model.plan)
    except UserError as error:  # what was assumed of the file, such as its unit, may be what is wrong
        raise error.of_case(notes=volume.notes) from error
    lacking = [channel for channel in range(model.plan.input_channels) if channel not in there]
    prepared.image[lacking] = 0.0
    return Scan(prepared.image, prepared.geometry, volume.data[there[0]], volume.affine, volume.notes)


def read_channels(case: Case, model_knows: Known, *, may_lack: bool = False) -> tuple[Volume, list[int]]:
    """The files of a case -> one Volume with the model's channels on one grid, and which of them are there.

    Its type is the file's where nothing is scaled, which takes half the memory of float32, or less.

    What is there has finite, not constant, numbers, of the kind that the model knows; what is not is 0.

    may_lack  whether channels may be missing; then files have nnU-Net's channel numbers
    """
    channels = len(model_knows.schemes)
    known = [channels_of(path) for path in case.images]
    counts = [count for count in known if count is not None]
    if len(counts) == len(known):  # before voxels are read: a long series may be larger than the memory
        _present(case, sum(counts), channels=channels, may_lack=may_lack)
    volumes = [read_stored(path) for path in case.images]
    there = _present(case, sum(len(volume.data) for volume in volumes), channels=channels, may_lack=may_lack)
    first = volumes[0]
    offences, start = [], 0
    for number, (path, volume) in enumerate(zip(case.images, volumes, strict=True)):
        own = model_knows.of(there[start : start + len(volume.data)])
        start += len(volume.data)
        if elsewhere := _elsewhere(path, volume, first):
            offences.append(elsewhere)
        volumes[number], wrong = checked(path, volume, own)
        offences += wrong
    if offences:
        raise UserError("The scan cannot be segmented.", offences)
    first = volumes[0]
    notes = tuple(dict.fromkeys(note for volume in volumes for note in volume.notes))
    if len(there) == channels:
        joined = first if len(volumes) == 1 else Volume(np.concatenate([v.data for v in volumes]), first.affine, notes)
        return joined, there
    whole = np.zeros((channels, *first.data.shape[1:]), dtype=np.float32)
    for number, volume in zip(there, volumes, strict=True):
        whole[number] = volume.data[0]
    return Volume(whole, first.affine, notes), there


def _present(case: Case, count: int, *, channels: int, may_lack: bool) -> list[int]:
    """The channels that the `count` of a case's files are. UserError if they do not fit the model."""
    there = numbers_of(case, channels=channels) if count < channels and may_lack else list(range(channels))
    if count == len(there):
        return there
    single = len(case.images) == 1
    raise UserError.single(
        "The scan cannot be segmented.",
        where=str(case.images[0]) if single else f"case {case.id}",
        found=f"a 4-D image of {count} volumes" if single and count > 1 else f"{count} channels",
        expected=f"{channels}, as the model was trained with",
        mend="Give one file a channel, in the order of training, or choose the right volume of the 4-D image.",
    )


def numbers_of(case: Case, *, channels: int) -> list[int]:
    """The channels that the files' numbers name. UserError if they name none, or one that the model does not have."""
    numbers = [channel_of(path)[1] for path in case.images]
    offences = [
        Offence(
            str(path),
            "no channel number" if number is None else f"channel {number}",
            f"a number from _0000 to _{channels - 1:04d} behind the case's name, where channels are missing",
            "Rename the file by the channel that it holds.",
        )
        for path, number in zip(case.images, numbers, strict=True)
        if number is None or number >= channels
    ]
    if offences:
        raise UserError("The scan cannot be segmented.", offences)
    return [number for number in numbers if number is not None]


def _elsewhere(path: Path, volume: Volume, first: Volume) -> Offence | None:
    """What is wrong if a channel has another shape than the first, or lies a quarter of a voxel or more beside it."""
    if volume.data.shape[1:] == first.data.shape[1:]:
        offset, _ = corner_offset(first.data.shape[1:], first.affine, volume.affine)
        if offset <= 0.25 * min(first.spacing):
            return None
    found = f"shape {volume.data.shape[1:]} or affine other than the first channel's, {first.data.shape[1:]}"
    return Offence(str(path), found, "all channels on one grid", "Resample to the first channel's grid.")


def segment(
    scan: Scan,
    model: Model,
    *,
    device: torch.device,
    overlap: float,
    tta: bool,
    scratch: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    classes: Classes | None = None,
) -> Segmented:
    """Run the networks over a scan, and bring what they find to the scan's own grid.

    The mean of logits is, after softmax, the normalised geometric mean of the networks' probabilities.
    Of a cascade the first networks come first; the second ones are told what they find together.
    tta            also mean over the left-right flip, where the network knows such images
    scratch        folder for probabilities until they are written; None: they are not wanted
    classes        keeps the class of each voxel on the plan's grid
    """
    options: dict[str, Any] = {"device": device, "overlap": overlap, "tta": tta}
    scan, model = with_context(scan, model, **options)
    plan, image = model.plan, scan.image
    shape = image.shape[1:]
    axis = slab_axis(shape, plan.patch) if scratch is None else 0
    windowing = windowing_of(plan, shape, **options, abreast=True)
    given = torch.from_numpy(np.ascontiguousarray(image))
    slabs = sliding_window_slabs(model.networks, given, windowing, axis=axis, progress=progress)
    scores = Scores(len(plan.labels))
    noted = scores.noting(slabs if classes is None else classes.noting(slabs, axis=axis))
    posterior = None if scratch is None else Posterior(scan.geometry, len(plan.labels), scratch)
    try:
        labels = restore_slabs(noted if posterior is None else posterior.noting(noted), scan.geometry, plan, axis=axis)
        require_finite(scores.is_finite, model)
    except BaseException:
        if posterior is not None:
            posterior.close()
        raise
    if labels.size >= LARGE:
        release_memory()  # before arrays of the scan's size are made of what was found
    return Segmented(labels, dict(zip(plan.label_values, scores.means(), strict=True)), posterior)


def with_context(scan: Scan, model: Model, *, device: torch.device, overlap: float, tta: bool) -> tuple[Scan, Model]:
    """Of a cascade: the scan with what the first networks find in it, and the second networks by themselves."""
    if model.low_resolution is None:
        return scan, model
    context = context_in(
        scan.image, model.low_resolution, spacing=model.plan.spacing, device=device, overlap=overlap, tta=tta
    )
    return replace(scan, image=np.concatenate([scan.image, context])), replace(model, low_resolution=None)


def require_finite(is_finite: bool, model: Model) -> None:
    """UserError where the network gave NaN or infinity, of which no segmentation can be made."""
    if not is_finite:
        raise UserError.single(
            "The scan cannot be segmented.",
            where=str(model.source),
            found="NaN or infinity in what the network makes of it",
            expected="numbers",
            mend="Use another model, or train this one again; if other scans work, check the intensities of this one.",
        )


def tidied(labels: np.ndarray, model: Model) -> Tidy:
    """What the networks found, without the small pieces that validation has shown to be wrong; in place."""
    pieces = pieces_of(labels)
    lost = keep_largest(labels, pieces, model.calibration.only_largest())
    parts = {value: sizes[:1] if value in lost else sizes for value, sizes in pieces.sizes.items()}
    return Tidy(labels, parts, lost)


def outputs_of(job: Job, *, probabilities: bool = False) -> list[str]:
    """Names, below the output folder, of the files that a case has beside its rows in the tables."""
    case = job.case.id
    more = [f"{folder}/{case}.nii.gz" for folder in (PROBABILITIES, ENTROPY)] if probabilities else []
    return [f"{OVERLAYS}/{case}.png", *more, *(path.name for path in reversed(files_of_volume(job.output)))]


def _staged(stage: Path, job: Job) -> Staged:
    """What stands in the folder `stage` as it is to stand in the output's; the segmentation gets its name last."""
    folder = job.output.parent
    files = {path.relative_to(stage).as_posix(): path for path in sorted(stage.rglob("*")) if path.is_file()}
    own = [path.name for path in reversed(files_of_volume(job.output))]
    files = {name: files[name] for name in sorted(files, key=lambda name: own.index(name) if name in own else -1)}

    def publish() -> None:
        for name, path in files.items():
            if name in own:
                _publish(path, folder / name)
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                ownership.replace(path, folder / name)

    return Staged({name: hash_of_file(path) for name, path in files.items()}, publish, stage)


def _publish(staged: Path, output: Path) -> None:
    ownership.replace(staged, output)


def finish(job: Job, scan: Scan, found: Segmented, model: Model, *, folder: Path) -> Result:
    """Write everything but the tables' rows, which are returned; files get their names when that is noted."""
    stage = Path(tempfile.mkdtemp(prefix=unfinished(), dir=folder))
    try:
        return _finished(job, scan, found, model, stage)
    except BaseException:
        ownership.discard(stage)
        raise


def _finished(job: Job, scan: Scan, found: Segmented, model: Model, stage: Path) -> Result:
    from l2s_auto.report.figures import overlay as draw_overlay

    names = label_columns(model.plan)
    tidy = tidied(found.labels, model)
    labels = tidy.labels
    if found.posterior is not None:
        found.posterior.write(stage, job.case.id, scan.affine)
    overlay = stage / OVERLAYS / f"{job.case.id}.png"
    draw_overlay(scan.picture, labels, names, scan.affine, overlay, title=job.case.id)
    write_label_map(stage / job.output.name, labels, scan.affine, like=job.like)
    volumes = label_volumes(labels, scan.affine, names)
    return Result(
        staged=_staged(stage, job),
        notes=(*scan.notes, *found.notes),
        choice={} if found.end is None else {"weights": found.end, "agreement": found.agreement},
        volumes={"case": job.case.id, **volumes, **region_volumes(volumes, model.plan)},
        quality=quality_rows(
            job.case.id,
            labels,
            names,
            found.scores,
            parts=tidy.parts,
            lost=tidy.lost,
            calibration=model.calibration,
            voxel=abs(float(np.linalg.det(scan.affine[:3, :3]))),
        ),
    )
