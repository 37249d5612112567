"""Picks the runtime by name; the rest of the code sees only `Encoder` and cannot tell which runs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard.infer.bundle import Artefact, Bundle


class Encoder(Protocol):
    """A loaded encoder. `encode` fills uint8 latents (N, latent) from tiles (N, B, 32, 32) of `input_dtype`."""

    artefact: Artefact
    batch: int
    input_dtype: np.dtype[Any]

    def encode(self, tiles: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """See `OnnxEncoder.encode`."""


RUNTIMES = ("onnx",)


def load_encoder(
    bundle: Bundle, runtime: str = "onnx", precision: str = "int8", threads: int = 1, batch: int = 64
) -> Encoder:
    """The bundle's encoder in a runtime, ready to run.

    Raises:
        BundleError: the bundle has no such artefact, or the runtime refuses it.
    """
    artefact = bundle.artefact(runtime, precision)
    from onboard.infer.onnx import OnnxEncoder

    return OnnxEncoder(artefact, threads, batch)
