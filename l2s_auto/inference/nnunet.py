"""A model as a folder that nnU-Net 2 predicts with (`nnUNetv2_predict_from_modelfolder`).

The networks are nnU-Net's own (`dynamic-network-architectures`), so the weights carry over as they are. What surrounds
them is expressed in nnU-Net's terms:

- axes      nnU-Net's reader that turns scans to R, A, S, and a transposition to this order
- fixed     Hounsfield units are clipped and scaled by nnU-Net's CTNormalization, to the very same numbers
- percentile  becomes nnU-Net's rescaling from 0 to 1. The networks normalise each channel of features behind their
            first convolution, so a linear change of the intensities matters at the borders of patches only; scans with
            a few voxels far brighter than the rest are where the two differ
- padding   of scans that are smaller than the patch is 0 in nnU-Net and the value at the edge here: they come out
            differently (`difference_of_nnunet` says so to the user)
- labels    are numbered from 0 without a gap, as nnU-Net asks for; `README.txt` says which number is which value
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Plan, Topology
from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.load import Model
from l2s_auto.networks.unet import ACTIVATIONS, PARTS
from l2s_auto.preprocessing.normalise import HIGHEST, LOWEST

CONFIGURATION, TRAINER, PLANS = "3d_fullres", "nnUNetTrainer", "l2sPlans"
#: Name of a model's folder below that of its dataset, as nnU-Net calls them.
MODEL_FOLDER = f"{TRAINER}__{PLANS}__{CONFIGURATION}"
#: Names of the files that `write_nnunet` writes.
NNUNET_MEMBER = re.compile(r"(plans\.json|dataset\.json|README\.txt|fold_\w+/checkpoint_final\.pth)", re.ASCII)
_ARCHITECTURES = "dynamic_network_architectures.architectures.unet"


def write_nnunet(model: Model, folder: Path) -> Path:
    """Write dataset.json, plans.json and fold_K/checkpoint_final.pth into `folder`, which is made.

    Raises UserError for what nnU-Net has no counterpart of.
    """
    _require_counterparts(model)
    plans, dataset = nnunet_plans(model.plan, model.recipe), nnunet_dataset(model.plan)
    mirrored = [0] if model.plan.flips and not model.plan.pairs else []
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("plans.json", plans), ("dataset.json", dataset)):
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    (folder / "README.txt").write_text(_readme(model.plan), encoding="utf-8")
    for fold, network in zip(model.folds, model.networks, strict=True):
        place = folder / fold
        place.mkdir(exist_ok=True)
        checkpoint = {
            "network_weights": nnunet_weights(network, model.plan.topology, classes=len(model.plan.labels)),
            "trainer_name": TRAINER,
            "init_args": {"configuration": CONFIGURATION, "fold": fold.removeprefix("fold_")},
            "inference_allowed_mirroring_axes": tuple(mirrored) or None,
        }
        torch.save(checkpoint, place / "checkpoint_final.pth")
    return folder


def _require_counterparts(model: Model) -> None:
    found = None
    if model.plan.low_resolution is not None:
        found = "a cascade, whose second network is told what the first finds"
    elif model.plan.padding == "zero":
        found = "a model that nnU-Net trained itself"
    elif unknown := sorted({norm.scheme for norm in model.plan.normalisation} - set(_NORMALISATIONS)):
        found = f"the normalisation {', '.join(unknown)}"
    elif model.recipe.missing_share:
        found = "channels that may be missing"
    elif model.recipe.network.name not in PARTS:
        found = f"the network {model.recipe.network.name}"
    if found:
        raise UserError.single(
            "nnU-Net has no counterpart of this model.",
            where=str(model.source),
            found=found,
            expected="a plain or residual U-Net of its own",
            mend="Export it with --format l2s; of a cascade, RUN/low_resolution is a model that nnU-Net can run.",
        )


def nnunet_weights(network: torch.nn.Module, topology: Topology, *, classes: int) -> dict[str, torch.Tensor]:
    """The weights under the names that nnU-Net gives them.

    nnU-Net's decoder has a head a stage, of which the last alone predicts: the others are zero.
    """
    stages = len(topology.features)
    found: dict[str, torch.Tensor] = {}
    for name, value in network.state_dict().items():
        head = "decoder.seg_layers.0."
        found[name.replace(head, f"decoder.seg_layers.{stages - 2}.")] = value.detach().cpu().clone()
    for stage in range(stages - 2):
        features = topology.features[stages - 2 - stage]
        found[f"decoder.seg_layers.{stage}.weight"] = torch.zeros(classes, features, 1, 1, 1)
        found[f"decoder.seg_layers.{stage}.bias"] = torch.zeros(classes)
    return found


def nnunet_dataset(plan: Plan) -> dict[str, Any]:
    """nnU-Net's dataset.json."""
    channels = plan.channels or ("image",)
    return {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": {label.name: number for number, label in enumerate(plan.labels)},
        "numTraining": 0,
        "file_ending": ".nii.gz",
        "name": plan.dataset,
    }


def nnunet_plans(plan: Plan, recipe: Recipe) -> dict[str, Any]:
    """nnU-Net's plans.json, with one configuration."""
    channels = max(1, len(plan.channels))
    schemes = [norm.scheme for norm in plan.normalisation] or ["percentile"]
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": f"{PLANS}_{CONFIGURATION}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": plan.batch,
        "patch_size": list(plan.patch),
        "median_image_size_in_voxels": list(plan.patch),
        "spacing": list(plan.spacing),
        "normalization_schemes": [_NORMALISATIONS[scheme] for scheme in schemes],
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": _architecture(plan.topology, recipe),
        "batch_dice": False,
    }
    return {
        "dataset_name": plan.dataset,
        "plans_name": PLANS,
        "original_median_spacing_after_transp": list(plan.spacing),
        "original_median_shape_after_transp": list(plan.patch),
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [2, 1, 0],
        "transpose_backward": [2, 1, 0],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            **{str(number): _intensities(0.0, 1.0) for number in range(channels)},
            **{str(number): _intensities(norm.lower, norm.upper) for number, norm in enumerate(plan.normalisation)},
        },
    }


_NORMALISATIONS: Mapping[str, str] = {"fixed": "CTNormalization", "percentile": "RescaleTo01Normalization"}


def _intensities(lower: float, upper: float) -> dict[str, float]:
    """What makes nnU-Net's CTNormalization do what `preprocessing.normalise` does with fixed limits."""
    width = upper - lower
    return {
        "mean": lower,
        "std": width,
        "median": lower,
        "min": lower + LOWEST * width,
        "max": lower + HIGHEST * width,
        "percentile_00_5": lower + LOWEST * width,
        "percentile_99_5": lower + HIGHEST * width,
    }


def _architecture(topology: Topology, recipe: Recipe) -> dict[str, Any]:
    name, convolutions = PARTS[recipe.network.name]
    activation = ACTIVATIONS[recipe.network.options.get("activation", "elu")]
    return {
        "network_class_name": f"{_ARCHITECTURES}.{name}",
        "arch_kwargs": {
            "n_stages": len(topology.features),
            "features_per_stage": list(topology.features),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(kernel) for kernel in topology.kernels],
            "strides": [list(stride) for stride in topology.strides],
            convolutions: list(topology.convolutions_encoder),
            "n_conv_per_stage_decoder": list(topology.convolutions_decoder),
            "conv_bias": bool(recipe.network.options.get("bias", False)),
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": f"torch.nn.{activation.__name__}",
            "nonlin_kwargs": {},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def difference_of_nnunet(plan: Plan) -> str:
    """Where nnU-Net's results with the exported model differ from ours, in a sentence or two."""
    text = "nnU-Net puts zeros beside a scan that is smaller than the patch of "
    text += (
        f"{' x '.join(map(str, plan.patch))} voxels, l2s_auto the values at its edge: such scans come out differently."
    )
    if any(norm.scheme == "percentile" for norm in plan.normalisation):
        text += " It scales intensities by the lowest and the highest, not by percentiles: so do scans with a few very"
        text += " bright voxels. Compare both on scans of your own before you rely on it."
    return text


def _readme(plan: Plan) -> str:
    rows = "\n".join(f"  {number:>5}  {label.value:>6}  {label.name}" for number, label in enumerate(plan.labels))
    mirroring = "Mirroring at prediction is from left to right only."
    if plan.pairs:
        mirroring = "Mirroring at prediction is switched off: nnU-Net would not swap left and right labels."
    elif not plan.flips:
        mirroring = "Mirroring at prediction is switched off: the model was not trained on mirrored scans."
    return f"""\
A model of l2s_auto for nnU-Net 2, trained on {plan.dataset}.

  nnUNetv2_predict_from_modelfolder -i IN -o OUT -m THIS_FOLDER -f FOLDS

Scans are NIfTI files called NAME_0000.nii.gz. nnU-Net numbers labels from 0 without a gap:

  nnU-Net   value  label
{rows}

{mirroring}

{difference_of_nnunet(plan)}

Research software: it is not a medical device, and its output needs the eyes of somebody qualified.
"""
