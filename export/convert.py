"""A checkpoint in, every artefact out: the one place that knows which runtimes there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export import onnx, quantise, tflite
from export.artefact import Made
from ground.training.encoder import TrainedEncoder


def all_artefacts(
    trained: TrainedEncoder, folder: Path, tiles: NDArray[np.float32], method: str = "minmax", with_tflite: bool = True
) -> list[Made]:
    """Write ONNX, and TFLite where asked for, in fp32 and INT8.

    Args:
        folder: where to.
        tiles: real tiles for calibration, float32 (n, B, 32, 32), normalised.
        method: key of `quantise.METHODS` for ONNX; TFLite is calibrated by minimum and maximum.

    Raises:
        RuntimeError: a graph runs partly in float, or litert-torch is not installed.
    """
    limit = trained.recipe.rule.limit
    float_onnx, float_tflite = Made("onnx", folder / "fp32.onnx"), Made("tflite", folder / "fp32.tflite")
    onnx.export_encoder(trained, float_onnx.path)
    scales = quantise.quantise(float_onnx.path, folder / "int8.onnx", tiles, limit, method)
    made = [Made("onnx", folder / "int8.onnx", scales), float_onnx]
    if with_tflite:
        tflite.export_encoder(trained, float_tflite.path)
        scales = tflite.quantise(float_tflite.path, folder / "int8.tflite", tiles, limit)
        made += [Made("tflite", folder / "int8.tflite", scales), float_tflite]
    return made
