"""Models that nnU-Net trained: the same logits as its own networks give, and no code of theirs is run."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Normalisation
from l2s_auto.core.types import Volume
from l2s_auto.inference.export import export_model
from l2s_auto.inference.load import load_model
from l2s_auto.inference.predictor import Predictor
from l2s_auto.preprocessing.normalise import normalise
from tests.inference.tiny_models import blocks, write_run

KERNELS, STRIDES = [[1, 3, 3], [3, 3, 3]], [[1, 1, 1], [1, 2, 2]]


def architecture(name: str, dims: int) -> dict:
    """The arguments as nnU-Net's plans have them."""
    counts = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": [2, 4],
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [kernel[3 - dims :] for kernel in KERNELS],
            "strides": [stride[3 - dims :] for stride in STRIDES],
            counts: [1, 2],
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def peer_network(name: str, dims: int) -> nn.Module:
    torch.manual_seed(0)
    own = architecture(name, dims)["arch_kwargs"]
    own["conv_op"] = getattr(nn, f"Conv{dims}d")
    own["norm_op"] = getattr(nn, f"InstanceNorm{dims}d")
    own["nonlin"] = nn.LeakyReLU
    network = {"PlainConvUNet": PlainConvUNet, "ResidualEncoderUNet": ResidualEncoderUNet}[name](
        input_channels=1, num_classes=3, deep_supervision=True, **own
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network.eval()


def write_peer(folder: Path, network: nn.Module, *, name="PlainConvUNet", dims=3, forward=(1, 0, 2), **changes) -> Path:
    configuration = {
        "batch_size": 2,
        "patch_size": [4, 8, 6][3 - dims :],
        "spacing": [3.0, 1.0, 2.0][3 - dims :],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": architecture(name, dims),
        **changes.pop("configuration", {}),
    }
    plans = {
        "dataset_name": "Dataset005_Peer",
        "original_median_spacing_after_transp": [3.0, 1.0, 2.0],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(forward),
        "configurations": {"base": configuration, "own": {"inherits_from": "base"}},
        "foreground_intensity_properties_per_channel": {},
        **changes.pop("plans", {}),
    }
    dataset = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "a": 1, "b": 2}, **changes.pop("dataset", {})}
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    checkpoint = {
        "network_weights": network.state_dict(),
        "init_args": {"configuration": "own", "fold": 0},
        "logging": {"loss": [np.float64(0.5), np.float32(0.25)]},
        "trainer_name": "nnUNetTrainer",
        **changes,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
@pytest.mark.parametrize("forward", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_networks_see_files_as_nnunet_turns_them(tmp_path, name, forward):
    network = peer_network(name, 3)
    model = load_model(write_peer(tmp_path / "peer", network, name=name, forward=forward))
    stored = torch.rand(8, 8, 8)  # axes of the file
    turned = stored.permute(2, 1, 0).permute(*forward)
    with torch.no_grad():
        theirs = network(turned[None, None])[0][0].permute(0, *(1 + int(a) for a in np.argsort(forward)))
        ours = model.networks[0](stored[None, None])[0]
    assert torch.allclose(ours, theirs.permute(0, 3, 2, 1), atol=1e-4)
    axes = [2 - forward[axis] for axis in range(3)]  # of the file, for nnU-Net's first to last
    assert [model.plan.spacing[axis] for axis in axes] == [3.0, 1.0, 2.0]
    assert [model.plan.patch[axis] for axis in axes] == [4, 8, 6]
    assert model.plan.orientation == "stored" and model.folds == ("fold_0",)


def test_networks_of_slices_become_networks_of_volumes(tmp_path):
    network = peer_network("PlainConvUNet", 2)
    model = load_model(write_peer(tmp_path / "peer", network, dims=2, forward=(0, 1, 2)) / "fold_0")
    stored = torch.rand(8, 8, 5)
    with torch.no_grad():
        theirs = network(stored.permute(2, 1, 0)[:, None])[0]  # a batch of slices
    # Instance normalisation is over a slice there and over the patch here, which has one slice.
    assert model.plan.patch[2] == 1
    with torch.no_grad():
        ours = torch.cat([model.networks[0](stored[None, None, :, :, k : k + 1]) for k in range(5)], 4)[0]
    assert torch.allclose(ours.permute(3, 0, 2, 1), theirs, atol=1e-4)


def test_an_export_to_nnunet_comes_back_as_the_same_model(tmp_path):
    run = write_run(tmp_path / "run")
    back = export_model(run, tmp_path / "peer", format="nnunet")
    affine = np.array([[0, -1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 0, 0, 1]])
    scan = Volume(blocks((20, 17, 18))[None], affine)
    one, two = (Predictor.load(path, device="cpu").predict(scan).labels for path in (run, back))
    values = np.array([0, 2, 77])
    assert np.array_equal(one, values[two])
    with pytest.raises(UserError, match="a model that nnU-Net trained itself"):
        export_model(back, tmp_path / "again", format="nnunet")


def test_nnunets_normalisations():
    image = np.random.default_rng(0).normal(100, 30, (1, 6, 7, 8)).astype(np.float32)
    image[0, :2] = 0

    def of(scheme, **limits):
        own = {"lower": 0.0, "upper": 1.0, **limits}
        return normalise(image, (Normalisation(scheme=scheme, **own),))

    np.testing.assert_allclose(of("z-score"), (image - image.mean()) / image.std(), rtol=1e-4, atol=1e-4)
    inside = image[0, 2:]
    np.testing.assert_allclose(
        of("z-score of nonzero")[0, 2:], (inside - inside.mean()) / inside.std(), rtol=1e-4, atol=1e-4
    )
    assert not of("z-score of nonzero")[0, :2].any()
    clipped = of("clipped z-score", lower=50.0, upper=150.0, mean=90.0, std=20.0)
    np.testing.assert_allclose(clipped, (image.clip(50, 150) - 90) / 20, rtol=1e-5)
    assert of("range").min() == 0 and of("range").max() == 1 and np.array_equal(of("none"), image)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_code_in_a_checkpoint_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3), extra=Evil())
    with pytest.raises(UserError, match="cannot be read safely"):
        load_model(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": {"labels": {"background": 0, "whole": [1, 2]}}}, "regions"),
        ({"configuration": {"previous_stage": "3d_lowres"}}, "second stage of a cascade"),
        ({"configuration": {"normalization_schemes": ["RGBTo01Normalization"]}}, "the normalisation RGBTo01"),
        ({"plans": {"image_reader_writer": "NaturalImage2DIO"}}, "images read by NaturalImage2DIO"),
        ({"plans": {"transpose_forward": None}}, "plans of another form"),
        ({"init_args": {"configuration": "none"}}, "no configuration 'none'"),
        ({"init_args": {}}, "does not name its configuration"),
        ({"network_weights": None}, "without network_weights"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, changes, message):
    folder = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3), **changes)
    with pytest.raises(UserError, match=message):
        load_model(folder)


def _odd_weights(kind: str, network: nn.Module) -> dict:
    weights = network.state_dict()
    name = next(name for name, value in weights.items() if value.ndim == 5)
    odd = {
        "repeated": torch.zeros(1).expand(10**6, 10**5, 1, 1, 1),
        "sparse": torch.zeros(3, 3).to_sparse(),
        "without memory": torch.zeros(3, device="meta"),
        "complex": torch.zeros(3, dtype=torch.complex64),
        "a number": 3,
    }
    return {**weights, name: odd[kind]}


@pytest.mark.parametrize("kind", ["repeated", "sparse", "without memory", "complex", "a number"])
def test_tensors_that_the_file_does_not_hold_are_refused(tmp_path, kind):
    network = peer_network("PlainConvUNet", 3)
    folder = write_peer(tmp_path / "peer", network, network_weights=_odd_weights(kind, network))
    with pytest.raises(UserError, match=r"no tensor with all of its numbers|cannot be read safely"):
        load_model(folder)


def test_a_checkpoint_that_asks_for_all_memory_is_refused(tmp_path):
    folder = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3))
    pickled = b"\x80\x02cbuiltins\nbytearray\nq\x00\x8a\x07" + bytes(6) + b"\x40\x85R."  # bytearray(2**54)
    next(folder.rglob("checkpoint_final.pth")).write_bytes(pickled)
    with pytest.raises(UserError, match=r"more memory than there is|cannot be read safely"):
        load_model(folder)


@pytest.mark.parametrize("axes", [torch.zeros(3), 1, "012"])
def test_axes_of_another_kind_are_none(tmp_path, axes):
    folder = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3), inference_allowed_mirroring_axes=axes)
    assert not load_model(folder).plan.flips


def test_a_checkpoint_that_unpacks_to_more_is_refused(tmp_path):
    path = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3)) / "fold_0" / "checkpoint_final.pth"
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/99", bytes(1 << 22))
    with pytest.raises(UserError, match="bytes packed into"):
        load_model(tmp_path / "peer")


@pytest.mark.parametrize(
    "changes",
    [
        {"plans": {"dataset_name": "../../evil"}},
        {"plans": {"image_reader_writer": "x" * 10**6}},
        {"dataset": {"labels": {"background": 0, "\x1b[2J": 1}}},
        {"dataset": {"labels": {"background": 0, "a": 2**40}}},
        {"configuration": {"batch_size": 10**18}},
        {"configuration": {"spacing": [1e-300, 1.0, 1.0]}},
        {"configuration": {"patch_size": [4096, 4096, 4096]}},
        *({"configuration": {"architecture": {"network_class_name": "PlainConvUNet", "arch_kwargs": own}}} for own in (
            {**architecture("PlainConvUNet", 3)["arch_kwargs"], "n_stages": 10**9, "features_per_stage": 2},
            {**architecture("PlainConvUNet", 3)["arch_kwargs"], "n_conv_per_stage": 10**6},
            {**architecture("PlainConvUNet", 3)["arch_kwargs"], "features_per_stage": [4096, 4096]},
            {**architecture("PlainConvUNet", 3)["arch_kwargs"], "strides": [[0, 0, 0], [1, 1, 1]]},
        )),
    ],
)  # fmt: skip
def test_plans_of_a_stranger_are_one_error(tmp_path, changes):
    folder = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3), **changes)
    with pytest.raises(UserError, match="cannot be used") as refused:
        load_model(folder)
    text = str(refused.value)
    assert len(text) < 20_000 and all(line.isprintable() for line in text.split("\n"))


def test_other_networks_and_missing_checkpoints_are_named(tmp_path):
    network = peer_network("PlainConvUNet", 3)
    other = architecture("PlainConvUNet", 3)
    other["network_class_name"] = "somewhere.SwinUNETR"
    with pytest.raises(UserError, match="the network SwinUNETR"):
        load_model(write_peer(tmp_path / "a", network, configuration={"architecture": other}))
    other = architecture("PlainConvUNet", 3)
    other["arch_kwargs"]["nonlin"] = "torch.nn.Softplus"
    with pytest.raises(UserError, match="the activation Softplus"):
        load_model(write_peer(tmp_path / "b", network, configuration={"architecture": other}))
    (tmp_path / "a" / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(UserError, match="no fold_"):
        load_model(tmp_path / "a")
    for content in (b"no zip", b""):
        (tmp_path / "b" / "fold_0" / "checkpoint_final.pth").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read safely"):
            load_model(tmp_path / "b")


@pytest.mark.parametrize("axes", [None, (0, 1, 2)])
def test_scans_are_mirrored_where_the_checkpoint_allows_it(tmp_path, axes):
    folder = write_peer(tmp_path / "peer", peer_network("PlainConvUNet", 3), inference_allowed_mirroring_axes=axes)
    assert load_model(folder).plan.flips is bool(axes)
