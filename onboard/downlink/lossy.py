"""Lossy coding with a promise: in every cell of a chip, every band has a PSNR of 40 dB or more. Pure arrays.

    PSNR = 20 log10(peak / RMSE): RMSE over the 32 x 32 px of one cell, in DN; peak the greatest reflectance that the
    band has in the chip, in DN above its radiometric zero (DN + offset)

so that a dark band is held to its own range, and a chip cannot hide one bad cell among good ones. The bands of one
resolution are rotated onto their principal components (Karhunen-Loeve transform), quantised with one step, and left to
the lossless coder: the error is known before anything is coded, and coding once is enough. Of ten bands that mostly say
the same, three or four components hold more than noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.mosaic import join, split, stack, unstack
from onboard.sense.acquisition import NODATA_DN, SATURATED_DN

PSNR_DB = 40.0
FIRST_STEP = 3.3
"""In tolerated RMSE: a step of sqrt(12) errs by one, where components are wider than it."""
TRIES = 8
MARGIN = 0.995
"""Of the tolerated error that is aimed at."""
MAX_SAMPLES = 1 << 22
"""Of a chip; rotating takes some ten times the memory of its samples."""
_UNIT = 127
"""A rotation's entries are sent in 127ths."""

U16 = NDArray[np.uint16]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rotation:
    """How n planes become n bands: band = mean + scale * (matrix / 127) @ (plane + lowest).

    Attributes:
        mean: uint16 (n,), DN.
        scale: float16 (n,), DN of one step.
        matrix: int8 (n, n).
        lowest: int16 (n,): planes are stored above it.
    """

    mean: U16
    scale: NDArray[np.float16]
    matrix: NDArray[np.int8]
    lowest: NDArray[np.int16]

    def bands(self, planes: U16) -> U16:
        """uint16 (n, H, W) of the stored planes (n, H, W); never the value of no-data."""
        steps = planes.astype(np.float64) + self.lowest[:, None, None]
        mixed = np.tensordot(self.matrix / _UNIT, steps, 1)
        dn = self.mean[:, None, None] + self.scale.astype(np.float64)[:, None, None] * mixed
        return np.clip(np.rint(dn), NODATA_DN + 1, np.iinfo(np.uint16).max).astype(np.uint16)

    def pack(self) -> bytes:
        """Big-endian: means, scales, lowest, matrix."""
        parts = self.mean.astype(">u2"), self.scale.astype(">f2"), self.lowest.astype(">i2"), self.matrix
        return b"".join(part.tobytes() for part in parts)

    @staticmethod
    def unpack(data: bytes, n: int) -> tuple[Rotation, bytes]:
        """A rotation of n bands, and what follows it.

        Raises:
            ValueError: the data ends early.
        """
        mean, scale, lowest = (
            np.frombuffer(data, dtype, n, 2 * n * i) for i, dtype in enumerate((">u2", ">f2", ">i2"))
        )
        matrix = np.frombuffer(data, np.int8, n * n, 6 * n).reshape(n, n)
        if not np.isfinite(scale).all():
            raise ValueError("a scale that is no number")
        rotation = Rotation(mean.astype(np.uint16), scale.astype(np.float16), matrix, lowest.astype(np.int16))
        return rotation, data[6 * n + n * n :]


def peaks(dn: U16, offset: Sequence[float], inside: Mask) -> F64:
    """The peak of each band of a chip, DN above its radiometric zero, float64 (B,); `inside` is bool (H, W)."""
    return np.asarray(dn[:, inside].max(axis=1) + np.asarray(offset), dtype=np.float64)


def worst_psnr(dn: U16, found: U16, offset: Sequence[float], cells: Mask) -> float:
    """The smallest PSNR of any band in any cell, dB; infinite where all is equal, -inf where a peak is not positive.

    Args:
        dn, found: the original and what was decoded, uint16 (B, H, W).
        offset: radiometric offset of each band, DN.
        cells: bool (rows, cols), the cells that count.
    """
    inside = _pixels(cells, dn.shape[1] // cells.shape[0])
    return _psnr(_cell_rmse(dn, found, cells), peaks(dn, offset, inside))


def code(dn: U16, half: Sequence[int], offset: Sequence[float], cells: Mask) -> tuple[bytes, U16] | None:
    """Planes of which the lossless coder makes little.

    Args:
        dn: uint16 (B, H, W) of whole cells.
        half: bands at half resolution.
        offset, cells: as `worst_psnr`.

    Returns:
        what `decode` needs beside the image, and the image, uint16 (rows, W); None where the promise cannot be kept, or
        there are pixels without data or saturated, of which no value would be true.
    """
    side = dn.shape[1] // cells.shape[0]
    inside = _pixels(cells, side)
    peak = peaks(dn, offset, inside)
    if np.isin(dn[:, inside], (NODATA_DN, SATURATED_DN)).any() or not (peak > 0).all():
        return None
    tolerated = peak * 10 ** (-PSNR_DB / 20)
    groups = split(dn, half)
    masks = inside, inside[::2, ::2]
    errors = [tolerated[[band for band in range(len(dn)) if (band in half) == small]] for small in (False, True)]
    step = FIRST_STEP
    for _ in range(TRIES):
        made = [
            _rotate(group.astype(np.float64), mask, error * step) if len(group) else None
            for group, mask, error in zip(groups, masks, errors, strict=True)
        ]
        if any(one is not None and not np.isfinite(one[0].scale).all() for one in made):
            return None
        planes = [
            one[1] if one is not None else group.astype(np.uint16) for one, group in zip(made, groups, strict=True)
        ]
        rotations = [one[0] for one in made if one is not None]
        found = _rebuild(rotations, planes[0], planes[1], half, dn.shape)
        worst = float((_cell_rmse(dn, found, cells) / tolerated[:, None]).max())
        if worst <= 1.0:
            return b"".join(one.pack() for one in rotations), stack(planes[0], planes[1])
        step *= MARGIN / worst
    return None


def decode(data: bytes, image: U16, half: Sequence[int], shape: tuple[int, int, int]) -> U16:
    """The bands, uint16 (B, H, W).

    Args:
        data: beside the image.
        image: decoded, uint16 (rows, W) or larger.

    Raises:
        ValueError: they do not fit together.
    """
    full, small = unstack(image, len(half), shape)
    rotations = []
    for n in (len(full), len(small)):
        if n:
            rotation, data = Rotation.unpack(data, n)
            rotations.append(rotation)
    if data:
        raise ValueError(f"{len(data)} bytes too many")
    return _rebuild(rotations, full, small, half, shape)


def side_bytes(bands: int, half: int) -> int:
    """Length of what `decode` needs beside the image."""
    return sum(6 * n + n * n for n in (bands - half, half))


def _rotate(x: F64, inside: Mask, scale: F64) -> tuple[Rotation, U16]:
    """One group of bands (n, H, W), DN, onto its principal components, in steps of `scale` DN (n,)."""
    mean = np.rint(x[:, inside].mean(axis=1)).astype(np.uint16)
    stored = scale.astype(np.float16)
    y = (x[:, inside] - mean[:, None]) / np.maximum(stored.astype(np.float64), 1e-3)[:, None]  # (n, pixels)
    vectors = np.linalg.eigh(y @ y.T)[1][:, ::-1]
    matrix = np.rint(vectors * _UNIT).astype(np.int8)
    steps = np.rint(np.linalg.solve(matrix / _UNIT, y))
    lowest = np.clip(steps.min(axis=1), -32768, 0)
    planes = np.broadcast_to(-lowest[:, None, None], x.shape).astype(np.uint16)
    planes[:, inside] = np.clip(steps - lowest[:, None], 0, 65535).astype(np.uint16)
    return Rotation(mean, stored, matrix, lowest.astype(np.int16)), planes


def _rebuild(rotations: list[Rotation], full: U16, small: U16, half: Sequence[int], shape: tuple[int, int, int]) -> U16:
    left = list(rotations)
    groups = [left.pop(0).bands(planes) if len(planes) else planes for planes in (full, small)]
    return join(groups[0], groups[1], half, shape)


def _pixels(cells: Mask, side: int) -> Mask:
    return np.asarray(cells.repeat(side, axis=0).repeat(side, axis=1))


def _cell_rmse(dn: U16, found: U16, cells: Mask) -> F64:
    """Root mean square error of each band in each cell that counts, float64 (B, cells)."""
    rows, cols = cells.shape
    side = dn.shape[1] // rows
    error = (dn.astype(np.float64) - found) ** 2
    each = error.reshape(len(dn), rows, side, cols, side).mean(axis=(2, 4))
    return np.asarray(np.sqrt(each[:, cells]))


def _psnr(rmse: F64, peak: F64) -> float:
    if not rmse.any():
        return float("inf")
    with np.errstate(divide="ignore", invalid="ignore"):
        each = 20 * np.log10(np.maximum(peak, 0)[:, None] / rmse)
    return float(np.where(rmse > 0, each, np.inf).min())
