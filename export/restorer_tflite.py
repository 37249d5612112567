"""A restoring network -> TFLite, fp32 and INT8 from end to end: planes in, correction out, as `restorer_onnx`.

Input `planes` (1, h, w, 4 (B + map)), output `correction` (1, h, w, 4 scale^2 B), channels last. The file is made for
one size; a convolution has none of its own, so that the runtime gives it that of each block.
"""

from __future__ import annotations

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


class ChannelsLast(nn.Module):
    """planes float32 (1, h, w, P) -> {"correction": float32 (1, h, w, C)}."""

    def __init__(self, net: Anchored) -> None:
        super().__init__()
        self.body = net.folded().body

    def forward(self, planes: Tensor) -> dict[str, Tensor]:
        """See the class; the argument's name is the tensor's name in the file."""
        return {OUTPUT: self.body(planes.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)}


def export_restorer(net: Anchored, path: Path) -> None:
    """Write the fp32 graph.

    Raises:
        RuntimeError: litert-torch is not installed.
    """
    planes = torch.zeros(1, SIDE, SIDE, UNSHUFFLE**2 * (net.bands + int(net.noise_map)))
    litert.write(ChannelsLast(net), {INPUT: planes}, path)


def quantise(fp32: Path, path: Path, planes: NDArray[np.float32]) -> tuple[Affine, Affine]:
    """Write the integer graph: int8 activations, int8 weights per channel.

    Args:
        fp32: from `export_restorer`.
        planes: float32 (n, P, SIDE, SIDE) in -1..1, real ones.

    Returns:
        uint8 scale of the input and of the output.

    Raises:
        RuntimeError: part of the graph would run in float.
    """
    with quietly():
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe

        last = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        signature = next(iter(Interpreter(str(fp32)).get_signature_list()))
        work = quantizer.Quantizer(str(fp32), recipe.static_wi8_ai8())
        known: dict[str, dict[str, Any]] = dict(
            work.calibrate({signature: [{INPUT: last[i : i + 1]} for i in range(len(last))]}, num_threads=1)
        )
        (source,) = [name for name in known if name.endswith(f"_{INPUT}")]
        for key, steps in (("min", -128), ("max", 127)):
            known[source][key] = np.full_like(known[source][key], steps * CENTRED.scale)
        path.write_bytes(bytes(work.quantize(known, enable_progress_report=False).quantized_model))
    return litert.integer_ends(path, CENTRED)
