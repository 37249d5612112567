"""A restoring network -> ONNX, fp32 and INT8: planes in, correction out; the anchor is computed by the flight software.

Input `planes` (N, 4 (B + map), h, w): the image as `Anchored.fed` centres it, after 2x2 pixel-unshuffle. Output
`correction` (N, 4 scale^2 B, h, w), to be shuffled back and added to the anchor, as a share of
full scale. N, h and w are free.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from torch import nn

from export.artefact import Affine
from export.onnx import save, strip
from export.quiet import quiet
from ground.models.anchored import UNSHUFFLE, Anchored

INPUT, OUTPUT = "planes", "correction"
CENTRED = Affine(float(np.float32(1 / 127)), 128)
"""The scale of the input."""
ALLOWED = {"Conv", "Relu"}
LEVELS = 255
METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}


def export_restorer(net: Anchored, path: Path, training_hash: str, body: nn.Module | None = None) -> None:
    """Write the fp32 graph of the folded network.

    Args:
        body: written in place of the network's own, whose shape it has.

    Raises:
        RuntimeError: the graph holds anything but convolutions and ReLUs.
    """
    body = body or net.folded().body
    planes = torch.zeros(2, UNSHUFFLE**2 * (net.bands + int(net.noise_map)), 24, 26)
    shapes = {axis: torch.export.Dim(name, min=1) for axis, name in ((0, "N"), (2, "h"), (3, "w"))}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet("torch.onnx", "onnxscript"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            body, (planes,), dynamo=True, input_names=[INPUT], output_names=[OUTPUT], dynamic_shapes=(shapes,),
            verbose=False,
        )  # fmt: skip
    model = program.model_proto
    strip(model)
    model.graph.name = "restorer"
    left = {node.op_type for node in model.graph.node} - ALLOWED
    if left:
        raise RuntimeError(f"exported graph holds {' '.join(sorted(left))}, expected only {' '.join(sorted(ALLOWED))}")
    onnx.helper.set_model_props(model, {"training_hash": training_hash})
    onnx.checker.check_model(model, full_check=True)
    save(model, path)


def quantise(fp32: Path, path: Path, planes: NDArray[np.float32], method: str = "minmax") -> tuple[Affine, Affine]:
    """Write the integer graph: uint8 in, uint8 out, weights int8 per channel in 7 bits (see `export.quantise`).

    Args:
        planes: float32 (n, P, h, w) in -1..1, real ones.
        method: key of `METHODS`.

    Returns:
        Scale of the input and of the output.
    """
    scale, zero = np.array(CENTRED.scale, np.float32), np.array(CENTRED.zero_point, np.uint8)
    pinned = {INPUT: [{"scale": scale, "zero_point": zero, "quant_type": QuantType.QUInt8}]}
    with tempfile.TemporaryDirectory() as folder, quiet(""):
        raw = Path(folder) / "qdq.onnx"
        quantize_static(
            onnx.load(fp32), raw, _Planes(planes), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=METHODS[method],
            extra_options={"TensorQuantOverrides": pinned},
        )  # fmt: skip
        model = onnx.load(raw)
    graph = model.graph
    (first,) = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == INPUT]
    (last,) = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] == OUTPUT]
    values = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    outside = Affine(float(np.float32(values[last.input[1]].item())), int(values[last.input[2]].item()))
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == first.output[0]:
                node.input[i] = INPUT
        for i, name in enumerate(node.output):
            if name == last.input[0]:
                node.output[i] = OUTPUT
    graph.node.remove(first)
    graph.node.remove(last)
    for item in (graph.input[0], graph.output[0]):
        item.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    for part in (graph, *graph.node):
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    onnx.helper.set_model_props(model, {prop.key: prop.value for prop in onnx.load(fp32).metadata_props})
    onnx.checker.check_model(model)
    save(model, path)
    return CENTRED, outside


def run_integer(path: Path, planes: NDArray[np.float32], outside: Affine) -> NDArray[np.float32]:
    """What the integer graph gives for planes (n, P, h, w) in -1..1, as numbers; `outside` from `quantise`."""
    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = (np.rint(planes / np.float32(CENTRED.scale)) + CENTRED.zero_point).clip(0, LEVELS).astype(np.uint8)
    found = np.concatenate([session.run(None, {INPUT: fed[i : i + 1]})[0] for i in range(len(fed))])
    return (found.astype(np.float32) - np.float32(outside.zero_point)) * np.float32(outside.scale)


class _Planes(CalibrationDataReader):
    def __init__(self, planes: NDArray[np.float32], batch: int = 16) -> None:
        self.batches = iter([{INPUT: planes[i : i + batch]} for i in range(0, len(planes), batch)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.batches, None)
