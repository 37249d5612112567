"""Known answers: tiles that come with a bundle, and the latents that its artefacts gave for them on the ground.

Run at start and between chunk groups, they tell a model that no longer gives the numbers it gave: a flipped bit in its
weights, a runtime that was exchanged, a processor that rounds in its own way. A bundle without them is held to what its
model gave when it was loaded.
"""

from __future__ import annotations

import hashlib
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.errors import BundleError, ModelError
from onboard.infer.bundle import TILES, Bundle, known_file
from onboard.infer.runtime import Encoder, fastest, load_encoder
from onboard.sense.grid import CELL

STEPS = {"int8": 0, "fp32": 1}
"""How far a latent may be from the known one, in steps of its uint8 scale: integers are exact, floats may round."""
OTHER_ENGINE_STEPS = 1
"""More for tflite_runtime: the answers are LiteRT's, and its older kernels round 8 % of the latents by one step."""
TIMED = 5


def run(bundle: Bundle, key: str, tiles: bytes) -> NDArray[np.uint8]:
    """uint8 latents (n, latent) of uint8 tiles (n, B, 32, 32) by one artefact, loaded for it."""
    runtime, _, precision = key.partition("-")
    return answer(load_encoder(bundle, runtime, precision), whole_tiles(bundle, tiles), bundle.latent)


def whole_tiles(bundle: Bundle, tiles: bytes) -> NDArray[np.uint8]:
    """uint8 (n, B, 32, 32); BundleError where the bytes are no whole tiles."""
    shape = (len(bundle.bands), CELL, CELL)
    count, rest = divmod(len(tiles), int(np.prod(shape)))
    if count == 0 or rest:
        raise BundleError(f"bundle {bundle.name}: {len(tiles)} bytes of known tiles are not whole tiles of {shape}")
    return np.frombuffer(tiles, np.uint8).reshape(count, *shape)


def answer(encoder: Encoder, tiles: NDArray[np.uint8], latent: int) -> NDArray[np.uint8]:
    """uint8 latents (n, latent) of uint8 tiles (n, B, 32, 32), or as the encoder takes them fastest."""
    # a float network sees exactly what the integer one sees (onboard/change/look.py)
    fed: NDArray[Any] = tiles
    if encoder.input_dtype != np.uint8:
        fed = (tiles.astype(np.float32) - 128) * np.float32(1 / 24)
    out = np.empty((len(tiles), latent), np.uint8)
    encoder.encode(np.ascontiguousarray(fed), out)
    return out


class SelfCheck:
    """Holds a loaded model to its known answers.

    Args:
        bundle, encoder: what is loaded.

    Raises:
        ModelError: it does not give its known answers even now.
    """

    def __init__(self, bundle: Bundle, encoder: Encoder) -> None:
        self._bundle, self._encoder = bundle, encoder
        key = encoder.artefact.key
        bands = len(bundle.bands)
        pattern = np.arange(4 * bands * CELL * CELL, dtype=np.uint32).reshape(4, bands, CELL, CELL)
        kept = bundle.known.get(TILES)
        self._tiles = (pattern * 2654435761 >> 24).astype(np.uint8) if kept is None else whole_tiles(bundle, kept)
        if encoder.input_dtype == np.uint8:
            self._tiles = fastest(encoder, self._tiles)  # turned once
        expected = bundle.known.get(known_file(key))
        self._steps = STEPS.get(key.rpartition("-")[2], 0)
        if encoder.engine == "tflite_runtime":
            self._steps += OTHER_ENGINE_STEPS
        shape = (len(self._tiles), bundle.latent)
        if expected is None:
            self._expected = answer(encoder, self._tiles, bundle.latent)
        elif len(expected) != shape[0] * shape[1]:
            raise ModelError(f"bundle {bundle.name}: {key} comes with {len(expected)} known numbers, not {shape}")
        else:
            self._expected = np.frombuffer(expected, np.uint8).reshape(shape)
        self.run()

    def run(self) -> None:
        """The file still has its hash and the model still gives its known answers; ModelError otherwise."""
        artefact = self._encoder.artefact
        try:
            digest = hashlib.sha256(artefact.path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{artefact.path}: cannot be read any more ({error.strerror})") from error
        if digest != self._bundle.artefacts[artefact.key].sha256:
            raise ModelError(f"{artefact.path}: its hash is not what it was")
        given = answer(self._encoder, self._tiles, self._bundle.latent)
        off = int(np.abs(given.astype(int) - self._expected).max())
        if off > self._steps:
            raise ModelError(f"{artefact.path}: {artefact.key} does not give its known answers ({off} steps off)")

    def us_per_tile(self) -> float:
        """Processor time of a tile in microseconds, the best of a few runs; what else runs here counts little."""
        best = np.inf
        for _ in range(TIMED):
            start = thread_time()
            answer(self._encoder, self._tiles, self._bundle.latent)
            best = min(best, thread_time() - start)
        return float(best / len(self._tiles) * 1e6)
