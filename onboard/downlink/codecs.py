"""Samples of a product as bytes, and back: the codecs of the product format. Pure.

j2k   the bands as one image (`mosaic`) in a JPEG 2000 codestream, reversible: what goes down without loss
raw   the same image as big-endian uint16: quick enough for every candidate (`draft`)
klt   rotated and quantised (`lossy`), then as j2k: what goes down at 40 dB
zip   the samples of the cells inside the mask, high bytes and low bytes apart, zlib: for a sample a cell
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import PhotometricInterpretation, encode_array
from rasterio.io import MemoryFile

from onboard.downlink import lossy
from onboard.downlink.mosaic import as_bytes, lay_out, take_apart

CODECS = ("j2k", "raw", "klt", "zip")
"""By their number in the format."""
MIN_J2K_PX = 32
"""OpenJPEG's six resolutions need as many lines and columns."""

U16 = NDArray[np.uint16]
Mask = NDArray[np.bool_]
Shape = tuple[int, int, int]


def encode_samples(codec: str, dn: U16, half: Sequence[int], cells: Mask, offset: Sequence[float]) -> bytes | None:
    """Code the samples; what lies outside `cells` is not kept.

    Args:
        dn: uint16 (B, H, W).
        half: bands at half resolution; none where a sample is a cell.
        cells: bool (rows, cols), the cells that the product holds.
        offset: radiometric offset of each band, DN.

    Returns:
        None where "klt" cannot keep its promise.
    """
    if codec == "zip":
        inside = dn[:, cells].astype(">u2").view(np.uint8).reshape(-1, 2)
        return zlib.compress(inside.T.tobytes(), 9)
    if codec == "klt":
        made = lossy.code(dn, half, offset, cells)
        return None if made is None else made[0] + _to_j2k(made[1])
    filled = _filled(dn, cells)
    return as_bytes(filled, half) if codec == "raw" else _to_j2k(lay_out(filled, half))


def decode_samples(codec: str, data: bytes, half: Sequence[int], cells: Mask, shape: Shape) -> U16:
    """The samples, uint16 (B, H, W), zero outside `cells`; memory stays within what `shape` asks for.

    Raises:
        ValueError, RasterioError, zlib.error: the data does not fit.
    """
    bands, height, width = shape
    if codec == "zip":
        return _unzip(data, cells, shape)
    if codec == "raw":
        dn = take_apart(np.frombuffer(data, ">u2").astype(np.uint16).reshape(-1, width), half, shape)
    elif codec == "klt":
        if bands * height * width > lossy.MAX_SAMPLES:
            raise ValueError(f"shape {shape}: more than {lossy.MAX_SAMPLES} samples to rotate")
        side = lossy.side_bytes(bands, len(half))
        dn = lossy.decode(data[:side], _from_j2k(data[side:], shape), half, shape)
    else:
        dn = take_apart(_from_j2k(data, shape), half, shape)
    if not cells.all():
        dn[:, ~_pixels(cells, height, width)] = 0
    return dn


def _filled(dn: U16, cells: Mask) -> U16:
    """Outside the cells the mean of each band: nothing is easier to code."""
    if cells.all():
        return dn
    inside = _pixels(cells, *dn.shape[1:])
    filled = np.where(inside, dn, dn[:, inside].mean(axis=1).astype(np.uint16)[:, None, None])
    return np.asarray(filled, dtype=np.uint16)


def _pixels(cells: Mask, height: int, width: int) -> Mask:
    rows, cols = cells.shape
    return np.asarray(cells.repeat(height // rows, axis=0).repeat(width // cols, axis=1))


def _unzip(data: bytes, cells: Mask, shape: Shape) -> U16:
    size = 2 * shape[0] * int(cells.sum())
    unzip = zlib.decompressobj()
    raw = unzip.decompress(data, size + 1)
    if len(raw) != size or cells.shape != shape[1:]:
        raise ValueError(f"{len(raw)} bytes of samples instead of {size}")
    dn = np.zeros(shape, dtype=np.uint16)
    high, low = np.frombuffer(raw, np.uint8).astype(np.uint16).reshape(2, shape[0], -1)
    dn[:, cells] = (high << 8) | low
    return dn


def _to_j2k(image: U16) -> bytes:
    missing = [max(0, MIN_J2K_PX - length) for length in image.shape]
    if any(missing):
        image = np.pad(image, ((0, missing[0]), (0, missing[1])), mode="edge")
    return bytes(encode_array(image, photometric_interpretation=PhotometricInterpretation.MONOCHROME2))


def _from_j2k(blob: bytes, shape: Shape) -> U16:
    bands, height, width = shape
    with MemoryFile(blob) as memory, memory.open(driver="JP2OpenJPEG") as dataset:
        # before it is decoded: it may be very large
        most = max(bands * height, MIN_J2K_PX), max(width, MIN_J2K_PX)
        if dataset.count != 1 or dataset.height > most[0] or dataset.width > most[1]:
            raise ValueError(f"a codestream of {dataset.height} x {dataset.width} for {most[0]} x {most[1]}")
        return np.asarray(dataset.read(1), dtype=np.uint16)  # values below 256 are decoded to bytes
