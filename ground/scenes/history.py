"""A stream flown to its end by the flight loop, and everything that was remembered of it, as arrays over time.

The memory forgets nothing here, so that a look can be scored again on the ground: against other past passes than the
flight chose from, or later looks against the same past. Records and statistics are the flight software's own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard.change.pair import Comparison
from onboard.change.prescan import statistics_from_list
from onboard.change.record import Records, is_clear, record_dtype, unpack_valid
from onboard.change.rule import ScoreRule
from onboard.change.score import score_cells
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.change.usual import fit_history
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.errors import InputError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.loop import Detector
from onboard.report.collect import collect
from onboard.sense.chunks import Chunk
from onboard.sense.normalise import BandStatistics
from onboard.sense.stream import Stream
from onboard.store import Store

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class History:
    """All looks at one place, in time order.

    Attributes:
        times: sensing times, UTC, (T,).
        rows, cols: of cells; N = rows * cols.
        records: of each look, (T, N), row by row of cells.
        statistics: of each look's bands, in the bundle's order.
        score: what the flight loop scored, float32 (T, N), nan where it did not.
        truth: share of truly changed pixels of the last look, float32 (N,) (simulated streams), else None.
        refused: acquisitions in which nothing could be seen.
    """

    times: tuple[datetime, ...]
    rows: int
    cols: int
    records: Records
    statistics: tuple[tuple[BandStatistics, ...], ...]
    score: F32
    truth: F32 | None
    refused: int

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Which cells were clear, bool (T, N)."""
        return is_clear(self.records)

    def spectra(self) -> tuple[F32, NDArray[np.bool_]]:
        """Remembered means of the 10 m bands, standardised, float32 (T, N, F, 64); valid ones of clear cells, bool
        (T, N, 64)."""
        x = (self.records["fine"].astype(np.float32) - INPUT_ZERO) * np.float32(INPUT_STEP)
        valid = np.stack([unpack_valid(np.ascontiguousarray(look)) for look in self.records["valid"]])
        return x, valid & self.clear[:, :, None]


def fly_history(stream: Stream, model: Bundle, encoder: Encoder, config: DetectConfig) -> History:
    """Fly a stream with a memory that forgets nothing.

    Raises:
        InputError: fewer than two acquisitions could be looked at.
    """
    config = replace(config, budget_bytes=0, pictures=0, keep_passes=len(stream.acquisitions) + 1)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        run = Detector(config, model, encoder, store, Stages()).detect([stream])
        passes = collect(store, run, [stream], config, model, encoder, {}, 0.0).passes
        if len(passes) < 2:
            raise (
                run.refused[0] if run.refused else InputError(stream.spec, "a history needs two acquisitions", "short")
            )
        grid = next(iter(run.grids.values()))
        dtype = record_dtype(model.latent, model.bands)
        end = passes[-1].sensing_time.replace(year=9999)
        past = {one.key: one for one in store.memory.past(grid, end, encoder.artefact.sha256, dtype, len(passes))}
        rows, cols = passes[0].score.shape
        records = np.zeros((len(passes), rows * cols), dtype=dtype)
        statistics = []
        for look, one in enumerate(passes):
            known = past[f"{one.sensing_time.isoformat()} {one.product_id}"]
            records[look] = store.memory.read(known.id, Chunk(0, 0, 0, rows, cols), dtype)[0]
            statistics.append(statistics_from_list(known.statistics))
        truth = passes[-1].truth
        return History(
            tuple(one.sensing_time for one in passes), rows, cols, records, tuple(statistics),
            np.stack([one.score.reshape(-1) for one in passes]), None if truth is None else truth.reshape(-1),
            len(run.refused),
        )  # fmt: skip


class Judge:
    """Scores any look of a history against any past, as the flight loop would have.

    Args:
        history: of a scene small enough for the pre-scan to have taken all of it.
        rule: which distance.
    """

    def __init__(
        self, history: History, model: Bundle, encoder: Encoder, rule: ScoreRule, config: DetectConfig
    ) -> None:
        self._history, self._bands, self._rule, self._config = history, model.bands, rule, config
        self._output, self._event = encoder.artefact.output, model.event
        self._known: dict[tuple[int, tuple[int, ...]], list[Comparison | None]] = {}

    def score(self, look: int, past: Sequence[int]) -> F32:
        """Score of each cell, float32 (N,), nan where unknown.

        Args:
            look: index of the look.
            past: indices of earlier looks, newest first.
        """
        records = self._history.records
        pairs: list[tuple[Records, Comparison | None]] = [
            (records[earlier], comparison)
            for earlier, comparison in zip(past, self._comparisons(look, tuple(past)), strict=True)
            if comparison is not None or self._rule.rule != "surprise"
        ]
        return score_cells(records[look], pairs, self._rule, self._output, self._config.history)

    def past_of(self, look: int) -> list[int]:
        """The passes that the flight loop searches, newest first."""
        return list(range(look - 1, max(look - 1 - self._config.lookback, -1), -1))

    def _comparisons(self, look: int, past: tuple[int, ...]) -> list[Comparison | None]:
        if self._rule.rule != "surprise":
            return [None] * len(past)
        if (look, past) not in self._known:
            self._known[look, past] = self._fit(look, past)
        return self._known[look, past]

    def _fit(self, look: int, past: tuple[int, ...]) -> list[Comparison | None]:
        records, statistics = self._history.records, self._history.statistics
        old = [(records[earlier], statistics[earlier]) for earlier in past]
        models = fit_history(
            records[look], statistics[look], old, self._rule, self._bands, self._output, self._config.history,
            self._event,
        )  # fmt: skip
        return [
            None
            if model is None
            else Comparison(model, self._rule, self._bands, statistics[look], statistics[earlier], self._event)
            for model, earlier in zip(models, past, strict=True)
        ]
