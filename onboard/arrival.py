"""What is found out about an acquisition before its first chunk, and frozen: statistics, displacement, pairs.

Reads a sample of the pixels and of the memory; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onboard.change.look import Looker
from onboard.change.pair import Comparison
from onboard.change.prescan import Frozen, Looked, PreScan, fit_pairs, statistics_from_list
from onboard.change.registration import Displacement
from onboard.change.rule import ScoreRule
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.errors import InputError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.resident import trim
from onboard.sense.acquisition import U16, Acquisition, Reader
from onboard.sense.aligned import window_of
from onboard.sense.chunks import Chunk, in_parts, largest, plan_sample, sample_chunks
from onboard.sense.grid import CELL
from onboard.sense.normalise import BandStatistics
from onboard.sense.prescan import band_histograms, scene_statistics
from onboard.sense.tiles import on_cache_lines
from onboard.store.memory import Memory, PastPass

SCAN_THREADS = 2
"""At most, that read the sample: pixels and histograms of more would take more memory than the fit, which is planned
for."""


@dataclass(frozen=True)
class Arrival:
    """An opened acquisition, and what it is to be looked at with."""

    acquisition: Acquisition
    reader: Reader
    bundle: Bundle
    encoder: Encoder
    rule: ScoreRule
    config: DetectConfig
    stages: Stages

    def looker(self, statistics: Sequence[BandStatistics], chunks: Sequence[Chunk]) -> Looker:
        """A looker with buffers for the largest of the chunks; one for each thread that looks."""
        infos = [self.acquisition.band(name) for name in self.bundle.bands]
        return Looker(self.bundle, self.encoder, infos, statistics, largest(chunks), self.config.min_valid, self.stages)

    def freeze(self, rows: int, cols: int, past: Sequence[PastPass], memory: Memory) -> Frozen:
        """The pre-scan of so many rows and columns of cells. Each step lets go of what it held before the next.

        Raises:
            InputError: no valid pixel in the acquisition.
        """
        chunks = plan_sample(rows, cols, self.acquisition.block_shape)
        sample = sample_chunks(chunks, self.config.prescan_share, self.config.prescan_all_cells)
        with self.reader.keeping(memory.path.parent):
            statistics = self._statistics(chunks, sample)
            trim()
            if self.rule.rule != "surprise" or not past:
                return Frozen(statistics, Displacement.none(), {})
            displacement, looked = self._look_at(sample, statistics, past[0], memory)
        trim()
        pairs = fit_pairs(
            looked, past, memory, statistics, self.rule, self.bundle.bands, self.encoder.artefact.output,
            self.config.history, self.config.fit_cells, self.bundle.event, self.config.threads,
        )  # fmt: skip
        return Frozen(statistics, displacement, pairs)

    def _statistics(self, chunks: list[Chunk], sample: list[Chunk]) -> tuple[BandStatistics, ...]:
        bands = self.bundle.bands
        histograms = band_histograms(self.reader, self._parts(sample), len(bands), self._buffers(sample))
        if not histograms.any() and len(sample) < len(chunks):
            histograms = band_histograms(self.reader, self._parts(chunks), len(bands), self._buffers(chunks))
        if not histograms.any():
            raise InputError(self.acquisition.where, "no valid pixel in it (all no-data or unreadable)", "no-data")
        infos = [self.acquisition.band(name) for name in bands]
        return tuple(scene_statistics(histograms, infos, self.bundle.normalise))

    def _look_at(
        self, sample: list[Chunk], statistics: tuple[BandStatistics, ...], newest: PastPass, memory: Memory
    ) -> tuple[Displacement, Looked]:
        parts, reader = self._parts(sample), self.reader
        workers = [(self.looker(statistics, parts), buffer) for buffer in self._buffers(sample)]
        scan = PreScan(reader, self.acquisition.grid, self.bundle.bands, workers, memory)
        reader.expect([part.window for part in parts])
        displacement = scan.displacement([in_parts(chunk, self.config.chunk_px) for chunk in sample], newest)
        grid = self.acquisition.grid
        reader.expect([window_of(part, grid, displacement.of_chunk(part)) for part in parts])
        return displacement, scan.look(parts, displacement, encode=self.rule.latent > 0)

    def _parts(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        return [part for chunk in chunks for part in in_parts(chunk, self.config.chunk_px)]

    def _buffers(self, chunks: Sequence[Chunk]) -> list[U16]:
        """For the largest part of some chunks of the sample, as many as threads may read at once."""
        size = len(self.bundle.bands) * largest(self._parts(chunks)) * CELL * CELL
        threads = min(self.config.threads, SCAN_THREADS) if self.reader.concurrent else 1
        return [on_cache_lines(size, "u2") for _ in range(threads)]

    def comparisons(self, frozen: Frozen, past: Sequence[PastPass]) -> list[tuple[int, Comparison | None]]:
        """(memory id, comparison) of the past passes that take part, newest first."""
        if self.rule.rule != "surprise":
            return [(one.id, None) for one in past]
        return [(one.id, self._comparison(frozen, one)) for one in past if one.key in frozen.pairs]

    def _comparison(self, frozen: Frozen, past: PastPass) -> Comparison:
        then = statistics_from_list(past.statistics)
        model = frozen.pairs[past.key]
        return Comparison(model, self.rule, self.bundle.bands, frozen.bands, then, self.bundle.event)
