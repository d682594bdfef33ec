"""Models in nnU-Net's form: its network with these weights gives the same logits, around it stands the same."""

from __future__ import annotations

import json
import pydoc
import zipfile

import numpy as np
import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Normalisation, Topology
from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.export import export_model
from l2s_auto.inference.load import load_model
from l2s_auto.inference.nnunet import MODEL_FOLDER, nnunet_plans
from l2s_auto.io.json_files import write_json
from l2s_auto.networks import build_network, save_weights
from l2s_auto.preprocessing.normalise import normalise
from tests.inference.tiny_models import make_plan, write_run


def peer_network(folder, fold):
    """The network as nnU-Net builds and fills it."""
    plans = json.loads((folder / "plans.json").read_text(encoding="utf-8"))
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    checkpoint = torch.load(folder / fold / "checkpoint_final.pth", weights_only=True)
    architecture = plans["configurations"][checkpoint["init_args"]["configuration"]]["architecture"]
    kwargs = dict(architecture["arch_kwargs"])
    for name in architecture["_kw_requires_import"]:
        kwargs[name] = None if kwargs[name] is None else pydoc.locate(kwargs[name])
    network = pydoc.locate(architecture["network_class_name"])(
        input_channels=len(dataset["channel_names"]),
        num_classes=len(dataset["labels"]),
        deep_supervision=False,
        **kwargs,
    )
    network.load_state_dict(checkpoint["network_weights"])
    return network.eval()


def run_of(path, *, name, topology):
    plan = make_plan(channels=2).model_copy(update={"topology": topology})
    path.mkdir()
    write_json(path / "plan.json", plan)
    write_json(path / "recipe.json", Recipe(network=Component(name=name)))
    torch.manual_seed(0)
    network = build_network(Component(name=name), channels=2, classes=3, topology=topology)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    (path / "fold_0").mkdir()
    save_weights(network, path / "fold_0" / "weights.safetensors")
    return path


@pytest.mark.parametrize("name", ["unet", "residual-unet"])
def test_nnunets_network_gives_the_same_logits(tmp_path, name):
    topology = Topology(
        features=(2, 4, 4),
        kernels=((3, 3, 1), (3, 3, 3), (3, 3, 3)),
        strides=((1, 1, 1), (2, 2, 1), (2, 2, 2)),
        convolutions_encoder=(1, 2, 1),
        convolutions_decoder=(1, 2),
        residual=name == "residual-unet",
    )
    run = run_of(tmp_path / "run", name=name, topology=topology)
    folder = export_model(run, tmp_path / "peer", format="nnunet")
    image = torch.rand(2, 2, 16, 16, 8)  # one alone is convolved by oneDNN here
    with torch.no_grad():
        assert torch.equal(peer_network(folder, "fold_0")(image), load_model(run).networks[0](image))


def test_every_fold_is_there_and_labels_are_numbered(tmp_path):
    run = write_run(tmp_path / "run", folds=("fold_0", "fold_all"))
    folder = export_model(run, tmp_path / "peer", format="nnunet")
    assert sorted(path.name for path in folder.glob("fold_*")) == ["fold_0", "fold_all"]
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert list(dataset["labels"].values()) == [0, 1, 2]
    assert "2      77  Right part" in (folder / "README.txt").read_text(encoding="utf-8")
    packed = export_model(run, tmp_path / "peer.zip", format="nnunet")
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
    assert f"Dataset999_Tiny/{MODEL_FOLDER}/fold_all/checkpoint_final.pth" in names
    with pytest.raises(UserError, match="overwrite"):
        export_model(run, folder, format="nnunet")


def test_hounsfield_units_become_the_same_numbers():
    scheme = Normalisation(scheme="fixed", lower=-500.0, upper=500.0)
    plan = make_plan().model_copy(update={"normalisation": (scheme,)})
    plans = nnunet_plans(plan, Recipe())
    assert plans["configurations"]["3d_fullres"]["normalization_schemes"] == ["CTNormalization"]
    own = plans["foreground_intensity_properties_per_channel"]["0"]
    image = np.linspace(-3000, 3000, 512, dtype=np.float32).reshape(1, 8, 8, 8)
    peer = (np.clip(image, own["percentile_00_5"], own["percentile_99_5"]) - own["mean"]) / own["std"]
    np.testing.assert_allclose(normalise(image, (scheme,)), peer, atol=1e-6)


def test_what_nnunet_has_no_counterpart_of(tmp_path):
    run = write_run(tmp_path / "run")
    write_json(run / "recipe.json", Recipe(missing_share=0.5))
    with pytest.raises(UserError, match=r"no counterpart(.|\n)*channels that may be missing"):
        export_model(run, tmp_path / "peer", format="nnunet")
    assert not (tmp_path / "peer").exists()
