"""Which integer graph of a restoring network ships: each way of rounding its weights is tried on calibration crops.

Weights that were trained with their rounding are best left to it; others are best rounded one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from export import restorer_onnx, restorer_tflite
from export.artefact import Affine
from export.compensated import LITERT_LEVELS, compensated
from ground.models.anchored import UNSHUFFLE, Anchored

F32 = NDArray[np.float32]
Scales = tuple[Affine, Affine]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the ways are compared on.

    Attributes:
        given: images with their maps (n, P, h, w).
        wanted: what they should give (n, B, scale h, scale w).
        planes: what enters the convolutions, float32 (n, 4 P, h / 2, w / 2).
    """

    net: Anchored
    given: Tensor
    wanted: Tensor
    planes: F32

    @torch.no_grad()
    def error(self, corrected: F32) -> float:
        """Mean square of what the convolutions' output (n, 4 scale^2 B, h / 2, w / 2) leaves wrong."""
        net = self.net
        found = net.unmixed(pixel_shuffle(torch.from_numpy(corrected), UNSHUFFLE * net.scale))
        return float((net.anchor(self.given[:, : net.bands]) + found - self.wanted).square().mean())


def nearest_onnx(on: Calibration, fp32: Path, int8: Path) -> tuple[Scales, dict[str, str]]:
    """Write the integer graph that comes nearest: how its weights are rounded, and its ranges set.

    Returns:
        Scale of its input and of its output, and what was chosen.
    """
    grid, tried = fp32.with_name("grid.onnx"), fp32.with_name("tried.onnx")
    training_hash = onnx.load(fp32).metadata_props[0].value
    body = compensated(on.net.folded().body, torch.from_numpy(on.planes))
    restorer_onnx.export_restorer(on.net, grid, training_hash, body)
    found: dict[float, Any] = {}
    for (rounding, source), method in product((("each", fp32), ("compensated", grid)), restorer_onnx.METHODS):
        scales = restorer_onnx.quantise(source, tried, on.planes, method)
        error = on.error(restorer_onnx.run_integer(tried, on.planes, scales[1]))
        found[error] = (tried.read_bytes(), scales, {"rounding": rounding, "ranges": method})
    return _kept(found, int8)


def nearest_tflite(on: Calibration, fp32: Path, int8: Path) -> tuple[Scales, dict[str, str]]:
    """The same in TFLite, whose weights have more steps.

    Raises:
        RuntimeError: TFLite cannot be written.
    """
    grid, tried = fp32.with_name("grid.tflite"), fp32.with_name("tried.tflite")
    whole = on.net.folded().body
    body = compensated(whole, torch.from_numpy(on.planes), LITERT_LEVELS)
    restorer_tflite.export_restorer(on.net, grid, body)
    found: dict[float, Any] = {}
    for (rounding, source, layers), (method, kept) in product(
        (("each", fp32, whole), ("compensated", grid, body)), restorer_tflite.KEPT.items()
    ):
        outside = restorer_tflite.ranges(layers, on.planes, kept)
        scales = restorer_tflite.quantise(source, tried, on.planes, outside)
        error = on.error(restorer_tflite.run_integer(tried, on.planes, scales[1]))
        found[error] = (tried.read_bytes(), scales, {"tflite_rounding": rounding, "tflite_ranges": method})
    return _kept(found, int8)


def _kept(found: dict[float, Any], int8: Path) -> tuple[Scales, dict[str, str]]:
    """Write the graph of the least error, of (graph, scales, what was chosen) by error; the rest of it."""
    data, scales, chosen = found[min(found)]
    int8.write_bytes(data)
    return scales, chosen
