"""What is remembered of a cell's pass: one checksummed record of at most 512 bytes, and nothing else of the past.

A record holds the latent on its artefact's own uint8 scale, and what the spectral evidence needs: means of the
network's input (uint8, relative radiometry, so that records of different passes compare) over sub-cells, fine for the
bands that are native at 10 m (8 x 8 sub-cells of 4 px), coarse for the others (4 x 4 of 8 px); which fine sub-cells
were valid; and a CRC-32. A record that fails its CRC reads as absent: "first look", never an alarm.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.native.library import kernels
from onboard.native.records import checksums, find_damaged
from onboard.sense.bands import NATIVE_RESOLUTION_M
from onboard.sense.grid import CELL

FINE = 8
"""Fine sub-cells along a side of a cell."""
FINE_PX = CELL // FINE
COARSE = 4
"""Coarse sub-cells along a side of a cell."""
COARSE_PX = CELL // COARSE

FLAG_CLEAR = 1
"""Enough valid pixels: the record may be compared with."""

RECORD_FORMAT = 2
MAX_RECORD_BYTES = 512

Records = NDArray[np.void]


def fine_bands(bands: Sequence[str]) -> list[int]:
    """Indices of the bands that are native at 10 m, in order."""
    return [i for i, name in enumerate(bands) if NATIVE_RESOLUTION_M[name] == 10]


def coarse_bands(bands: Sequence[str]) -> list[int]:
    """Indices of the others, in order."""
    return [i for i, name in enumerate(bands) if NATIVE_RESOLUTION_M[name] != 10]


def record_dtype(latent: int, bands: Sequence[str]) -> np.dtype[np.void]:
    """Layout of a record.

    latent u1 (latent,); fine u1 (fine bands, 64); coarse u1 (coarse bands, 16); valid u8, a bit for each fine sub-cell;
    flags u1; format u1; crc u4.

    Raises:
        ValueError: the record would exceed 512 bytes.
    """
    dtype = np.dtype(
        [
            ("latent", "u1", (latent,)),
            ("fine", "u1", (len(fine_bands(bands)), FINE * FINE)),
            ("coarse", "u1", (len(coarse_bands(bands)), COARSE * COARSE)),
            ("valid", "<u8"),
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
    records["crc"] = _crc(records)


def damaged(records: Records) -> NDArray[np.bool_]:
    """Which records, (N,), do not match their CRC; all-zero records are absent, not damaged."""
    if kernels() is not None:
        return find_damaged(np.ascontiguousarray(records), RECORD_FORMAT)
    here = present(records)
    wrong: NDArray[np.bool_] = (_crc(records) != records["crc"]) | (records["format"] != RECORD_FORMAT)
    return wrong & here


def present(records: Records) -> NDArray[np.bool_]:
    """Which records hold anything at all (format is never 0 in a sealed record)."""
    return np.asarray((records["format"] != 0) | (records["crc"] != 0))


def is_clear(records: Records) -> NDArray[np.bool_]:
    """Which records may be compared with."""
    return np.asarray((records["flags"] & FLAG_CLEAR) != 0)


def unpack_valid(valid: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Bit masks (N,) -> bool (N, 64)."""
    raw = np.ascontiguousarray(valid, dtype="<u8").view(np.uint8).reshape(-1, 8)
    return np.unpackbits(raw, axis=1, bitorder="little").astype(bool)


def pack_valid(valid: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """bool (N, 64) -> bit masks (N,)."""
    return np.packbits(valid.reshape(len(valid), 64), axis=1, bitorder="little").view("<u8").reshape(-1)


def describe(dtype: np.dtype[Any]) -> str:
    """The layout as text, stored with each pass so that other layouts are never misread."""
    return f"{RECORD_FORMAT}:{dtype.itemsize}:{','.join(f'{n}{dtype[n].shape}' for n in dtype.names or ())}"


def _crc(records: Records) -> NDArray[np.uint32]:
    """CRC-32 (as zlib) over each record but its own last four bytes."""
    return checksum_bytes(np.ascontiguousarray(records), records.dtype.itemsize - 4)


def checksum_bytes(records: Records, covered: int) -> NDArray[np.uint32]:
    """CRC-32 (as zlib) over the first `covered` bytes of each of the records, (N,), which follow each other."""
    if kernels() is not None:
        return checksums(records, covered)
    size, raw = records.dtype.itemsize, records.view(np.uint8).reshape(-1).data
    crc = zlib.crc32
    return np.array([crc(raw[start : start + covered]) for start in range(0, len(raw), size)], dtype=np.uint32)
