"""A checkpoint in, every artefact out: the one place that knows which runtimes there are.

Integer artefacts are made of the checkpoint with plain rectifiers (`rectify.py`). Where no calibration of them reaches
the gates, the weights are trained on through the rounding (`qat.py`). Parity is with the checkpoint all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import onnx, parity, qat, quantise, tflite
from export.artefact import Made
from export.calibration import CHOICES, Choice, search
from export.gates import GATES, failures
from export.rectify import rectified
from ground.training.encoder import TrainedEncoder


@dataclass(frozen=True)
class Converted:
    """The artefacts; by runtime what was tried to calibrate them, best first; and whether they were trained on."""

    made: list[Made]
    searched: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    trained_on: list[str] = field(default_factory=list)


def all_artefacts(
    trained: TrainedEncoder,
    folder: Path,
    tiles: NDArray[np.float32],
    choices: Sequence[Choice] = CHOICES,
    with_tflite: bool = True,
    gates: Path = GATES,
    qat_steps: int = qat.STEPS,
) -> Converted:
    """Write ONNX, and TFLite where asked for, in fp32 and INT8.

    Args:
        folder: where to.
        tiles: real tiles to calibrate on and to choose by, float32 (n, B, 32, 32), normalised.
        choices: ways of quantising that are tried; the best of each runtime is kept.
        gates: what INT8 must reach on these tiles, else the weights are trained on; 0 `qat_steps` never do.

    Raises:
        RuntimeError: a graph runs partly in float, or litert-torch is not installed.
    """
    reference = parity.torch_latents(trained, tiles)
    plainly = rectified(trained)
    found = Converted([])
    for runtime, module in {"onnx": onnx, "tflite": tflite}.items():
        if runtime == "tflite" and not with_tflite:
            continue
        plain = Made(runtime, folder / f"fp32.{runtime}")
        module.export_encoder(trained, plain.path)  # type: ignore[attr-defined]
        base = Made(runtime, folder / f"rectified.{runtime}")
        module.export_encoder(plainly, base.path)  # type: ignore[attr-defined]
        integer, rows = _integer(base, folder, tiles, trained.recipe.rule.limit, choices, reference)
        figures = parity.agreement(reference, parity.latents(integer, tiles))
        if qat_steps and failures({integer.kind: figures}, gates):
            better = qat.train(plainly, tiles, reference, qat_steps)
            base = Made(runtime, folder / f"trained-on.{runtime}")
            module.export_encoder(better, base.path)  # type: ignore[attr-defined]
            after, after_rows = _integer(base, folder, tiles, trained.recipe.rule.limit, choices, reference, "-qat")
            if parity.agreement(reference, parity.latents(after, tiles))["snr_db"] > figures["snr_db"]:
                integer, rows = after, after_rows
                found.trained_on.append(runtime)
        found.made.extend([integer, plain])
        found.searched[runtime] = rows
    return found


def _integer(
    plain: Made, folder: Path, tiles: NDArray[np.float32], limit: float, choices: Sequence[Choice],
    reference: NDArray[np.float32], mark: str = "",
) -> tuple[Made, list[dict[str, Any]]]:  # fmt: skip
    """The best integer artefact of a float one, and what was tried."""
    module = {"onnx": quantise, "tflite": tflite}[plain.runtime]

    def make(choice: Choice) -> Made:
        path = folder / f"int8{mark}.{plain.runtime}"
        return Made(plain.runtime, path, module.quantise(plain.path, path, tiles, limit, choice))

    def measure(one: Made) -> dict[str, float]:
        return parity.agreement(reference, parity.latents(one, tiles))

    best, rows = search(make, measure, choices)
    return make(best), rows
