"""Builds the latent archive from the memory: whole or not at all, in one pass over the records for each section."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from onboard.change.record import is_clear
from onboard.change.search import BLOCK_ROWS, U8, Index, Layout, make_block
from onboard.errors import DiskFullError, StoreError
from onboard.store.latents import CELL_DTYPE, MAGIC, META, TRAILER, block_dtype
from onboard.store.recall import Recall, RememberedPass

SAMPLE_PASSES, SAMPLE_STRIPS = 64, 4
"""The order of components is taken from the first strips of some passes: it decides speed, never a result."""


class ArchiveWriter:
    """Writes blocks to a file object: rows of the newest looks, `close_section`, older ones, `finish`."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self._file, self._layout = file, layout
        self._block = np.zeros(1, dtype=block_dtype(layout))
        self._latents = np.zeros((BLOCK_ROWS, len(layout.order)), dtype=np.uint8)
        self._filled = 0
        self.rows: list[int] = [0]

    def add(self, latents: U8, cells: np.ndarray[Any, np.dtype[Any]]) -> None:
        """Add rows: latents uint8 (n, L) and cells (n,) of `CELL_DTYPE`, `pass` a position in the list of passes."""
        done = 0
        while done < len(latents):
            take = min(BLOCK_ROWS - self._filled, len(latents) - done)
            where = slice(self._filled, self._filled + take)
            self._latents[where] = latents[done : done + take]
            self._block["cells"][0, where] = cells[done : done + take]
            self._filled += take
            done += take
            if self._filled == BLOCK_ROWS:
                self._flush()
        self.rows[-1] += len(latents)

    def close_section(self) -> None:
        """The next row begins a new block."""
        self._flush()
        self.rows.append(0)

    def finish(self, passes: list[int], fingerprint: str) -> None:
        """Write the footer; `passes` are the memory ids that `pass` counts."""
        self._flush()
        newest, older = (*self.rows, 0)[:2]
        footer = {
            "order": self._layout.order.tolist(), "zero_point": self._layout.zero_point, "passes": passes,
            "newest": newest, "older": older, "fingerprint": fingerprint,
        }  # fmt: skip
        text = json.dumps(footer, sort_keys=True).encode()
        self._file.write(text + TRAILER.pack(len(text), zlib.crc32(text), MAGIC))

    def _flush(self) -> None:
        if not self._filled:
            return
        one, made = self._block, make_block(self._latents[: self._filled], self._layout)
        for name in META:
            one[name][0, : self._filled] = getattr(made, name)
        one["head"][0, : self._filled] = made.head
        one["tail"][0, : self._filled] = made.tail(np.arange(self._filled))
        one["count"] = self._filled
        one["meta_crc"] = zlib.crc32(b"".join(one[name].tobytes() for name in META))
        one["cells_crc"] = zlib.crc32(one["cells"].tobytes())
        self._file.write(self._block.tobytes())
        self._block[:] = np.zeros(1, dtype=self._block.dtype)
        self._filled = 0


def fingerprint(passes: Sequence[RememberedPass], zero_point: int) -> str:
    """What an archive is built from; it differs as soon as a pass is added, forgotten, or looked at further."""
    seen = [(p.id, p.grid, p.sensing_time.isoformat(), p.product_id, p.statistics, p.strips, p.cells) for p in passes]
    return hashlib.sha256(json.dumps([zero_point, seen]).encode()).hexdigest()


def build(path: Path, recall: Recall, passes: Sequence[RememberedPass], dtype: np.dtype[Any], zero_point: int) -> None:
    """Write the archive of these passes (by grid, newest first), whole or not at all.

    Raises:
        DiskFullError: no space left.
        StoreError: the folder cannot be written, or the memory not read.
    """
    layout = Layout(_order(recall, passes, dtype), zero_point)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            writer = ArchiveWriter(file, layout)
            for newest in (True, False):
                _add_looks(writer, recall, passes, dtype, newest)
                if newest:
                    writer.close_section()
            writer.finish([one.id for one in passes], fingerprint(passes, zero_point))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"{path}: no space left for the latent archive") from error
        raise StoreError(f"{path}: cannot write the latent archive ({error.strerror})") from error
    finally:
        new.unlink(missing_ok=True)


def _add_looks(
    writer: ArchiveWriter, recall: Recall, passes: Sequence[RememberedPass], dtype: np.dtype[Any], newest: bool
) -> None:
    """Add the newest clear look at each cell, or all the others."""
    seen: dict[int, Index] = {}
    grid = ""
    for number, one in enumerate(passes):
        if one.grid != grid:
            grid, seen = one.grid, {}
        for row, col, records in recall.strips(one.id, dtype):
            cols = np.flatnonzero(is_clear(records)) + col
            known = np.isin(cols, seen.get(row, cols[:0]))
            if not known.all():
                seen[row] = np.union1d(seen.get(row, cols[:0]), cols)
            chosen = cols[~known] if newest else cols[known]
            cells = np.zeros(len(chosen), dtype=CELL_DTYPE)
            cells["pass"], cells["row"], cells["col"] = number, row, chosen
            writer.add(records["latent"][chosen - col], cells)


def _order(recall: Recall, passes: Sequence[RememberedPass], dtype: np.dtype[Any]) -> Index:
    """Components by falling variance over a sample of what is remembered."""
    length = dtype["latent"].shape[0]
    sample = [np.zeros((1, length), dtype=np.uint8)]
    for one in passes[:: max(1, len(passes) // SAMPLE_PASSES)]:
        sample += [
            records["latent"][is_clear(records)]
            for _, _, records in islice(recall.strips(one.id, dtype), SAMPLE_STRIPS)
        ]
    return np.argsort(-np.concatenate(sample).astype(np.float32).var(axis=0), kind="stable").astype(np.int64)
