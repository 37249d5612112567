"""One look at a chunk: DN -> valid mask -> tiles -> latents -> records. Buffers live as long as the acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.change.cloud import CloudTest
from onboard.change.record import (
    COARSE_PX,
    FINE_PX,
    FLAG_CLEAR,
    Records,
    coarse_bands,
    fine_bands,
    pack_valid,
    record_dtype,
    seal,
    unpack_valid,
)
from onboard.change.seen import Seen
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.clock import Stages
from onboard.errors import BundleError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.sense.acquisition import U16, BandInfo, Mask
from onboard.sense.grid import CELL
from onboard.sense.normalise import BandStatistics, input_table, quantised_table
from onboard.sense.tiles import U8, apply_tables, sub_cell_means, sub_cell_share, to_tiles, valid_pixels

SUB_CELL_VALID = 0.5
"""A sub-cell with less than this share of valid pixels takes no part in comparisons."""


@dataclass(frozen=True)
class Look:
    """What was seen of a chunk's cells, row by row of cells.

    Attributes:
        records: sealed records (cells,); clear ones carry FLAG_CLEAR.
        valid: bool (H, W) of the chunk's pixels.
    """

    records: Records
    valid: Mask

    def visible(self) -> NDArray[np.float32]:
        """Share of each cell that can be seen, float32 (cells,); what only the cloud test hides counts half: at the
        edges of clouds and of water it hides too much."""
        data = _by_cell(self.valid).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
        clear = unpack_valid(self.records["valid"]).mean(axis=1, dtype=np.float32)
        return np.asarray((data + np.minimum(clear, data)) / 2, dtype=np.float32)

    def share_of(self, mask: Mask) -> NDArray[np.float32]:
        """Share of a mask, bool (H, W), among the valid pixels of each cell, float32 (cells,)."""
        inside = _by_cell(mask & self.valid).sum(axis=(1, 3))
        return np.asarray(inside / np.maximum(_by_cell(self.valid).sum(axis=(1, 3)), 1), dtype=np.float32).reshape(-1)


def _by_cell(mask: Mask) -> Mask:
    """The pixels as bool (rows, CELL, cols, CELL)."""
    rows, cols = (side // CELL for side in mask.shape)
    return mask.reshape(rows, CELL, cols, CELL)


class Looker:
    """Prepares and encodes the chunks of one acquisition.

    Args:
        bundle, encoder: the model.
        infos: radiometry of the bundle's bands in this acquisition.
        statistics: the frozen pre-scan, one per band.
        max_cells: cells of the largest chunk.
        min_valid: smallest share of valid pixels of a clear cell.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        infos: Sequence[BandInfo],
        statistics: Sequence[BandStatistics],
        max_cells: int,
        min_valid: float,
        stages: Stages,
    ) -> None:
        source = encoder.artefact.input
        if encoder.input_dtype == np.uint8 and (source.zero_point, round(source.scale / INPUT_STEP, 4)) != (
            INPUT_ZERO,
            1,
        ):
            raise BundleError(
                f"bundle {bundle.name}: {encoder.artefact.key} takes its input on scale {source.scale:g}, zero point "
                f"{source.zero_point}; this software prepares 1/24, {INPUT_ZERO}"
            )
        self._encoder = encoder
        self._stages = stages
        self._min_valid = min_valid
        self.dtype = record_dtype(bundle.latent, bundle.bands)
        self._tables = np.stack(
            [
                quantised_table(input_table(i, s, bundle.normalise), INPUT_STEP, INPUT_ZERO)
                for i, s in zip(infos, statistics, strict=True)
            ]
        )
        self._fine, self._coarse = fine_bands(bundle.bands), coarse_bands(bundle.bands)
        order = self._fine + self._coarse
        self._cloud = bundle.cloud and CloudTest(bundle.cloud, statistics, order, INPUT_STEP, INPUT_ZERO)
        bands = len(bundle.bands)
        self._input = np.empty(bands * max_cells * CELL * CELL, dtype=np.uint8)
        self._tiles = np.empty((max_cells, bands, CELL, CELL), dtype=np.uint8)

    def prepare(self, dn: U16, quality: Mask | None) -> tuple[U8, Mask]:
        """Network input, uint8 (B, H, W) and overwritten next time, and valid pixels, bool (H, W), of a chunk."""
        valid = valid_pixels(dn, quality)
        x = self._input[: dn.size].reshape(dn.shape)
        apply_tables(dn, self._tables, x)
        if not valid.all():
            x[:, ~valid] = INPUT_ZERO
        return x, valid

    def fine(self, x: U8) -> U8:
        """The 10 m bands of a network input, (F, H, W)."""
        return x[self._fine]

    def look(self, dn: U16, quality: Mask | None, encode: bool = True) -> Look:
        """Look at a chunk.

        Args:
            dn: uint16 (B, H, W) of whole cells.
            quality: the product's own usable pixels, bool (H, W), or None.
            encode: False leaves the latents zero (a sample that only needs the spectral part).
        """
        with self._stages.time("prepare"):
            x, valid = self.prepare(dn, quality)
            share = sub_cell_share(valid, FINE_PX)
            tiles = to_tiles(x, self._tiles)
            records = np.zeros(len(tiles), dtype=self.dtype)
            records["fine"] = sub_cell_means(x[self._fine], FINE_PX)
            if self._coarse:
                records["coarse"] = sub_cell_means(x[self._coarse], COARSE_PX)
            if self._cloud:
                share[self._cloud.hidden(Seen(records).coarse)] = 0
            records["valid"] = pack_valid(share >= SUB_CELL_VALID)
            records["flags"] = np.where(share.mean(axis=1) >= self._min_valid, FLAG_CLEAR, 0)
        if encode:
            with self._stages.time("encode"):
                latents = np.empty((len(tiles), self.dtype["latent"].shape[0]), dtype=np.uint8)
                self._encode(tiles, latents)
                records["latent"] = latents
        with self._stages.time("remember"):
            seal(records)
        return Look(records, valid)

    def _encode(self, tiles: U8, latents: U8) -> None:
        if self._encoder.input_dtype == np.uint8:
            self._encoder.encode(tiles, latents)
            return
        # a float network sees exactly what the integer one sees
        step = self._encoder.batch
        for start in range(0, len(tiles), step):
            part = (tiles[start : start + step].astype(np.float32) - INPUT_ZERO) * np.float32(INPUT_STEP)
            self._encoder.encode(part, latents[start : start + step])
