"""A model folder of nnU-Net 2 as a model of ours: plans.json, dataset.json, fold_K/checkpoint_final.pth.

Checkpoints are pickles; they are read by PyTorch's restricted reader, which makes tensors, numbers and plain containers
and refuses everything else, so that no code of the file runs.

nnU-Net works in the order in which files store their axes, last axis first, and its plans may exchange axes; kernels
are turned to the file's order here, and scans stay as they are stored.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from pydantic import ValidationError

from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError, shortened
from l2s_auto.core.limits import MAX_STAGES
from l2s_auto.core.plan import EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan, Topology, Voxels
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.json_files import LARGEST_MODEL, read_json
from l2s_auto.networks.unet import ACTIVATIONS, PARTS

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
#: Names of networks in nnU-Net's plans -> ours, and what they call the convolutions of the encoder.
_NETWORKS = {peer: (own, convolutions) for own, (peer, convolutions) in PARTS.items()}
_ACTIVATIONS = {kind.__name__: name for name, kind in ACTIVATIONS.items()}
_STORED, _CANONICAL = ("SimpleITKIO", "NibabelIO"), ("NibabelIOWithReorient", "SimpleITKIOWithReorient")


def is_nnunet(path: Path) -> bool:
    """Whether a folder is a model folder of nnU-Net, or a fold in one."""
    return any((place / PLANS).is_file() and (place / DATASET).is_file() for place in (path, path.parent))


def checkpoints_in(path: Path) -> tuple[Path, ...]:
    """The checkpoint of each fold that has one, in a model folder or a fold of one. UserError if there is none."""
    folds = [path] if not (path / PLANS).is_file() else sorted(path.glob("fold_*"))
    found = [next((fold / name for name in CHECKPOINTS if (fold / name).is_file()), None) for fold in folds]
    kept = tuple(checkpoint for checkpoint in found if checkpoint is not None)
    if not kept:
        _refuse(path, f"no fold_*/{CHECKPOINTS[0]}")
    return kept


def read_nnunet(folder: Path, checkpoints: Sequence[Path]) -> tuple[Plan, Recipe, list[dict[str, torch.Tensor]]]:
    """Model folder, and checkpoints in it -> plan, recipe, and the weights of each checkpoint under our names.

    Raises UserError for what is not supported, naming it: cascades, regions, other networks and normalisations.
    """
    plans, dataset = (_object(folder / name) for name in (PLANS, DATASET))
    loaded = [_checkpoint(path) for path in checkpoints]
    names = {str(one["init_args"]["configuration"]) for one in loaded}
    if len(names) != 1:
        _refuse(folder, f"folds of different configurations: {', '.join(sorted(names))}")
    try:
        configuration = _configuration(plans, names.pop(), folder)
        plan, network, order = _plan(plans, configuration, dataset, folder, mirrored=all(map(_mirrors, loaded)))
    except UserError:
        raise
    except ValidationError as error:
        problem = error.errors()[0]
        _refuse(folder / PLANS, f"a value of {'.'.join(map(str, problem['loc'])) or 'the plan'}: {problem['msg']}")
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        _refuse(folder / PLANS, f"plans of another form ({type(error).__name__}: {str(error)[:200]})")
    stages = len(plan.topology.features)
    weights = [_renamed(one["network_weights"], stages, order) for one in loaded]
    return plan, Recipe(method=Component(name="supervised"), network=network), weights


def _refuse(path: Path, found: str, expected: str = "a trained plain or residual U-Net of nnU-Net 2") -> NoReturn:
    raise UserError.single(
        "This model of nnU-Net cannot be used.",
        where=str(path),
        found=found,
        expected=expected,
        mend="Name a model folder such as nnUNetTrainer__nnUNetPlans__3d_fullres, or predict with nnU-Net itself.",
    )


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path, largest=LARGEST_MODEL)
    if not isinstance(content, dict):
        _refuse(path, "no object {…}")
    return content


def _mirrors(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the network may be shown mirrored images."""
    axes = checkpoint.get("inference_allowed_mirroring_axes")
    return isinstance(axes, list | tuple) and bool(axes)


def _checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, by the reader that runs no code; numpy's numbers, which logs hold, are allowed."""
    scalar: Any = np.float64(0).__reduce__()[0]
    kinds: list[Any] = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")]
    # Checkpoints of numpy 1 call its function by another name.
    _require_sizes(path)
    allowed = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        _refuse(path, "a checkpoint that needs more memory than there is")
    except Exception as error:  # a file that is damaged, or made to harm, ends the reader in any way
        told = (str(error).splitlines() or ["an empty file"])[0][:200]
        if "weights_only" in str(error):  # PyTorch's advice is to run what the file names
            told = "it holds more than tensors and plain values"
        _refuse(path, f"a checkpoint that cannot be read safely ({told})")
    wanted = ("network_weights", "init_args")
    if not isinstance(content, dict) or any(not isinstance(content.get(name), dict) for name in wanted):
        _refuse(path, "a checkpoint without network_weights or init_args")
    if "configuration" not in content["init_args"]:
        _refuse(path, "a checkpoint that does not name its configuration")
    for name, value in content["network_weights"].items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or not _is_dense(value):
            _refuse(path, f"{shortened(name)} in network_weights, which is no tensor with all of its numbers")
    return content


def _is_dense(value: torch.Tensor) -> bool:
    """Whether these are real numbers, and the file holds each: a view can repeat one a thousand million times."""
    plain = value.layout == torch.strided and not (value.is_meta or value.is_quantized or value.is_complex())
    return plain and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _require_sizes(path: Path) -> None:
    """Refuse a checkpoint that unpacks to more than it is: PyTorch stores numbers as they are."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, struct.error) as error:
        _refuse(path, f"a damaged archive ({error})")
    if unpacked > 2 * path.stat().st_size:
        _refuse(path, f"{unpacked:,} bytes packed into {path.stat().st_size:,}")


def _configuration(plans: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """One configuration, with what it inherits."""
    seen, chain = set(), []
    current: str | None = name
    while current is not None:
        if current in seen or current not in plans["configurations"]:
            _refuse(folder / PLANS, f"no configuration {current!r}, or one that inherits itself")
        seen.add(current)
        chain.append(plans["configurations"][current])
        current = chain[-1].get("inherits_from")
    merged: dict[str, Any] = {}
    for part in reversed(chain):
        merged.update(part)
    if merged.get("previous_stage"):
        _refuse(folder / PLANS, f"the configuration {name}, the second stage of a cascade")
    return merged


def _plan(
    plans: Mapping[str, Any],
    configuration: Mapping[str, Any],
    dataset: Mapping[str, Any],
    folder: Path,
    *,
    mirrored: bool,
) -> tuple[Plan, Component, tuple[int, int, int]]:
    """-> our plan, our network, and for each axis of a file the axis of nnU-Net's arrays that it is."""
    forward = [int(axis) for axis in plans["transpose_forward"]]
    order = tuple(forward.index(2 - axis) for axis in range(3))
    x, y, z = order

    def turned(values: Sequence[Any], missing: Any) -> tuple[Any, Any, Any]:
        """Of nnU-Net's axes (of slices two) -> of the file's."""
        whole = [missing] * (3 - len(values)) + list(values)
        return whole[x], whole[y], whole[z]

    name, network, arguments = _architecture(configuration, folder)
    if not 1 <= arguments["n_stages"] <= MAX_STAGES:
        _refuse(folder / PLANS, f"{shortened(arguments['n_stages'])} stages", f"1 to {MAX_STAGES} stages")
    counts = _each(arguments[_NETWORKS[network][1]], arguments["n_stages"])
    topology = Topology(
        features=tuple(_each(arguments["features_per_stage"], arguments["n_stages"])),
        kernels=tuple(turned(_axes(kernel), 1) for kernel in arguments["kernel_sizes"]),
        strides=tuple(turned(_axes(stride), 1) for stride in arguments["strides"]),
        convolutions_encoder=tuple(counts),
        convolutions_decoder=tuple(_each(arguments["n_conv_per_stage_decoder"], arguments["n_stages"] - 1)),
        residual=name == "residual-unet",
    )
    labels = _labels(dataset, folder)
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    spacing = turned(configuration["spacing"], plans["original_median_spacing_after_transp"][0])
    patch: Voxels = turned(configuration["patch_size"], 1)
    plan = Plan(
        dataset=str(plans["dataset_name"]),
        channels=tuple(str(channels[key]) for key in sorted(channels, key=int)),
        labels=labels,
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        patch=patch,
        batch=int(configuration["batch_size"]),
        topology=topology,
        normalisation=_normalisations(plans, configuration, folder),
        generation=GenerationPlan(enriched=(EnrichedLabel(name="all", target=0, generation_class=0),)),
        iterations=1,
        orientation=_orientation(plans, folder),
        padding="zero",
        mirrored=mirrored,
        resampling="spline",
    )
    options = {"activation": _activation(arguments, folder), "bias": bool(arguments["conv_bias"])}
    return plan, Component(name=name, options=options), (x, y, z)


def _orientation(plans: Mapping[str, Any], folder: Path) -> Literal["stored", "canonical"]:
    reader = str(plans["image_reader_writer"])
    if reader not in (*_STORED, *_CANONICAL):
        _refuse(folder / PLANS, f"images read by {reader}", f"one of {', '.join((*_STORED, *_CANONICAL))}")
    return "stored" if reader in _STORED else "canonical"


def _architecture(configuration: Mapping[str, Any], folder: Path) -> tuple[str, str, dict[str, Any]]:
    """-> our name of the network, nnU-Net's, and its arguments."""
    if "architecture" in configuration:
        found = configuration["architecture"]
        name, arguments = str(found["network_class_name"]).rpartition(".")[2], dict(found["arch_kwargs"])
    else:  # as nnU-Net wrote plans before version 2.3
        name, own = str(configuration["UNet_class_name"]), configuration
        stages = min(len(own["n_conv_per_stage_encoder"]), MAX_STAGES + 1)
        base, most = own["UNet_base_num_features"], own["unet_max_num_features"]
        arguments = {
            "n_stages": stages,
            "features_per_stage": [min(base * 2**stage, most) for stage in range(stages)],
            "kernel_sizes": own["conv_kernel_sizes"],
            "strides": own["pool_op_kernel_sizes"],
            "n_conv_per_stage": own["n_conv_per_stage_encoder"],
            "n_blocks_per_stage": own["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": own["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "nonlin": "torch.nn.LeakyReLU",
        }
    if name not in _NETWORKS:
        _refuse(folder / PLANS, f"the network {name}", f"one of {', '.join(_NETWORKS)}")
    if "InstanceNorm" not in str(arguments.get("norm_op", "InstanceNorm")):
        _refuse(folder / PLANS, f"the normalisation {arguments['norm_op']}", "instance normalisation")
    return _NETWORKS[name][0], name, arguments


def _activation(arguments: Mapping[str, Any], folder: Path) -> str:
    name = str(arguments["nonlin"]).rpartition(".")[2]
    if name not in _ACTIVATIONS or set(arguments.get("nonlin_kwargs") or {}) - {"inplace"}:
        _refuse(folder / PLANS, f"the activation {name} with options of its own", f"one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _each(value: Any, count: int) -> list[int]:
    """One number a stage."""
    return [int(value)] * count if isinstance(value, int) else [int(number) for number in value]


def _axes(value: Any) -> list[int]:
    """One number an axis."""
    return [int(value)] * 3 if isinstance(value, int) else [int(number) for number in value]


def _labels(dataset: Mapping[str, Any], folder: Path) -> tuple[LabelPlan, ...]:
    named = {str(name): value for name, value in dataset["labels"].items() if name != "ignore"}
    if any(isinstance(value, list | tuple) and len(value) > 1 for value in named.values()):
        _refuse(folder / DATASET, "regions, which overlap", "labels of one value each")
    values = {int(value[0] if isinstance(value, list | tuple) else value): name for name, value in named.items()}
    return tuple(LabelPlan(value=value, name=values[value]) for value in sorted(values))


def _normalisations(
    plans: Mapping[str, Any], configuration: Mapping[str, Any], folder: Path
) -> tuple[Normalisation, ...]:
    found = []
    intensities = plans.get("foreground_intensity_properties_per_channel") or {}
    masks = configuration["use_mask_for_norm"]
    for number, (name, masked) in enumerate(zip(configuration["normalization_schemes"], masks, strict=True)):
        if name == "CTNormalization":
            own = intensities[str(number)]
            limits = {"lower": own["percentile_00_5"], "upper": own["percentile_99_5"]}
            found.append(Normalisation(scheme="clipped z-score", mean=own["mean"], std=max(own["std"], 1e-8), **limits))
        elif name == "ZScoreNormalization":
            found.append(Normalisation(scheme="z-score of nonzero" if masked else "z-score", lower=0.0, upper=1.0))
        elif name == "RescaleTo01Normalization":
            found.append(Normalisation(scheme="range", lower=0.0, upper=1.0))
        elif name == "NoNormalization":
            found.append(Normalisation(scheme="none", lower=0.0, upper=1.0))
        else:
            _refuse(folder / PLANS, f"the normalisation {name}")
    return tuple(found)


def _renamed(weights: Mapping[str, torch.Tensor], stages: int, order: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    """Under our names, kernels along the file's axes; of slices with an axis of one voxel more."""
    last, found = f"decoder.seg_layers.{stages - 2}.", {}
    for name, value in weights.items():
        own = name.removeprefix("module.").replace("_orig_mod.", "")
        if own.startswith("decoder.seg_layers."):
            if not own.startswith(last):
                continue
            own = own.replace(last, "decoder.seg_layers.0.")
        if value.ndim == 4:
            value = value[:, :, None]
        if value.ndim == 5:
            value = value.permute(0, 1, *(2 + axis for axis in order)).contiguous()
        found[own] = value.float()
    return found
