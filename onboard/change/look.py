"""One look at a chunk: DN -> valid mask -> tiles -> latents -> records. Buffers live as long as the acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
)
from onboard.change.seen import ALL
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.clock import Stages
from onboard.errors import BundleError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.native.pixels import Preparer, steps_of
from onboard.native.records import available
from onboard.sense.acquisition import U16, BandInfo, Mask
from onboard.sense.grid import CELL
from onboard.sense.normalise import DN_VALUES, BandStatistics, NormaliseRule, input_table, quantised_table
from onboard.sense.tiles import (
    U8,
    apply_table,
    on_cache_lines,
    sub_cell_means,
    sub_cell_share,
    to_pixels,
    to_tiles,
    valid_pixels,
)

PART_CELLS = 128
"""Whose tiles take 1.3 MB in ten bands. Fewer stay nearer to the processor, but each part waits for the interpreter
twice."""
SUB_CELL_VALID = 0.5
"""A sub-cell with less than this share of valid pixels takes no part in comparisons."""


@dataclass(frozen=True)
class Look:
    """What was seen of a chunk's cells, row by row of cells.

    Attributes:
        records: sealed records (cells,); clear ones carry FLAG_CLEAR.
        valid: bool (H, W) of the chunk's pixels.
        clear: share of each cell's sub-cells that take part in comparisons, float32 (cells,).
        whole: all pixels are valid.
    """

    records: Records
    valid: Mask
    clear: NDArray[np.float32]
    whole: bool = False

    def visible(self) -> NDArray[np.float32]:
        """Share of each cell that can be seen, float32 (cells,); what only the cloud test hides counts half: at the
        edges of clouds and of water it hides too much."""
        if self.whole:
            return np.asarray((1 + self.clear) / 2, dtype=np.float32)
        data = _by_cell(self.valid).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
        return np.asarray((data + np.minimum(self.clear, data)) / 2, dtype=np.float32)

    def share_of(self, mask: Mask) -> NDArray[np.float32]:
        """Share of a mask, bool (H, W), among the valid pixels of each cell, float32 (cells,)."""
        inside = _by_cell(mask & self.valid).sum(axis=(1, 3))
        return np.asarray(inside / np.maximum(_by_cell(self.valid).sum(axis=(1, 3)), 1), dtype=np.float32).reshape(-1)


def _hidden(valid: Mask) -> Mask | None:
    """The other pixels; None where there are none."""
    return None if valid.all() else ~valid


def _by_cell(mask: Mask) -> Mask:
    """The pixels as bool (rows, CELL, cols, CELL)."""
    rows, cols = (side // CELL for side in mask.shape)
    return mask.reshape(rows, CELL, cols, CELL)


@lru_cache(1)
def _tables(
    infos: tuple[BandInfo, ...], statistics: tuple[BandStatistics, ...], rule: NormaliseRule, compiled: bool
) -> tuple[U8, Any]:
    """Network input by DN, uint8 (B, 65536), read-only: the same for all lookers of an acquisition. And its steps where
    kernels are to use it."""
    made = np.empty((len(infos), DN_VALUES), np.uint8)
    for table, info, band in zip(made, infos, statistics, strict=True):
        table[:] = quantised_table(input_table(info, band, rule), INPUT_STEP, INPUT_ZERO)
    made.flags.writeable = False
    return made, steps_of(made) if compiled else None


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
        self._fine, self._coarse = fine_bands(bundle.bands), coarse_bands(bundle.bands)
        order = self._fine + self._coarse
        self._cloud = bundle.cloud and CloudTest(bundle.cloud, statistics, order, INPUT_STEP, INPUT_ZERO)
        fits = available(len(self._fine), len(self._coarse))
        self._tables, steps = _tables(tuple(infos), tuple(statistics), bundle.normalise, fits)
        self._tile = (CELL, CELL, encoder.channels) if encoder.channels else (len(bundle.bands), CELL, CELL)
        self._preparer = None
        if fits:
            self._preparer = Preparer(
                self._tables, steps, self.dtype, self._fine, self._coarse, INPUT_ZERO, encoder.channels
            )
        self._tiles = on_cache_lines((0 if fits else max_cells, *self._tile), np.uint8)

    def fine(self, dn: U16, quality: Mask | None) -> U8:
        """Network input of the 10 m bands of a chunk, uint8 (F, H, W)."""
        out = np.empty((len(self._fine), *dn.shape[1:]), dtype=np.uint8)
        hidden = _hidden(valid_pixels(dn, quality))
        for plane, band in zip(out, self._fine, strict=True):
            self._apply(dn, band, hidden, plane)
        return out

    def parts(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """Lines of a chunk of so many px, and the cells in them, that are prepared and encoded together: with compiled
        kernels few enough that their tiles stay in the processor's cache."""
        rows, cols = height // CELL, width // CELL
        step = max(1, PART_CELLS // cols) if self._preparer is not None else rows
        spans = [(row, min(row + step, rows)) for row in range(0, rows, step)]
        return [(slice(r * CELL, end * CELL), slice(r * cols, end * cols)) for r, end in spans]

    def prepare(self, dn: U16, quality: Mask | None, records: Records, valid: Mask) -> tuple[U8, bool]:
        """What of a look precedes the encoder, of whole cells.

        Args:
            records: (cells,), the means are filled in.
            valid: bool (H, W), filled in.

        Returns:
            Tiles as the encoder takes them at best, uint8 and overwritten next time; whether all pixels are valid.
        """
        if len(self._tiles) < len(records):
            self._tiles = on_cache_lines((len(records), *self._tile), np.uint8)
        tiles = self._tiles[: len(records)]
        if self._preparer is not None and dn.strides[2] == dn.itemsize:
            return tiles, self._preparer.prepare(dn, quality, tiles, records, valid)
        valid[...] = valid_pixels(dn, quality)
        hidden = _hidden(valid)
        if self._encoder.channels:
            tiles[..., len(self._tables) :] = 0
        plane = np.empty(valid.shape, np.uint8)
        for bands, field, px in ((self._fine, "fine", FINE_PX), (self._coarse, "coarse", COARSE_PX)):
            for place, band in enumerate(bands):  # a band at a time stays in the processor's cache
                self._apply(dn, band, hidden, plane)
                if self._encoder.channels:
                    to_pixels(plane, tiles[..., band])
                else:
                    to_tiles(plane, tiles[:, band])
                records[field][:, place] = sub_cell_means(plane[None], px)[:, 0]
        return tiles, hidden is None

    def _judge(self, records: Records, valid: Mask, whole: bool) -> NDArray[np.float32]:
        """Which sub-cells take part, and which cells are clear; the share of each cell's sub-cells that do."""
        hidden = self._cloud.hidden(records) if self._cloud else None
        if whole:  # a sub-cell is seen or clouded, and no share has to be counted
            if hidden is None:
                records["valid"], records["flags"] = ALL, FLAG_CLEAR
                return np.ones(len(records), np.float32)
            taking_part = ~hidden
            clear = seen = taking_part.mean(axis=1, dtype=np.float32)
        else:
            share = sub_cell_share(valid, FINE_PX)
            if hidden is not None:
                share[hidden] = 0
            taking_part, seen = share >= SUB_CELL_VALID, share.mean(axis=1)
            clear = taking_part.mean(axis=1, dtype=np.float32)
        records["valid"] = pack_valid(taking_part)
        records["flags"] = np.where(seen >= self._min_valid, FLAG_CLEAR, 0)
        return np.asarray(clear)

    def _apply(self, dn: U16, band: int, hidden: Mask | None, out: U8) -> None:
        apply_table(dn[band], self._tables[band], out)
        if hidden is not None:
            out[hidden] = INPUT_ZERO

    def look(self, dn: U16, quality: Mask | None, encode: bool = True) -> Look:
        """Look at a chunk.

        Args:
            dn: uint16 (B, H, W) of whole cells.
            quality: the product's own usable pixels, bool (H, W), or None.
            encode: False leaves the latents zero (a sample that only needs the spectral part).
        """
        height, width = dn.shape[1:]
        cells, whole = height * width // (CELL * CELL), True
        with self._stages.time("prepare"):
            records, valid = np.zeros(cells, dtype=self.dtype), np.empty((height, width), np.bool_)
            latents = np.empty((cells, self.dtype["latent"].shape[0]), dtype=np.uint8)
        for lines, part in self.parts(height, width):
            with self._stages.time("prepare"):
                usable = None if quality is None else quality[lines]
                tiles, seen = self.prepare(dn[:, lines], usable, records[part], valid[lines])
                whole &= seen
            if encode:
                with self._stages.time("encode"):
                    self._encode(tiles, latents[part])
        with self._stages.time("prepare"):
            if encode:
                records["latent"] = latents
            clear = self._judge(records, valid, whole)
        with self._stages.time("remember"):
            seal(records)
        return Look(records, valid, clear, whole)

    def _encode(self, tiles: U8, latents: U8) -> None:
        if self._encoder.input_dtype == np.uint8:
            self._encoder.encode(tiles, latents)
            return
        # a float network sees exactly what the integer one sees
        step = self._encoder.batch
        for start in range(0, len(tiles), step):
            part = (tiles[start : start + step].astype(np.float32) - INPUT_ZERO) * np.float32(INPUT_STEP)
            self._encoder.encode(part, latents[start : start + step])
