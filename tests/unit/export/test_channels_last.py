import numpy as np
import onnx
import onnxruntime as ort

from export.channels_last import channels_last
from onboard.infer.bundle import load_bundle
from onboard.sense.tiles import channels_last as fed_last


def test_channels_last_change_no_byte():
    """Four channels, and five, which are filled up to eight: against the same graph plane by plane."""
    graph = onnx.load(load_bundle("rgbn").artefact("onnx", "int8").path)
    (turn, *_, flat_turn) = [node for node in graph.graph.node if node.op_type == "Transpose"]
    assert [dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim][1:] == [32, 32, 4]
    rng = np.random.default_rng(0)
    weights = {item.name: item for item in graph.graph.initializer}

    def quantised(node):
        (source,) = [other for other in graph.graph.node if other.output[0] == node.input[1]]
        return weights[source.input[0]]

    def latents(model, fed):
        options = {"providers": ["CPUExecutionProvider"]}
        return ort.InferenceSession(model.SerializeToString(), **options).run(None, {"tile": fed})[0]

    stored = rng.integers(0, 256, (9, 5, 32, 32)).astype(np.uint8)
    last = latents(graph, fed_last(stored[:, :4], 4))
    # back to planes
    (gemm,) = [node for node in graph.graph.node if node.op_type == "Gemm"]
    rows = onnx.numpy_helper.to_array(quantised(gemm))
    planes = rows.reshape(len(rows), 4, 4, -1).transpose(0, 3, 1, 2).reshape(rows.shape)
    quantised(gemm).CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(planes), quantised(gemm).name))
    for node in (turn, flat_turn):
        for other in graph.graph.node:
            other.input[:] = [node.input[0] if name == node.output[0] else name for name in other.input]
        graph.graph.node.remove(node)
    shape = graph.graph.input[0].type.tensor_type.shape
    for dim, size in zip(shape.dim[1:], (4, 32, 32), strict=True):
        dim.dim_value = size
    assert np.array_equal(latents(graph, stored[:, :4]), last)
    # a fifth band
    conv = next(node for node in graph.graph.node if node.op_type == "Conv")
    old = onnx.numpy_helper.to_array(quantised(conv))
    five = np.concatenate([old, rng.integers(-63, 64, (old.shape[0], 1, 3, 3), dtype=np.int8)], 1)
    quantised(conv).CopyFrom(onnx.numpy_helper.from_array(five, quantised(conv).name))
    shape.dim[1].dim_value = 5
    plain = latents(graph, stored)
    assert (plain != last).any()
    channels_last(graph.graph)
    assert [dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim][1:] == [32, 32, 8]
    assert np.array_equal(latents(graph, fed_last(stored, 8)), plain)
