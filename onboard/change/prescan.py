"""The pre-scan: everything about an acquisition that is frozen, and stored, before its first chunk is scored.

From a sample of its cells (all of them where it is small): the statistics of each band, where the new pass lies against
the memory, and, for each past pass that it may be compared with, what is usual between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.event import EventHead
from onboard.change.look import Looker
from onboard.change.pair import PairModel
from onboard.change.record import Records, is_clear
from onboard.change.registration import Displacement, Sample, estimate
from onboard.change.rule import ScoreRule
from onboard.change.usual import fit_history
from onboard.errors import InputError
from onboard.infer.bundle import Tensor
from onboard.sense.acquisition import U16, Reader
from onboard.sense.aligned import read_chunk
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.sense.normalise import BandStatistics
from onboard.store.memory import Memory, PastPass


@dataclass(frozen=True)
class Frozen:
    """What the pre-scan found.

    Attributes:
        bands: statistics of each band of the bundle.
        displacement: where the new pass lies against the memory.
        pairs: by key of the past pass (`PastPass.key`), what is usual between it and the new one.
    """

    bands: tuple[BandStatistics, ...]
    displacement: Displacement
    pairs: Mapping[str, PairModel]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "bands": statistics_to_list(self.bands),
            "displacement": self.displacement.plane.tolist(),
            "pairs": {key: model.to_dict() for key, model in self.pairs.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Frozen:
        """Inverse of `to_dict`."""
        return cls(
            bands=statistics_from_list(raw["bands"]),
            displacement=Displacement(np.array(raw["displacement"], dtype=np.float64)),
            pairs={key: PairModel.from_dict(model) for key, model in raw["pairs"].items()},
        )


def statistics_to_list(bands: Sequence[BandStatistics]) -> list[list[float]]:
    """Band statistics as JSON values."""
    return [[item.median, item.spread, item.count] for item in bands]


def statistics_from_list(raw: Sequence[Sequence[float]]) -> tuple[BandStatistics, ...]:
    """Inverse of `statistics_to_list`."""
    return tuple(BandStatistics(float(m), float(s), int(n)) for m, s, n in raw)


class PreScan:
    """Looks at the sample of one acquisition.

    Args:
        reader: the open acquisition.
        grid: of the acquisition.
        sample: chunks of the sample.
        looker: prepared with the acquisition's band statistics.
        memory: what is remembered of the place.
        buffer: uint16 for the largest chunk.
    """

    def __init__(
        self, reader: Reader, grid: Grid, bands: Sequence[str], sample: Sequence[Chunk], looker: Looker, memory: Memory,
        buffer: U16,
    ) -> None:  # fmt: skip
        self._reader, self._grid, self._bands, self._sample = reader, grid, bands, sample
        self._looker, self._memory, self._buffer = looker, memory, buffer

    def displacement(self, past: PastPass) -> Displacement:
        """Where the acquisition lies against a past pass."""
        samples = []
        for chunk in self._sample:
            still = np.zeros((chunk.cells, 2), dtype=np.int64)
            records, _ = self._memory.read(past.id, chunk, self._looker.dtype)
            if not is_clear(records).any():
                continue
            try:
                pixels = read_chunk(self._reader, chunk, self._grid, len(self._bands), still, self._buffer)
            except InputError:
                continue  # counted when its turn comes
            x, _ = self._looker.prepare(pixels.dn, pixels.quality)
            samples.append(Sample(chunk.row, chunk.col, self._looker.fine(x), records.reshape(chunk.rows, chunk.cols)))
        return estimate(samples)

    def pairs(
        self, past: Sequence[PastPass], displacement: Displacement, bands: Sequence[BandStatistics], rule: ScoreRule,
        output: Tensor, history: int, event: EventHead | None = None,
    ) -> dict[str, PairModel]:  # fmt: skip
        """What is usual between the acquisition and each past pass with enough common cells, by its key."""
        now: list[Records] = []
        looked: list[Chunk] = []
        for chunk in self._sample:
            moves = displacement.of_cells(*cells_of(chunk))
            try:
                pixels = read_chunk(self._reader, chunk, self._grid, len(self._bands), moves, self._buffer)
            except InputError:
                continue
            now.append(self._looker.look(pixels.dn, pixels.quality, encode=rule.latent > 0).records)
            looked.append(chunk)
        if not now:
            return {}
        old = [
            (
                np.concatenate([self._memory.read(one.id, chunk, self._looker.dtype)[0] for chunk in looked]),
                statistics_from_list(one.statistics),
            )
            for one in past
        ]
        models = fit_history(np.concatenate(now), bands, old, rule, self._bands, output, history, event)
        return {one.key: model for one, model in zip(past, models, strict=True) if model is not None}


def cells_of(chunk: Chunk) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows, cols) of a chunk's cells on the grid, row by row."""
    rows, cols = np.divmod(np.arange(chunk.cells), chunk.cols)
    return rows + chunk.row, cols + chunk.col
