"""Where the tiles or strips of a TIFF file lie, by its own first directory (TIFF 6.0, 1992; BigTIFF, 2007).

GDAL tells it block by block, which takes longer than all else that opening a granule does. Reads no pixels.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]

ORDER = b"II" if sys.byteorder == "little" else b"MM"
CLASSIC = np.dtype([("tag", "u2"), ("type", "u2"), ("count", "u4"), ("value", "V4")])
BIG = np.dtype([("tag", "u2"), ("type", "u2"), ("count", "u8"), ("value", "V8")])
NUMBERS = {3: "u2", 4: "u4", 16: "u8"}
"""Types of whole numbers: SHORT, LONG and LONG8."""
STRIPS, TILES = (273, 279), (324, 325)
"""Tags of offsets and of byte counts."""


class Blocks(NamedTuple):
    """Offset in the file and bytes of each block, int64 (blocks,): line by line, and plane after plane."""

    offsets: I64
    sizes: I64


def block_places(path: Path) -> Blocks | None:
    """Of a file; None where it is no TIFF in this machine's byte order, or does not tell."""
    try:
        with path.open("rb") as file:
            entries = _directory(file)
            if entries is None:
                return None
            tags = TILES if TILES[0] in entries["tag"] else STRIPS
            found = [_values(file, entries[entries["tag"] == tag]) for tag in tags]
    except (OSError, ValueError, OverflowError):
        return None
    offsets, sizes = found
    if offsets is None or sizes is None or offsets.shape != sizes.shape:
        return None
    return Blocks(offsets, sizes)


def _directory(file: BinaryIO) -> NDArray[np.void] | None:
    head = file.read(16)
    if head[:2] != ORDER:
        return None
    version = _number(head[2:4])
    if version == 42:
        entry, counted, first = CLASSIC, 2, _number(head[4:8])
    elif version == 43 and _number(head[4:6]) == 8:
        entry, counted, first = BIG, 8, _number(head[8:16])
    else:
        return None
    file.seek(first)
    count = _number(file.read(counted))
    return np.frombuffer(_read(file, count * entry.itemsize), entry)


def _values(file: BinaryIO, entries: NDArray[np.void]) -> I64 | None:
    """Of the one entry that has a tag; None where there is not one, or not of numbers."""
    if len(entries) != 1 or int(entries["type"][0]) not in NUMBERS:
        return None
    dtype, count, value = np.dtype(NUMBERS[int(entries["type"][0])]), int(entries["count"][0]), entries["value"][0]
    raw, size = value.tobytes(), count * dtype.itemsize
    if size > len(raw):  # what does not fit the entry lies elsewhere
        file.seek(_number(raw))
        raw = _read(file, size)
    return np.frombuffer(raw[:size], dtype).astype(np.int64)


def _read(file: BinaryIO, size: int) -> bytes:
    """Exactly so many bytes. ValueError: the file has less."""
    if size > os.fstat(file.fileno()).st_size:
        raise ValueError("beyond the end of the file")
    raw = file.read(size)
    if len(raw) != size:
        raise ValueError("beyond the end of the file")
    return raw


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder)
