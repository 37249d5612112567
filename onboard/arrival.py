"""What is found out about an acquisition before its first chunk, and frozen: statistics, displacement, pairs.

Reads a sample of the pixels and of the memory; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onboard.change.look import Looker
from onboard.change.pair import Comparison
from onboard.change.prescan import Frozen, PreScan, statistics_from_list
from onboard.change.registration import Displacement
from onboard.change.rule import ScoreRule
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.errors import InputError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.sense.acquisition import Acquisition, Reader
from onboard.sense.chunks import Chunk, sample_chunks
from onboard.sense.grid import CELL
from onboard.sense.normalise import BandStatistics
from onboard.sense.prescan import band_histograms, scene_statistics
from onboard.store.memory import Memory, PastPass


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
        largest = max(chunk.cells for chunk in chunks)
        return Looker(self.bundle, self.encoder, infos, statistics, largest, self.config.min_valid, self.stages)

    def freeze(self, chunks: list[Chunk], past: Sequence[PastPass], memory: Memory) -> Frozen:
        """The pre-scan.

        Raises:
            InputError: no valid pixel in the acquisition.
        """
        bands = self.bundle.bands
        buffer = np.empty(len(bands) * max(chunk.cells for chunk in chunks) * CELL * CELL, dtype=np.uint16)
        sample = sample_chunks(chunks, self.config.prescan_share, self.config.prescan_all_cells)
        histograms = band_histograms(self.reader, sample, len(bands), buffer)
        if not histograms.any() and len(sample) < len(chunks):
            histograms = band_histograms(self.reader, chunks, len(bands), buffer)
        if not histograms.any():
            raise InputError(self.acquisition.where, "no valid pixel in it (all no-data or unreadable)", "no-data")
        infos = [self.acquisition.band(name) for name in bands]
        statistics = tuple(scene_statistics(histograms, infos, self.bundle.normalise))
        if self.rule.rule != "surprise" or not past:
            return Frozen(statistics, Displacement.none(), {})
        scan = PreScan(
            self.reader, self.acquisition.grid, bands, sample, self.looker(statistics, chunks), memory, buffer
        )
        displacement = scan.displacement(past[0])
        pairs = scan.pairs(
            past, displacement, statistics, self.rule, self.encoder.artefact.output, self.config.history,
            self.bundle.event,
        )  # fmt: skip
        return Frozen(statistics, displacement, pairs)

    def comparisons(self, frozen: Frozen, past: Sequence[PastPass]) -> list[tuple[int, Comparison | None]]:
        """(memory id, comparison) of the past passes that take part, newest first."""
        if self.rule.rule != "surprise":
            return [(one.id, None) for one in past]
        return [(one.id, self._comparison(frozen, one)) for one in past if one.key in frozen.pairs]

    def _comparison(self, frozen: Frozen, past: PastPass) -> Comparison:
        then = statistics_from_list(past.statistics)
        model = frozen.pairs[past.key]
        return Comparison(model, self.rule, self.bundle.bands, frozen.bands, then, self.bundle.event)
