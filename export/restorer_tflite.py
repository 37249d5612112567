"""A restoring network -> TFLite, fp32 and INT8 from end to end: planes in, correction out, as `restorer_onnx`.

Input `planes` (1, h, w, 4 (B + map)), output `correction` (1, h, w, 4 scale^2 B), channels last. The file is made for
one size; a convolution has none of its own, so that the runtime gives it that of each block.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export import litert
from export.artefact import Affine
from export.litert import quietly
from export.restorer_onnx import CENTRED, INPUT, OUTPUT
from ground.models.anchored import UNSHUFFLE, Anchored

SIDE = 32
"""Of the size that stands in the file."""
KEPT = {"minmax": 1.0, "percentile": 0.99999}
"""Share of what a layer gives that its range holds, by what the range is called."""


class ChannelsLast(nn.Module):
    """planes float32 (1, h, w, P) -> {"correction": float32 (1, h, w, C)}."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, planes: Tensor) -> dict[str, Tensor]:
        """See the class; the argument's name is the tensor's name in the file."""
        return {OUTPUT: self.body(planes.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)}


def export_restorer(net: Anchored, path: Path, body: nn.Module | None = None) -> None:
    """Write the fp32 graph.

    Args:
        body: written in place of the network's own, whose shape it has.

    Raises:
        RuntimeError: litert-torch is not installed.
    """
    planes = torch.zeros(1, SIDE, SIDE, UNSHUFFLE**2 * (net.bands + int(net.noise_map)))
    litert.write(ChannelsLast(body or net.folded().body), {INPUT: planes}, path)


def ranges(body: nn.Sequential, planes: NDArray[np.float32], kept: float) -> list[tuple[float, float]]:
    """Least and greatest of what each convolution gives behind its ReLU, without the share 1 - `kept` at each end.

    The converter's own ranges follow a moving mean of each sample's, which cuts off what few samples hold.

    Args:
        body: convolutions and ReLUs, as they stand in the file.
        planes: float32 (n, P, h, w) in -1..1, real ones.
    """
    layers, found, seen = list(body), [], torch.from_numpy(planes)
    for at, layer in enumerate(layers):
        with torch.no_grad():
            seen = layer(seen)
        if isinstance(layer, nn.ReLU) or at + 1 == len(layers):
            low, high = np.quantile(seen.numpy(), (1 - kept, kept)).tolist()
            found.append((min(low, 0.0), max(high, 0.0)))
    return found


def quantise(
    fp32: Path, path: Path, planes: NDArray[np.float32], outside: Sequence[tuple[float, float]]
) -> tuple[Affine, Affine]:
    """Write the integer graph: int8 activations, int8 weights per channel.

    Args:
        fp32: from `export_restorer`.
        planes: float32 (n, P, SIDE, SIDE) in -1..1, real ones.
        outside: of each layer, from `ranges`.

    Returns:
        uint8 scale of the input and of the output.

    Raises:
        RuntimeError: part of the graph would run in float, or it holds other layers.
    """
    with quietly():
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe

        first = np.ascontiguousarray(planes[:1].transpose(0, 2, 3, 1))
        signature = next(iter(Interpreter(str(fp32)).get_signature_list()))
        work = quantizer.Quantizer(str(fp32), recipe.static_wi8_ai8())
        known: dict[str, dict[str, Any]] = dict(work.calibrate({signature: [{INPUT: first}]}, num_threads=1))
        source, *layers = known  # in the order in which they are computed
        if not source.endswith(f"_{INPUT}") or len(layers) != len(outside):
            raise RuntimeError(f"{fp32.name}: {len(layers)} layers behind {source}, expected {len(outside)}")
        inside = (-128 * CENTRED.scale, 127 * CENTRED.scale)
        for name, ends in zip(known, (inside, *outside), strict=True):
            for key, value in zip(("min", "max"), ends, strict=True):
                known[name][key] = np.full_like(known[name][key], value)
        path.write_bytes(bytes(work.quantize(known, enable_progress_report=False).quantized_model))
    return litert.integer_ends(path, CENTRED)


def run_integer(path: Path, planes: NDArray[np.float32], outside: Affine) -> NDArray[np.float32]:
    """What the integer graph gives for planes (n, P, SIDE, SIDE) in -1..1, as numbers; `outside` from `quantise`."""
    with quietly():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    source, target = (ends()[0]["index"] for ends in (interpreter.get_input_details, interpreter.get_output_details))
    found = []
    for one in np.rint(planes.transpose(0, 2, 3, 1) / np.float32(CENTRED.scale)).clip(-128, 127).astype(np.int8):
        interpreter.set_tensor(source, one[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target).transpose(0, 3, 1, 2).astype(np.float32))
    return (np.concatenate(found) - np.float32(outside.zero_point - 128)) * np.float32(outside.scale)
