"""The pre-scan: everything about an acquisition that is frozen, and stored, before its first chunk is scored.

From a sample of its cells (all of them where it is small): the statistics of each band, where the new pass lies against
the memory, and, for each past pass that it may be compared with, what is usual between the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from onboard.abreast import side_by_side
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
from onboard.sense.tiles import U8
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
    """Looks at the sample of one acquisition; its lookers and buffers are gone when it is.

    Args:
        reader: the open acquisition.
        grid: of the acquisition.
        workers: a looker with the acquisition's band statistics, and uint16 for the largest part of a chunk; as many
            as threads may read at once.
        memory: what is remembered of the place.
    """

    def __init__(
        self, reader: Reader, grid: Grid, bands: Sequence[str], workers: Sequence[tuple[Looker, U16]], memory: Memory
    ) -> None:
        self._reader, self._grid, self._bands = reader, grid, bands
        self._workers, self._memory = workers, memory

    def displacement(self, sample: Sequence[Sequence[Chunk]], past: PastPass) -> Displacement:
        """Where the acquisition lies against a past pass, by the sample's chunks, each in parts one below the other."""
        dtype = self._workers[0][0].dtype
        there = ((parts, [self._memory.read(past.id, part, dtype)[0] for part in parts]) for parts in sample)
        clear = ((parts, records) for parts, records in there if any(is_clear(some).any() for some in records))
        found = side_by_side(self._sample, clear, self._workers)
        return estimate([one for one in found if one is not None], len(self._workers))

    def _sample(self, worker: tuple[Looker, U16], item: tuple[Sequence[Chunk], list[Records]]) -> Sample | None:
        """Of a chunk's parts and past records; None where it cannot be read: that is counted when its turn comes."""
        parts, records = item
        try:
            fine = [self._fine(part, *worker) for part in parts]
        except InputError:
            return None
        there = np.concatenate([some.reshape(p.rows, p.cols) for some, p in zip(records, parts, strict=True)])
        return Sample(parts[0].row, parts[0].col, np.concatenate(fine, axis=1), there)

    def _fine(self, part: Chunk, looker: Looker, buffer: U16) -> U8:
        """Network input of the 10 m bands, (F, H, W), where the file has them."""
        still = np.zeros((part.cells, 2), dtype=np.int64)
        pixels = read_chunk(self._reader, part, self._grid, len(self._bands), still, buffer)
        return looker.fine(pixels.dn, pixels.quality)

    def look(self, parts: Sequence[Chunk], displacement: Displacement, encode: bool) -> Looked:
        """The sample as the chunks will be looked at."""

        def look(worker: tuple[Looker, U16], part: Chunk) -> Records | None:
            looker, buffer = worker
            moves = displacement.of_chunk(part)
            try:
                pixels = read_chunk(self._reader, part, self._grid, len(self._bands), moves, buffer)
            except InputError:
                return None
            return looker.look(pixels.dn, pixels.quality, encode).records

        found = list(side_by_side(look, parts, self._workers))
        seen = [(part, records) for part, records in zip(parts, found, strict=True) if records is not None]
        return Looked([part for part, _ in seen], [records for _, records in seen])


class Looked(NamedTuple):
    """What could be read of a sample: its chunks, and the records (cells,) of each."""

    chunks: list[Chunk]
    records: list[Records]


def fit_pairs(
    looked: Looked, past: Sequence[PastPass], memory: Memory, statistics: Sequence[BandStatistics], rule: ScoreRule,
    bands: Sequence[str], output: Tensor, history: int, most: int, event: EventHead | None = None,
    threads: int = 1,
) -> dict[str, PairModel]:  # fmt: skip
    """What is usual between the acquisition and each past pass with enough common cells, by its key.

    Args:
        most: cells that it is learnt from, evenly drawn where the sample has more.
    """
    if not looked.records:
        return {}
    step = math.ceil(sum(map(len, looked.records)) / most)
    now = np.concatenate(looked.records)[::step]
    old = (  # one after the other: a long memory is not held at once
        (
            np.concatenate([memory.read(one.id, chunk, now.dtype)[0] for chunk in looked.chunks])[::step],
            statistics_from_list(one.statistics),
        )
        for one in past
    )
    models = fit_history(now, statistics, old, rule, bands, output, history, event, threads)
    return {one.key: model for one, model in zip(past, models, strict=True) if model is not None}
