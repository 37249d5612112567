"""ONNX Runtime behind the one face every runtime has: `encode(tiles) -> latents on the artefact's uint8 scale`."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.errors import BundleError
from onboard.infer.bundle import Artefact
from onboard.infer.scale import stored
from onboard.sense.grid import CELL
from onboard.sense.tiles import channels_last

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: 1.29+ writes a device id otherwise

import onnxruntime

CPU = "CPUExecutionProvider"


class OnnxEncoder:
    """An encoder in ONNX Runtime.

    Args:
        artefact: the file to run, checked by its bundle.
        threads: intra-op threads; inter-op is always 1.
        batch: tiles per call of the runtime.
    """

    def __init__(self, artefact: Artefact, threads: int = 1, batch: int = 64) -> None:
        self._session = open_session(artefact, threads)
        self.artefact = artefact
        self.batch = batch
        self.engine = "onnxruntime"
        self.input_dtype = np.dtype(artefact.input.dtype)
        self.channels, self._bands = _channels(self._session, artefact)

    def encode(self, tiles: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """Encode tiles in batches.

        Args:
            tiles: (N, B, 32, 32) of `input_dtype`, C-contiguous, or what `Encoder` says of `channels`.
            out: uint8 (N, latent), overwritten; latent = (stored - zero_point) * scale of the artefact's output.
        """
        name = self.artefact.input.name
        if self.channels and tiles.shape[1:] != (CELL, CELL, self.channels):
            if tiles.shape[1] != self._bands:
                raise ValueError(f"tiles of {tiles.shape[1]} bands for a network of {self._bands}")
            tiles = channels_last(tiles, self.channels)
        for start in range(0, len(tiles), self.batch):
            stop = min(start + self.batch, len(tiles))
            latent = self._session.run(None, {name: tiles[start:stop]})[0]
            if latent.dtype != np.uint8:
                latent = stored(latent, self.artefact)
            out[start:stop] = latent


def _channels(session: Any, artefact: Artefact) -> tuple[int, int]:
    """Channels of tiles that a network takes with these last (0: its bands come first), and how many of them are bands.

    Raises:
        BundleError: the file says of its bands what cannot be.
    """
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or shape[1:3] != [CELL, CELL] or not isinstance(shape[3], int):
        return 0, 0
    said = session.get_modelmeta().custom_metadata_map.get("bands", "null")
    try:
        bands = json.loads(said)
    except ValueError:
        bands = said
    if bands is None:
        return shape[3], shape[3]
    if not isinstance(bands, list) or not 0 < len(bands) <= shape[3]:
        raise BundleError(f"{artefact.path}: bands {said[:60]} for {shape[3]} channels")
    return shape[3], len(bands)


def _providers() -> list[str]:
    """Those of $ONBOARD_ORT_PROVIDERS that this ONNX Runtime has, then the CPU.

    Nothing but the CPU unless asked for: what a GPU rounds is its own, and its latents do not compare with a CPU's.
    """
    here = onnxruntime.get_available_providers()
    asked = [name.strip() for name in os.environ.get("ONBOARD_ORT_PROVIDERS", "").split(",")]
    return [*(name for name in asked if name in here and name != CPU), CPU]


def open_session(artefact: Artefact, threads: int = 1) -> Any:
    """An ONNX Runtime session whose one input and one output are those of the manifest.

    Raises:
        BundleError: the runtime refuses the file, or it is unlike its manifest.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a spinning thread is heat, not work
    try:
        session: Any = onnxruntime.InferenceSession(str(artefact.path), options, providers=_providers())
    except Exception as error:  # the runtime raises types of its own that it does not export
        raise BundleError(f"{artefact.path}: ONNX Runtime cannot load it ({_first_line(error)})") from error
    inputs = [item.name for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    if inputs != [artefact.input.name] or outputs != [artefact.output.name]:
        raise BundleError(
            f"{artefact.path}: inputs {inputs} and outputs {outputs}, the manifest promises "
            f"[{artefact.input.name}] and [{artefact.output.name}]"
        )
    return session


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
