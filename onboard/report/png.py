"""Small PNG images from arrays with zlib alone (PNG, ISO/IEC 15948), and data URIs to carry them inside HTML."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED = 0, 2, 3


def encode(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    """Encode an image; the same pixels give the same bytes.

    Args:
        pixels: uint8 (height, width) grey or palette indices, or (height, width, 3) RGB.
        palette: uint8 (n <= 256, 4) RGBA; `pixels` are then indices into it.

    Raises:
        ValueError: an empty image, or one of another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"no image to encode: {pixels.dtype} {pixels.shape}")
    if palette is not None and (pixels.ndim != 2 or len(palette) > 256 or int(pixels.max()) >= len(palette)):
        raise ValueError("palette does not fit the image")
    height, width = pixels.shape[:2]
    colour = RGB if pixels.ndim == 3 else GREY if palette is None else INDEXED
    # Filter 0 in front of every row: nothing to gain from another on flat colours, and thumbnails are small.
    rows = np.zeros((height, 1 + pixels.size // height), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))]
    if palette is not None:
        chunks += [_chunk(b"PLTE", palette[:, :3].tobytes()), _chunk(b"tRNS", palette[:, 3].tobytes())]
    chunks += [_chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def data_uri(png: bytes) -> str:
    """The image as the value of `<img src>`."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
