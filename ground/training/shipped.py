"""Weights to begin with: of another run's checkpoint, or of a model that ships, whose export is undone.

Export leaves plain convolutions and folds the gain of what leaves into the last of them, so that the float graph of a
model holds all that its network had learnt. Only the wide kernels of `RepConv` cannot be told from what they fold to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from ground.models.anchored import OUT_GAIN, Anchored, RepConv
from ground.models.restorers import build
from ground.training.restoration import RestoreRecipe, TrainedRestorer, load_checkpoint
from onboard.errors import BundleError
from onboard.restore.model import load_model


def load_start(source: str) -> TrainedRestorer:
    """A checkpoint (`.ckpt`), a model's folder, or the name of one that ships.

    Raises:
        ValueError: neither, or a network that export leaves no way back to.
    """
    return load_checkpoint(Path(source)) if source.endswith(".ckpt") else of_model(source)


def of_model(name_or_path: str) -> TrainedRestorer:
    """The network of a model, in `eval()`, that gives what its float artefact gives.

    Raises:
        ValueError: see `load_start`.
    """
    try:
        model = load_model(name_or_path)
        path = model.artefact("fp32").path
    except BundleError as error:
        raise ValueError(str(error)) from error
    about = model.about
    recipe = RestoreRecipe(str(about["network"]), model.scale, model.bands, str(about["imagery"]))
    net = build(recipe.network, recipe.bands, recipe.scale)
    if not isinstance(net, Anchored) or any(isinstance(one, RepConv) for one in net.body):
        raise ValueError(f"model {model.name}: a network {recipe.network} cannot be begun from its export")
    graph = onnx.load(path).graph
    held = {item.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(item))) for item in graph.initializer}
    found = [[held[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    mine = [one for one in net.body if isinstance(one, nn.Conv2d)]
    if [pair[0].shape for pair in found] != [one.weight.shape for one in mine]:
        raise ValueError(f"model {model.name}: its artefact is no {recipe.network}")
    if net.mixed:
        if model.mix is None:
            raise ValueError(f"model {model.name}: sees bands, where {recipe.network} sees components")
        for name in ("mean", "into", "back"):
            getattr(net, name).copy_(torch.from_numpy(getattr(model.mix, name)))
    with torch.no_grad():
        for one, (weight, *bias) in zip(mine, found, strict=True):
            gain = OUT_GAIN if one is mine[-1] else 1.0
            one.weight.copy_(weight / gain)
            torch.as_tensor(one.bias).copy_(bias[0] / gain if bias else torch.zeros(len(weight)))  # none where all zero
    return TrainedRestorer(net.eval(), recipe, {}, str(about["training_hash"]))
