"""One look at a chunk: DN -> valid mask -> tiles -> latents -> records. Buffers live as long as the acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onboard.change.record import FLAG_CLEAR, Records, pack_valid, record_dtype, seal
from onboard.clock import Stages
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.sense.acquisition import U16, BandInfo, Mask
from onboard.sense.grid import CELL
from onboard.sense.normalise import BandStatistics, input_table, quantised_table
from onboard.sense.tiles import apply_tables, sub_cell_means, sub_cell_share, to_tiles, valid_pixels

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
        self._encoder = encoder
        self._stages = stages
        self._min_valid = min_valid
        self.dtype = record_dtype(bundle.latent, len(bundle.bands))
        source = encoder.artefact.input
        tables = [input_table(i, s, bundle.normalise) for i, s in zip(infos, statistics, strict=True)]
        if encoder.input_dtype == np.uint8:
            self._tables = np.stack([quantised_table(t, source.scale, source.zero_point) for t in tables])
            self._middle: Any = np.uint8(source.zero_point)
            self._mean_scale, self._mean_zero = 1.0, 0.0
        else:
            # a float input has no uint8 scale of its own: sub-cell means take one that spans +-limit
            self._tables = np.stack(tables)
            self._middle = np.float32(0.0)
            self._mean_scale, self._mean_zero = 127.0 / bundle.normalise.limit, 128.0
        bands = len(bundle.bands)
        self._input = np.empty(bands * max_cells * CELL * CELL, dtype=encoder.input_dtype)
        self._tiles = np.empty((max_cells, bands, CELL, CELL), dtype=encoder.input_dtype)

    def look(self, dn: U16, quality: Mask | None) -> Look:
        """Look at a chunk.

        Args:
            dn: uint16 (B, H, W) of whole cells.
            quality: the product's own usable pixels, bool (H, W), or None.
        """
        with self._stages.time("prepare"):
            valid = valid_pixels(dn, quality)
            x = self._input[: dn.size].reshape(dn.shape)
            apply_tables(dn, self._tables, x)
            if not valid.all():
                x[:, ~valid] = self._middle
            means = sub_cell_means(x) * np.float32(self._mean_scale) + np.float32(self._mean_zero)
            share = sub_cell_share(valid)
            tiles = to_tiles(x, self._tiles)
        records = np.zeros(len(tiles), dtype=self.dtype)
        with self._stages.time("encode"):
            latents = np.empty((len(tiles), self.dtype["latent"].shape[0]), dtype=np.uint8)
            self._encoder.encode(tiles, latents)
        with self._stages.time("remember"):
            records["latent"] = latents
            records["means"] = np.clip(np.rint(means), 0, 255)
            records["valid"] = pack_valid(share >= SUB_CELL_VALID)
            records["flags"] = np.where(share.mean(axis=(1, 2)) >= self._min_valid, FLAG_CLEAR, 0)
            seal(records)
        return Look(records, valid)
