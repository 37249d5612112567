"""What a score costs: learnt numbers in use, and processor time per tile against three past looks, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ground.scenes.history import History, Judge, fly_history
from onboard.change.rule import ScoreRule
from onboard.config import DetectConfig
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder, fastest, load_encoder
from onboard.sense.grid import CELL
from onboard.sense.stream import open_stream

STREAM = "sim:7?size=576&passes=4&disaster=flood&cloud=0"
"""324 cells with a flood, so that everything that a scene can open is open."""
REPEATS = 7
TILES = 256


@dataclass(frozen=True)
class Cost:
    """Of one rule.

    Attributes:
        parameters: of the networks that it asks.
        score_us: processor time to compare a tile with its history, microseconds.
        encode_us: to encode it; 0 where no latent is asked for.
    """

    parameters: int
    score_us: float
    encode_us: float


class Meter:
    """Measures rules of one bundle on the same records."""

    def __init__(self, model: Bundle) -> None:
        self._model, self._config = model, DetectConfig(bundle=model.name, threads=1)
        self._encoder: Encoder = load_encoder(model, "onnx", "int8")
        self._history: History = fly_history(open_stream(STREAM), model, self._encoder, self._config)
        self._encode_us = self._encoding()

    def measure(self, rule: ScoreRule) -> Cost:
        """The least of several repetitions: what disturbs a measurement only ever adds."""
        model, cells = self._model, self._history.rows * self._history.cols
        judge = Judge(self._history, model, self._encoder, rule, self._config)
        last = len(self._history.times) - 1
        past = judge.past_of(last)
        judge.score(last, past)  # fits what is usual, which is not measured
        spent = min(_seconds(lambda: judge.score(last, past)) for _ in range(REPEATS))
        latents = rule.rule != "surprise" or rule.latent > 0
        heads = 0
        if model.cloud is not None:
            heads += model.cloud.relative.size + model.cloud.absolute.size + 2 * model.cloud.bias.size + 1
        if model.event is not None and rule.rule == "surprise" and rule.event > 0:
            heads += 4 * model.event.now.size + model.event.residual.size + 2 * model.event.bias.size + 1
        encoder = int(model.model["parameters"]) if latents else 0
        return Cost(encoder + heads, 1e6 * spent / cells, self._encode_us if latents else 0.0)

    def _encoding(self) -> float:
        """Microseconds of processor time to encode a tile, in whole batches."""
        shape = (TILES, len(self._model.bands), CELL, CELL)
        tiles = fastest(self._encoder, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
        latents = np.empty((TILES, self._model.latent), dtype=np.uint8)
        self._encoder.encode(tiles, latents)
        return 1e6 * min(_seconds(lambda: self._encoder.encode(tiles, latents)) for _ in range(REPEATS)) / TILES


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
