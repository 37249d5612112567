"""The latent archive: all latents of one artefact in one compact file beside the memory, for searching. Disposable.

In the memory's records a latent is a quarter of the bytes; read from there, ten million would be 5 GB. Layout:

    block, block, ...     fixed size, `block_dtype`; newest clear look at each cell first, then (a new block) older ones
    footer                UTF-8 JSON, then u4 length, u4 CRC-32 of the JSON, and the magic: a torn file has no footer

Rows carry the checksums that `change.search` checks while it multiplies; what it reads beside them (norms and the
checksums themselves, and the cells of hits) has a CRC-32 per block. Anything wrong is `DamagedArchiveError`, and the
answer to it is to build the file anew from the memory.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from onboard.change.search import BLOCK_ROWS, U8, Block, Index, Layout
from onboard.errors import StoreError

MAGIC = b"OBLATE01"
TRAILER = struct.Struct("<II8s")
META = ("energy", "tail_norm", "head_check", "tail_check")
CELL_DTYPE = np.dtype([("pass", "<u4"), ("row", "<u2"), ("col", "<u2")])
GATHER_SHARE = 1 / 16
"""Up to this share of a block's rows, their tails are read one by one; beyond it, all tails in one read."""


class DamagedArchiveError(StoreError):
    """Missing, torn, damaged, or older than the memory: build it anew."""


def archive_path(folder: Path, artefact: str) -> Path:
    """Where the archive of an artefact lies in a store."""
    return folder / f"latents-{artefact[:16]}.u8"


def block_dtype(layout: Layout) -> np.dtype[Any]:
    """One block; what every search reads comes first."""
    meta = [(name, "<f4", (BLOCK_ROWS,)) for name in META]
    tail = len(layout.order) - layout.head
    return np.dtype(
        [
            ("count", "<u4"), ("meta_crc", "<u4"), ("cells_crc", "<u4"), ("spare", "<u4"),
            *meta, ("head", "u1", (BLOCK_ROWS, layout.head)), ("tail", "u1", (BLOCK_ROWS, tail)),
            ("cells", CELL_DTYPE, (BLOCK_ROWS,)),
        ]
    )  # fmt: skip


class LatentArchive:
    """An open archive. Use as a context manager; it holds one block in working memory.

    Args:
        path: its file.
        fingerprint: what it must have been built from (`fingerprint`), or None to take it as it is.

    Raises:
        DamagedArchiveError: missing, torn, damaged or out of date.
    """

    def __init__(self, path: Path, fingerprint: str | None = None) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as error:
            raise DamagedArchiveError(f"{path}: {error.strerror}") from error
        try:
            footer = self._footer()
            self.layout = Layout(np.array(footer["order"], dtype=np.int64), int(footer["zero_point"]))
            self.passes: list[int] = footer["passes"]
            self.newest, self.older = int(footer["newest"]), int(footer["older"])
            if fingerprint is not None and footer["fingerprint"] != fingerprint:
                raise DamagedArchiveError(f"{path}: not of what is remembered now")
        except (KeyError, TypeError, ValueError, struct.error) as error:
            self._file.close()
            raise DamagedArchiveError(f"{path}: torn or damaged ({error})") from error
        except StoreError:
            self._file.close()
            raise
        self._dtype = block_dtype(self.layout)
        self._buffer = np.zeros(1, dtype=self._dtype)
        self._bytes = self._buffer.view(np.uint8)
        self._lead = self._offset("tail")

    def __enter__(self) -> LatentArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def blocks(self, everything: bool = False) -> Iterator[tuple[int, Block]]:
        """(number of the first row, block) in order; a block's arrays are overwritten by the next.

        Args:
            everything: also the older looks at each cell.
        """
        rows = (self.newest, self.older) if everything else (self.newest,)
        for number in range(sum(-(-n // BLOCK_ROWS) for n in rows)):
            start = number * self._dtype.itemsize
            self._read(start, self._bytes[: self._lead])
            count = min(int(self._buffer["count"][0]), BLOCK_ROWS)
            if zlib.crc32(self._bytes[16 : self._offset("head")].data) != self._buffer["meta_crc"][0]:
                raise DamagedArchiveError(f"{self._path}: block {number} does not match its checksum")

            def tail(wanted: Index, start: int = start) -> U8:
                return self._tail(start, wanted)

            part = {name: self._buffer[name][0, :count] for name in ("head", *META)}
            yield number * BLOCK_ROWS, Block(**part, tail=tail)

    def cells(self, rows: Index) -> list[tuple[int, int, int]]:
        """(memory id of the pass, row, column) of archive rows."""
        found = []
        for row in rows.tolist():
            start = row // BLOCK_ROWS * self._dtype.itemsize
            where = self._offset("cells")
            self._read(start, self._bytes[:16])
            self._read(start + where, self._bytes[where:])
            if zlib.crc32(self._bytes[where:].data) != self._buffer["cells_crc"][0]:
                raise DamagedArchiveError(f"{self._path}: the cells of block {row // BLOCK_ROWS} are damaged")
            number, *cell = self._buffer["cells"][0, row % BLOCK_ROWS].item()
            found.append((self.passes[number], cell[0], cell[1]))
        return found

    def _offset(self, name: str) -> int:
        fields = self._dtype.fields
        assert fields is not None
        return int(fields[name][1])

    def _tail(self, start: int, wanted: Index) -> U8:
        width, where = len(self.layout.order) - self.layout.head, self._offset("tail")
        if len(wanted) > GATHER_SHARE * BLOCK_ROWS:
            self._read(start + where, self._bytes[where : where + BLOCK_ROWS * width])
            return np.asarray(self._buffer["tail"][0, wanted])
        read, file = os.pread, self._file.fileno()
        blob = b"".join(read(file, width, start + where + row * width) for row in wanted.tolist())
        if len(blob) != len(wanted) * width:
            raise DamagedArchiveError(f"{self._path}: shorter than its footer says")
        return np.frombuffer(blob, dtype=np.uint8).reshape(len(wanted), width)

    def _read(self, offset: int, out: U8) -> None:
        if os.preadv(self._file.fileno(), [out.data], offset) != out.nbytes:
            raise DamagedArchiveError(f"{self._path}: shorter than its footer says")

    def _footer(self) -> dict[str, Any]:
        size, file = self._path.stat().st_size, self._file.fileno()
        length, crc, magic = TRAILER.unpack(os.pread(file, TRAILER.size, max(0, size - TRAILER.size)))
        if magic != MAGIC:
            raise ValueError("no footer")
        text = os.pread(file, length, max(0, size - TRAILER.size - length))
        if zlib.crc32(text) != crc:
            raise ValueError("footer does not match its checksum")
        footer: dict[str, Any] = json.loads(text)
        return footer
