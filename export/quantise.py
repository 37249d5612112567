"""fp32 ONNX -> an encoder of integers from end to end: uint8 tile in, uint8 latent out.

Static quantisation (Jacob et al. 2018, arXiv:1712.05877) as ONNX Runtime writes it in QDQ form: activations uint8 per
tensor, weights int8 per output channel. Weights take 7 bits only (`reduce_range`): on x86 without VNNI a pair of
uint8 x int8 products is summed in 16 bits with saturation, 2 * 255 * 127 overflows it, 2 * 255 * 63 does not. So every
processor gives the same bytes, for about half a bit of weight precision.

The QuantizeLinear at the input and the DequantizeLinear at the output are then cut off. The flight software makes the
uint8 tile by table lookup and keeps the uint8 latent as it comes; both scales stand in the bundle's manifest.

Tiles come with their channels last, as ONNX Runtime computes (`channels_last.py`).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.artefact import INPUT, OUTPUT, Affine
from export.calibration import USUAL, Choice, ranges
from export.channels_last import channels_last
from export.onnx import save
from export.quiet import quiet

INTEGER_OPS = {"Transpose", "QLinearConv", "QGemm", "Reshape", "Flatten"}
"""What may be left once ONNX Runtime has fused the graph. Anything else is a float island."""


class _Tiles(CalibrationDataReader):
    def __init__(self, tiles: NDArray[np.float32], batch: int = 64) -> None:
        self.batches = iter([{INPUT: tiles[i : i + batch]} for i in range(0, len(tiles), batch)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.batches, None)


def input_scale(limit: float) -> Affine:
    """The uint8 scale of a tile within +-limit. 0, the scene's median and the fill of no-data, is exactly 128."""
    return Affine(float(np.float32(limit / 127.0)), 128)


def quantise(
    fp32: Path, path: Path, tiles: NDArray[np.float32], limit: float, choice: Choice = USUAL
) -> tuple[Affine, Affine]:
    """Write the integer graph.

    Args:
        fp32: from `export.onnx.export_encoder`.
        path: where to.
        tiles: real tiles for calibration, float32 (n, B, 32, 32), normalised.
        limit: of the normalisation rule; fixes the input's scale.
        choice: how scales are found.

    Returns:
        Scale of the input and of the output.

    Raises:
        RuntimeError: ONNX Runtime would run part of the graph in float.
    """
    affine = input_scale(limit)
    scale, zero = np.array(affine.scale, np.float32), np.array(affine.zero_point, np.uint8)
    source = onnx.load(fp32)
    pins: dict[str, list[dict[str, Any]]] = {}
    if choice.method != "minmax":  # which is what ONNX Runtime finds by itself
        found = ranges(_activations(source, tiles), choice)
        pins = {name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in found.items()}
    pins[INPUT] = [{"scale": scale, "zero_point": zero, "quant_type": QuantType.QUInt8}]
    with tempfile.TemporaryDirectory() as folder, quiet(""):
        raw = Path(folder) / "qdq.onnx"
        quantize_static(
            source, raw, _Tiles(tiles), quant_format=QuantFormat.QDQ, per_channel=choice.per_channel, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": pins, "ActivationSymmetric": choice.symmetric},
        )  # fmt: skip
        model = onnx.load(raw)
    _cut_input(model.graph)
    output = _cut_output(model.graph)
    channels_last(model.graph)
    for item in (model.graph, *model.graph.node):
        item.ClearField("doc_string")
    model.graph.ClearField("value_info")
    onnx.helper.set_model_props(model, {prop.key: prop.value for prop in source.metadata_props})
    onnx.checker.check_model(model)
    save(model, path)
    islands = float_islands(path)
    if islands:
        raise RuntimeError(f"{path.name}: runs partly in float: {', '.join(islands)}")
    return affine, output


def _activations(fp32: onnx.ModelProto, tiles: NDArray[np.float32]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What every activation of the float graph holds, batch by batch."""
    model = onnx.ModelProto()
    model.CopyFrom(fp32)
    names = [name for node in model.graph.node for name in node.output if name != OUTPUT]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in _Tiles(tiles).batches:
        yield dict(zip([OUTPUT, *names], session.run([OUTPUT, *names], batch), strict=True))


def _cut_input(graph: onnx.GraphProto) -> None:
    """tile float -> QuantizeLinear -> q becomes tile uint8."""
    (node,) = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == INPUT]
    inner = node.output[0]
    graph.node.remove(node)
    for other in graph.node:
        for i, name in enumerate(other.input):
            if name == inner:
                other.input[i] = INPUT
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _cut_output(graph: onnx.GraphProto) -> Affine:
    """q -> DequantizeLinear -> latent float becomes latent uint8."""
    (node,) = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] == OUTPUT]
    inner, scale, zero = node.input
    graph.node.remove(node)
    for other in graph.node:  # the producer's own float output may carry the name `latent_...`, never `latent` itself
        for i, name in enumerate(other.output):
            if name == inner:
                other.output[i] = OUTPUT
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    values = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    return Affine(float(np.float32(values[scale].item())), int(values[zero].item()))


def optimised_ops(path: Path) -> Counter[str]:
    """Node types of the graph that ONNX Runtime really runs on this processor, with their counts."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        # One level below what flies: the last one changes layouts only, and its graph cannot be written portably.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.log_severity_level = 3
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def float_islands(path: Path) -> list[str]:
    """Operators of the fused graph that are not integer, sorted; empty for a fully integer graph."""
    return sorted(set(optimised_ops(path)) - INTEGER_OPS)
