"""What is remembered of a cell's pass: one checksummed record of at most 512 bytes, and nothing else of the past.

A record holds the latent on its artefact's own uint8 scale, the means of the network's input over 4 x 4 sub-cells of
8 x 8 px (on the input's uint8 scale: relative radiometry, so that records of different passes compare), which sub-cells
were valid, and a CRC-32. A record that fails its CRC reads as absent: "first look", never an alarm.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.sense.grid import CELL

SUB = 4
"""Sub-cells along a side of a cell."""
SUB_PX = CELL // SUB

FLAG_CLEAR = 1
"""Enough valid pixels: the record may be compared with."""

RECORD_FORMAT = 1
MAX_RECORD_BYTES = 512

Records = NDArray[np.void]


def record_dtype(latent: int, bands: int) -> np.dtype[np.void]:
    """Layout of a record: latent u1 (latent,), means u1 (bands, 4, 4), valid u2 bit mask of sub-cells, flags u1, crc u4.

    Raises:
        ValueError: the record would exceed 512 bytes.
    """
    dtype = np.dtype(
        [
            ("latent", "u1", (latent,)),
            ("means", "u1", (bands, SUB, SUB)),
            ("valid", "<u2"),
            ("flags", "u1"),
            ("format", "u1"),
            ("crc", "<u4"),
        ]
    )
    if dtype.itemsize > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {dtype.itemsize} bytes; {MAX_RECORD_BYTES} at most")
    return dtype


def seal(records: Records) -> None:
    """Write the CRC-32 of each record, (N,), in place."""
    records["format"] = RECORD_FORMAT
    size = records.dtype.itemsize
    raw = memoryview(np.ascontiguousarray(records).view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    crc = zlib.crc32
    records["crc"] = [crc(raw[start : start + size - 4]) for start in range(0, len(raw), size)]


def damaged(records: Records) -> NDArray[np.bool_]:
    """Which records, (N,), do not match their CRC; all-zero records are absent, not damaged."""
    if not len(records):
        return np.zeros(0, dtype=bool)
    size = records.dtype.itemsize
    raw = memoryview(np.ascontiguousarray(records).view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    crc = zlib.crc32
    found = np.array([crc(raw[start : start + size - 4]) for start in range(0, len(raw), size)], dtype=np.uint32)
    return np.asarray(((found != records["crc"]) | (records["format"] != RECORD_FORMAT)) & present(records))


def present(records: Records) -> NDArray[np.bool_]:
    """Which records hold anything at all (format is never 0 in a sealed record)."""
    return np.asarray((records["format"] != 0) | (records["crc"] != 0))


def sub_cell_valid(valid: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Bit masks (N,) -> bool (N, 4, 4)."""
    bits = (valid[:, None] >> np.arange(SUB * SUB, dtype=np.uint16)) & 1
    return bits.astype(bool).reshape(-1, SUB, SUB)


def pack_valid(valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """bool (N, 4, 4) -> bit masks (N,)."""
    weights = (1 << np.arange(SUB * SUB)).astype(np.uint32)
    return np.asarray((valid.reshape(len(valid), -1) * weights).sum(axis=1), dtype=np.uint16)


def describe(dtype: np.dtype[Any]) -> str:
    """The layout as text, stored with each pass so that other layouts are never misread."""
    return f"{RECORD_FORMAT}:{dtype.itemsize}:{','.join(f'{n}{dtype[n].shape}' for n in dtype.names or ())}"
