"""Picks the runtime by name; the rest of the code sees only `Encoder` and cannot tell which runs."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard.errors import BundleError
from onboard.infer.bundle import Artefact, Bundle
from onboard.sense.grid import CELL
from onboard.sense.tiles import channels_last

log = logging.getLogger("onboard.infer")


class Encoder(Protocol):
    """A loaded encoder. `encode` fills uint8 latents (N, latent) from tiles (N, B, 32, 32) of `input_dtype`.

    Where `channels` is not 0 it takes tiles (N, 32, 32, channels), too, and those faster: the bands, and 0 behind them.
    Several threads may call `encode` at once. `batch` is the number of tiles that fill one call of the runtime,
    `engine` the package that runs it. A float network whose latents are not finite raises ModelError.
    """

    artefact: Artefact
    batch: int
    channels: int
    engine: str
    input_dtype: np.dtype[Any]

    def encode(self, tiles: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """See `OnnxEncoder.encode`."""


def fastest(encoder: Encoder, tiles: NDArray[Any]) -> NDArray[Any]:
    """Tiles (N, B, 32, 32) as the encoder takes them fastest."""
    return channels_last(tiles, encoder.channels) if encoder.channels else tiles


def load_encoder(
    bundle: Bundle, runtime: str = "onnx", precision: str = "int8", threads: int = 1, batch: int = 64
) -> Encoder:
    """The bundle's encoder in a runtime, ready to run.

    Args:
        runtime: "onnx" or "tflite"; "auto" is the first of these that runs here. What one artefact remembered,
            another never reads: "auto" suits machines that keep their packages.
        precision: "int8" or "fp32".
        threads: of one call of the runtime.
        batch: tiles per call; a TFLite file has its own.

    Raises:
        BundleError: the bundle has no such artefact, or the runtime refuses it.
    """
    if runtime == "auto":
        try:
            return load_encoder(bundle, "onnx", precision, threads, batch)
        except BundleError as error:
            log.warning("TFLite it is: %s", error)
            return load_encoder(bundle, "tflite", precision, threads, batch)
    artefact = bundle.artefact(runtime, precision)
    if runtime == "tflite":
        from onboard.infer.tflite import TfliteEncoder

        return _tried(TfliteEncoder(artefact, threads), bundle)
    try:
        from onboard.infer.onnx import OnnxEncoder
    except ImportError as error:
        raise BundleError(f"ONNX Runtime cannot be imported ({error})") from error

    return _tried(OnnxEncoder(artefact, threads, batch), bundle)


def _tried(encoder: Encoder, bundle: Bundle) -> Encoder:
    """The encoder, once it has encoded a tile: a model unlike its manifest is found out before the stream is opened."""
    bands, latent = len(bundle.bands), bundle.latent
    try:
        encoder.encode(np.zeros((1, bands, CELL, CELL), encoder.input_dtype), np.empty((1, latent), np.uint8))
    except Exception as error:  # each runtime has exceptions of its own
        raise BundleError(
            f"{encoder.artefact.path}: does not make {latent} numbers of {bands} bands, as the manifest promises "
            f"({str(error).splitlines()[0][:200] if str(error) else type(error).__name__})"
        ) from error
    return encoder
