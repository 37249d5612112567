"""Records by compiled code. Twins: `change.record`, `change.distance`, `change.cloud`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.native.library import Layout, address, kernels, pointer

U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Records = NDArray[np.void]

MAX_FINES, MAX_COARSES = 8, 16
"""Bands that the kernels have room for (layout.h)."""
MAX_BANDS = 16
"""Together (prepare.h)."""
MAX_LATENTS = 250
"""Of which the squares of differences add up to less than 2^24: exact as they are counted, and as float32."""
ROWS = 4
"""Of weights that the kernels take together (layout.h)."""


def available(fines: int, coarses: int) -> bool:
    """Whether there are kernels here, with room for so many 10 m bands and others."""
    fits = fines <= MAX_FINES and coarses <= MAX_COARSES and fines + coarses <= MAX_BANDS
    return fits and kernels() is not None


@cache
def layout_of(dtype: np.dtype[Any]) -> Layout:
    """Where a record's fields lie."""
    at = {name: int(field[1]) for name, field in (dtype.fields or {}).items()}
    return Layout(
        dtype.itemsize, at["latent"], dtype["latent"].shape[0], at["fine"], dtype["fine"].shape[0], at["coarse"],
        dtype["coarse"].shape[0], at["valid"], at["format"],
    )  # fmt: skip


def checksums(records: Records, covered: int) -> NDArray[np.uint32]:
    """CRC-32, as zlib's, of the first `covered` bytes of each record, (N,)."""
    found = np.empty(len(records), np.uint32)
    kernels().onboard_crc32(
        pointer(records, records.dtype), len(records), records.dtype.itemsize, covered, address(found)
    )
    return found


def checksums_of(blocks: Sequence[bytes]) -> list[int]:
    """The same of blocks of any length, in one call."""
    sizes, found = np.array([len(block) for block in blocks], np.int64), np.empty(len(blocks), np.uint32)
    places = (ctypes.c_char_p * len(blocks))(*blocks)
    kernels().onboard_crc32_of(places, address(sizes), len(blocks), address(found))
    crcs: list[int] = found.tolist()
    return crcs


def find_damaged(records: Records, expected: int) -> Mask:
    """Which records, (N,), hold anything and match neither the format `expected` nor their CRC-32."""
    bad = np.empty(len(records), np.bool_)
    at = layout_of(records.dtype).format
    kernels().onboard_damaged(
        pointer(records, records.dtype), len(records), records.dtype.itemsize, at, expected, address(bad)
    )
    return bad


def latent_distances(now: U8, past: U8, scale: float) -> NDArray[np.float32]:
    """Euclidean distances of latents (N, L), the numbers of each one after the other, times `scale`: float32 (N,)."""
    if now.shape != past.shape or now.dtype != np.uint8 or past.dtype != np.uint8 or now.strides[1] != 1:
        raise ValueError(f"latents {now.dtype} {now.shape} and {past.dtype} {past.shape}")
    if past.strides[1] != 1 or now.shape[1] > MAX_LATENTS:
        raise ValueError(f"latents {now.shape} with strides {past.strides}")
    found = np.empty(len(now), np.float32)
    kernels().onboard_latent_distance(
        address(now), now.strides[0], address(past), past.strides[0], len(now), now.shape[1], scale, address(found)
    )
    return found


def filled_up(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (R, ...) of weights and zeros behind them, to a multiple of `ROWS`."""
    return np.concatenate([rows, np.zeros((-len(rows) % ROWS, *rows.shape[1:]), rows.dtype)])


def clouded(
    records: Records, weights: NDArray[np.float32], bias: NDArray[np.float32], out: NDArray[np.float32], limit: float
) -> NDArray[np.uint16]:
    """Coarse sub-cells whose log odds, by a head of (units, B) weights (`filled_up`), exceed `limit`: bits, (N,)."""
    bits = np.empty(len(records), np.uint16)
    kernels().onboard_cloud(
        pointer(records, records.dtype), len(records), ctypes.byref(layout_of(records.dtype)), len(weights),
        pointer(weights, np.float32), pointer(bias, np.float32), pointer(out, np.float32), limit, address(bits),
    )  # fmt: skip
    return bits
