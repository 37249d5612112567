"""Do the artefacts give the checkpoint's latents? Measured on real tiles, best on places never trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from export.artefact import INPUT, OUTPUT, Affine, Made
from ground.models.ravaen import MuOnly
from ground.training.encoder import TrainedEncoder
from onboard.sense.tiles import channels_last

F32 = NDArray[np.float32]
BATCH = 256


def torch_latents(trained: TrainedEncoder, tiles: F32) -> F32:
    """mu of the checkpoint itself, float32 (n, latent)."""
    net = MuOnly(trained.net.encoder).eval()
    with torch.no_grad():
        batches = (torch.from_numpy(tiles[i : i + BATCH]) for i in range(0, len(tiles), BATCH))
        return np.concatenate([net(batch).numpy() for batch in batches])


def onnx_latents(path: Path, tiles: F32, scales: tuple[Affine, Affine] | None = None, threads: int = 1) -> F32:
    """Latents of an artefact as real numbers, float32 (n, latent).

    Args:
        path: an ONNX file with input `tile`, of an integer graph with its channels last, and output `latent`.
        tiles: float32 (n, B, 32, 32), normalised.
        scales: of input and output for an integer graph, None for a float one.
        threads: of ONNX Runtime.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    out = []
    for i in range(0, len(tiles), BATCH):
        x = tiles[i : i + BATCH]
        if scales is None:
            out.append(session.run([OUTPUT], {INPUT: x})[0])
        else:
            fed = channels_last(to_uint8(x, scales[0]), session.get_inputs()[0].shape[-1])
            z = session.run([OUTPUT], {INPUT: fed})[0]
            out.append((z.astype(np.float32) - scales[1].zero_point) * np.float32(scales[1].scale))
    return np.concatenate(out)


def tflite_latents(path: Path, tiles: F32, scales: tuple[Affine, Affine] | None = None) -> F32:
    """As `onnx_latents`, of a TFLite file, whose integers are int8 and whose batch is fixed."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    batch, out = int(source["shape"][0]), []
    for i in range(0, len(tiles), batch):
        x = np.zeros((batch, *tiles.shape[1:]), np.float32)
        x[: len(tiles[i : i + batch])] = tiles[i : i + batch]
        fed = x if scales is None else (to_uint8(x, scales[0]) ^ 0x80).view(np.int8)
        interpreter.set_tensor(source["index"], fed)
        interpreter.invoke()
        z = interpreter.get_tensor(target["index"])[: len(tiles) - i].astype(np.float32)
        out.append(z if scales is None else (z + 128 - scales[1].zero_point) * np.float32(scales[1].scale))
    return np.concatenate(out)


def latents(made: Made, tiles: F32) -> F32:
    """Latents of an artefact in its own runtime as real numbers, float32 (n, latent)."""
    run = tflite_latents if made.runtime == "tflite" else onnx_latents
    return run(made.path, tiles, made.scales)


def to_uint8(values: F32, affine: Affine) -> NDArray[np.uint8]:
    """Round half to even and saturate, as ONNX QuantizeLinear and `onboard.sense.normalise.quantised_table` do."""
    return np.clip(np.rint(values / np.float32(affine.scale)) + affine.zero_point, 0, 255).astype(np.uint8)


def agreement(reference: F32, other: F32) -> dict[str, float]:
    """Of latents (n, latent): largest absolute error, signal to noise in dB, and cosine per tile (minimum, median).

    A tile whose reference is all zero has no direction and is left out of the cosine.
    """
    error = np.abs(reference - other)
    norm = np.linalg.norm(reference, axis=1) * np.linalg.norm(other, axis=1)
    cosine = (reference * other).sum(1)[norm > 0] / norm[norm > 0]
    noise = float(np.square(error, dtype=np.float64).mean())
    signal = float(np.square(reference, dtype=np.float64).mean())
    return {
        "max_abs_error": float(error.max()),
        "max_abs_latent": float(np.abs(reference).max()),
        "snr_db": float(10 * np.log10(signal / noise)) if noise > 0 else float("inf"),
        "cosine_min": float(cosine.min()),
        "cosine_median": float(np.median(cosine)),
    }


def report(
    trained: TrainedEncoder,
    artefacts: Sequence[Made],
    tiles: F32,
    places: tuple[str, ...],
    detection: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What goes into `parity.json`.

    Args:
        artefacts: what is compared with the checkpoint.
        tiles: real tiles, float32 (n, B, 32, 32).
        places: where they come from.
        detection: change in average precision, measured elsewhere (`ground evaluate`), merged in as it is.
    """
    reference = torch_latents(trained, tiles)
    report: dict[str, Any] = {"tiles": len(tiles), "places": list(places)}
    report |= {one.kind: agreement(reference, latents(one, tiles)) for one in artefacts}
    return report | ({"detection": dict(detection)} if detection else {})
