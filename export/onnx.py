"""Checkpoint -> fp32 ONNX of the encoder's mu, BatchNorm folded, the same bytes every time.

Input `tile` float32 (N, B, 32, 32), normalised; output `latent` float32 (N, latent); N is dynamic. What a reader needs
to feed the graph stands in the file's own `metadata_props` (bands, tile, normalise, latent, training_hash).
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path

import onnx
import torch

from export.artefact import INPUT, OUTPUT
from export.quiet import quiet
from ground.models.ravaen import TILE, MuOnly
from ground.training.encoder import TrainedEncoder


def metadata(trained: TrainedEncoder) -> dict[str, str]:
    """What stands in every artefact's `metadata_props`; values that are not text are JSON."""
    recipe = trained.recipe
    return {
        "bands": json.dumps(list(recipe.bands)),
        "latent": str(recipe.model.latent),
        "normalise": json.dumps(recipe.rule.to_dict(), sort_keys=True),
        "tile": str(TILE),
        "training_hash": trained.training_hash,
    }


def export_encoder(trained: TrainedEncoder, path: Path) -> None:
    """Write the fp32 graph.

    Raises:
        RuntimeError: the exporter left a BatchNorm or an operator with no integer kernel in the graph.
    """
    tile = torch.zeros(2, len(trained.recipe.bands), TILE, TILE)
    net = MuOnly(trained.net.encoder).eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet("torch.onnx", "onnxscript"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, (tile,), dynamo=True, input_names=[INPUT], output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},), verbose=False,
        )  # fmt: skip
    model = program.model_proto
    strip(model)
    allowed = {"Conv", "LeakyRelu", "Relu", "Reshape", "Flatten", "Gemm"}
    left = {node.op_type for node in model.graph.node} - allowed
    if left:
        raise RuntimeError(f"exported graph holds {' '.join(sorted(left))}, expected only {' '.join(sorted(allowed))}")
    onnx.helper.set_model_props(model, metadata(trained))
    onnx.checker.check_model(model, full_check=True)
    save(model, path)


def strip(model: onnx.ModelProto) -> None:
    """Remove what is not the computation: stack traces with paths of this machine, shapes of intermediates."""
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    graph = model.graph
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    graph.ClearField("value_info")
    graph.name = "encoder"


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write with deterministic serialisation: same model, same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))
