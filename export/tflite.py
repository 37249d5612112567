"""Checkpoint -> TFLite of the encoder's mu, fp32 and INT8 from end to end, the same bytes every time.

Input `tile` (16, B, 32, 32), of a fixed batch; output `latent` (16, latent). LiteRT is channels-last: the graph turns
its input once, which costs it a sixth of what NumPy takes, and since the last matrix is a convolution over its whole
4 x 4 input, nothing else is turned. BatchNorm is folded.

INT8 by ai-edge-quantizer (Jacob et al. 2018, arXiv:1712.05877): int8 activations per tensor, int8 weights per channel.
The input's range is pinned, so that the flight software's table makes it: int8 = uint8 - 128.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from export import litert
from export.artefact import INPUT, OUTPUT, Affine
from export.calibration import USUAL, Choice, ranges
from export.litert import quietly
from export.quantise import input_scale
from ground.models.ravaen import TILE, Encoder
from ground.training.encoder import TrainedEncoder

BATCH = 16
"""Tiles per call, fixed in the file. 16 is as fast as 64, and the last call of a strip of 343 cells wastes less."""


class Planes(nn.Module):
    """tile float32 (N, B, 32, 32) -> {"latent": mu float32 (N, latent)}."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.down = nn.Sequential(*[_folded(*block.children()) for block in encoder.down.children()])
        weight, side = encoder.mu.weight, TILE // 8
        self.mu = nn.Conv2d(weight.shape[1] // side**2, weight.shape[0], side)
        self.mu.weight = nn.Parameter(weight.detach().reshape(weight.shape[0], -1, side, side))
        self.mu.bias = nn.Parameter(encoder.mu.bias.detach())

    def forward(self, tile: Tensor) -> dict[str, Tensor]:
        """See the class; the argument's name is the tensor's name in the file."""
        return {OUTPUT: torch.flatten(self.mu(self.down(tile)), 1)}


def _folded(conv: nn.Module, norm: nn.Module, activation: nn.Module) -> nn.Sequential:
    """A block without its BatchNorm, whose scale and offset go into the convolution."""
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return nn.Sequential(fuse_conv_bn_eval(conv, norm), activation)


def export_encoder(trained: TrainedEncoder, path: Path) -> None:
    """Write the fp32 graph.

    Raises:
        RuntimeError: litert-torch is not installed.
    """
    net = Planes(trained.net.encoder.eval())
    litert.write(net, {INPUT: torch.zeros(BATCH, len(trained.recipe.bands), TILE, TILE)}, path)


def quantise(
    fp32: Path, path: Path, tiles: NDArray[np.float32], limit: float, choice: Choice = USUAL
) -> tuple[Affine, Affine]:
    """Write the integer graph.

    Args:
        fp32: from `export_encoder`.
        path: where to.
        tiles: real tiles for calibration, float32 (n, B, 32, 32), normalised.
        limit: of the normalisation rule; fixes the input's scale.
        choice: how scales are found.

    Returns:
        uint8 scale of the input and of the output.

    Raises:
        RuntimeError: part of the graph would run in float.
    """
    with quietly():
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe

        whole = (
            tiles[: len(tiles) // BATCH * BATCH] if len(tiles) >= BATCH else np.resize(tiles, (BATCH, *tiles.shape[1:]))
        )
        batches = whole.reshape(-1, BATCH, *whole.shape[1:])
        signature = next(iter(Interpreter(str(fp32)).get_signature_list()))
        rules: Any = recipe.static_wi8_ai8()
        for rule in rules:
            rule["op_config"]["activation_tensor_config"]["symmetric"] = choice.symmetric
            if not choice.per_channel:
                rule["op_config"]["weight_tensor_config"]["granularity"] = "TENSORWISE"
        work = quantizer.Quantizer(str(fp32), rules)
        known: dict[str, dict[str, Any]] = dict(work.calibrate({signature: [{INPUT: batches[0]}]}, num_threads=1))
        for name, (low, high) in ranges(_activations(fp32, batches, set(known)), choice).items():
            known[name] = {"min": np.full_like(known[name]["min"], low), "max": np.full_like(known[name]["max"], high)}
        pinned = input_scale(limit)
        (source,) = [name for name in known if name.endswith(f"_{INPUT}")]
        for key, steps in (("min", -127 if choice.symmetric else -128), ("max", 127)):
            known[source][key] = np.full_like(known[source][key], steps * pinned.scale)
        path.write_bytes(bytes(work.quantize(known, enable_progress_report=False).quantized_model))
    return litert.integer_ends(path, pinned)


def _activations(fp32: Path, batches: NDArray[np.float32], names: set[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What every named tensor holds, batch by batch."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(fp32), experimental_preserve_all_tensors=True, num_threads=1)
    interpreter.allocate_tensors()
    index = {one["name"]: one["index"] for one in interpreter.get_tensor_details() if one["name"] in names}
    for batch in batches:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        yield {name: interpreter.get_tensor(at) for name, at in index.items()}
