"""An integer graph whose tiles come with their channels last, filled up to a multiple of four.

ONNX Runtime computes integer convolutions with the channels last, and turns a tile that comes plane by plane first; the
flight software writes tiles in either order at the same price. MLAS has a direct integer convolution for channels that
are a multiple of four alone, and multiplies a matrix of copied pixels otherwise. Not a byte of the latents changes.
"""

from __future__ import annotations

import numpy as np
import onnx

from export.artefact import INPUT
from ground.models.ravaen import TILE

CHANNELS = 4
"""What their number is a multiple of."""


def channels_last(graph: onnx.GraphProto) -> None:
    """(N, B, 32, 32) at the input becomes (N, 32, 32, channels), in place; weights of channels too many are 0.

    Args:
        graph: uint8 tile -> DequantizeLinear -> Conv -> ... -> Reshape -> ... -> Gemm, in QDQ form.
    """
    (first,) = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == INPUT]
    (conv,) = [node for node in graph.node if node.op_type == "Conv" and node.input[0] == first.output[0]]
    weights = _weights(graph, conv)
    filled = _array(weights)  # (out, B, 3, 3)
    filled = np.pad(filled, ((0, 0), (0, -filled.shape[1] % CHANNELS), (0, 0), (0, 0)))
    weights.CopyFrom(onnx.numpy_helper.from_array(filled, weights.name))
    first.input[0] = "planes"
    graph.node.insert(0, onnx.helper.make_node("Transpose", [INPUT], ["planes"], perm=[0, 3, 1, 2]))
    shape = ["N", TILE, TILE, filled.shape[1]]
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, shape))
    _flatten_by_pixel(graph)


def _flatten_by_pixel(graph: onnx.GraphProto) -> None:
    """What the convolutions leave is flattened pixel by pixel, which is how it lies, and the product takes it so."""
    (flat,) = [node for node in graph.node if node.op_type in ("Reshape", "Flatten")]
    (gemm,) = [node for node in graph.node if node.op_type == "Gemm"]
    last = [node for node in graph.node if node.op_type == "Conv"][-1]
    channels = len(_array(_weights(graph, last)))
    weights = _weights(graph, gemm)
    rows = _array(weights)  # (latent, channels * side * side)
    side = int((rows.shape[1] // channels) ** 0.5)
    turned = rows.reshape(len(rows), channels, side, side).transpose(0, 2, 3, 1).reshape(rows.shape)
    weights.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(turned), weights.name))
    at = list(graph.node).index(flat)
    graph.node.insert(at, onnx.helper.make_node("Transpose", [flat.input[0]], ["by_pixel"], perm=[0, 2, 3, 1]))
    flat.input[0] = "by_pixel"


def _weights(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.TensorProto:
    """The quantised weights of a convolution or product."""
    (source,) = [other for other in graph.node if other.output[0] == node.input[1]]
    return next(item for item in graph.initializer if item.name == source.input[0])


def _array(item: onnx.TensorProto) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.asarray(onnx.numpy_helper.to_array(item))
