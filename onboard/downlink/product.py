"""A product: samples of a block of cells of one pass, self-describing, with its own checksums, decodable alone.

Layout (big-endian), format 3:

    magic `OBDP`, u8 version, u8 rung (`ladder`), u8 codec (`codecs`), u8 px a cell, u32 row and u32 column of the
    upper-left cell, u16 rows, u16 columns of cells, SHA-256 of the model (32), u16 length of the text
    text    zlib with `_DICTIONARY`, of UTF-8 JSON with sorted keys: bands with offset and quantification, grid, product
            id, sensing time, score, bands at half resolution, the cells inside where not all are, and what
            made an estimate
    samples as the codec leaves them
    SHA-256 of everything before (32), u32 CRC-32 of everything before

`decode(encode(p)) == p` for every codec but "klt", which keeps the promise of `lossy`; any flipped bit is noticed and
raises `ProductError`.
"""

from __future__ import annotations

import hashlib
import json
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from onboard.downlink.codecs import CODECS, decode_samples, encode_samples
from onboard.downlink.ladder import Rung
from onboard.downlink.mosaic import halved
from onboard.errors import OnboardError
from onboard.sense.acquisition import BandInfo
from onboard.sense.grid import CELL, Grid

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # a codestream has no georeference: the header does

MAGIC = b"OBDP"
VERSION = 3
HEAD = struct.Struct(">4sBBBBIIHH32sH")
_CRC = struct.Struct(">I")
_SHA_BYTES = 32
_TAIL = _SHA_BYTES + _CRC.size
MAX_HEADER_BYTES = 1 << 16
MAX_SIDE_PX = 4096
MAX_BANDS = 64
MAX_SAMPLES = 1 << 26
"""128 MB: what a product that anyone may have made can take in memory."""
_NAMES = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
_DICTIONARY = (
    '"B01""B09""B10"[1,0,0,0,1],"cells":"fffe","grid":["",[0.0001,0.0,"half":[],'
    + "".join(f'["{name}",0.0,10000.0],' for name in _NAMES)
    + '{"bands":[' + ",".join(f'["{name}",-1000.0,10000.0]' for name in _NAMES)
    + '],"grid":["EPSG:32633",[10.0,0.0,500000.0,0.0,-10.0,5000000.0],10980,10980],"half":[3,4,5,7,8,9],'
    '"product_id":"S2B_MSIL1C_S2A_MSIL2A_2024","score":0.9,"sensing_time":"2024-05-03T10:06:11.000000+00:00"}'
).encode()  # fmt: skip
"""What most texts share, for zlib to refer to: a part of the format."""

_WINDOW_BITS, _MEMORY_LEVEL = 12, 4
"""Of zlib, for texts of a kilobyte: what it would clear for longer ones costs more than packing them."""


class ProductError(OnboardError):
    """The bytes are no product, of another version, or damaged."""

    kind = "product"


@dataclass(frozen=True)
class Product:
    """One block of cells of one pass.

    Attributes:
        grid: where the cells count from.
        row, col: upper-left cell.
        bands: radiometry of each band, in the order of `dn`.
        dn: digital numbers, uint16 (B, H, W): the original ones, but of a LOSSY chip; zero outside `cells`.
        model: SHA-256 of the artefact that chose it.
        score: of the cell (the greatest, of several).
        rung: what it holds.
        cell_px: samples along a side of a cell: `CELL` of chips, twice that of enhanced ones, 1 of what has a sample a
            cell.
        cells: bool (rows, cols), which cells of the block it holds; None: all.
        restored: what an estimate was made by: task, model, version, artefact and its SHA-256; None: measured.
    """

    grid: Grid
    row: int
    col: int
    product_id: str
    sensing_time: datetime
    bands: tuple[BandInfo, ...]
    dn: NDArray[np.uint16]
    model: str
    score: float
    rung: Rung = Rung.LOSSLESS
    cell_px: int = CELL
    cells: NDArray[np.bool_] | None = None
    restored: Mapping[str, Any] | None = None

    def inside(self) -> NDArray[np.bool_]:
        """Which cells of the block it holds, bool (rows, cols)."""
        _, height, width = self.dn.shape
        shape = height // self.cell_px, width // self.cell_px
        return np.ones(shape, dtype=bool) if self.cells is None else self.cells


def encode(product: Product, codec: str = "j2k") -> bytes:
    """Code a product; deterministic for equal input.

    Args:
        codec: of `CODECS`; where "klt" cannot keep its promise, "j2k" takes its place.
    """
    half = halves(product)
    samples = encode_samples(codec, product.dn, half, product.inside(), [band.offset for band in product.bands])
    if samples is None:
        return encode(product, "j2k")
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zdict=_DICTIONARY)
    packed = packer.compress(text_of(product, half)) + packer.flush()
    body = head_of(MAGIC, VERSION, product, codec, len(packed)) + packed + samples
    body += hashlib.sha256(body).digest()
    return body + _CRC.pack(zlib.crc32(body))


def halves(product: Product) -> list[int]:
    """Its bands that are coded at half resolution."""
    return halved(product.dn) if product.cell_px == CELL else []


def head_of(magic: bytes, version: int, product: Product, codec: str, text_bytes: int) -> bytes:
    """The fields before the text."""
    return HEAD.pack(
        magic, version, product.rung, CODECS.index(codec), product.cell_px, product.row, product.col,
        *product.inside().shape, bytes.fromhex(product.model), text_bytes,
    )  # fmt: skip


def text_of(product: Product, half: Sequence[int]) -> bytes:
    """The text, before it is packed."""
    cells = product.inside()
    text: dict[str, Any] = {
        "bands": [[b.name, b.offset, b.quantification] for b in product.bands],
        "grid": [_short_crs(product.grid.crs), list(product.grid.transform), product.grid.width, product.grid.height],
        "half": list(half),
        "product_id": product.product_id,
        "score": product.score,
        "sensing_time": product.sensing_time.isoformat(),
    }
    if not cells.all():
        text["cells"] = np.packbits(cells).tobytes().hex()
    if product.restored is not None:
        text["restored"] = dict(product.restored)
    return json.dumps(text, sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Product:
    """The product that `encode` coded; everything is checked that decides how much memory it takes.

    Raises:
        ProductError: damaged, truncated, of another version, or not a product.
    """
    check_head(data, MAGIC, VERSION, _TAIL)
    body, sha = data[:-_TAIL], data[-_TAIL : -_CRC.size]
    if _CRC.pack(zlib.crc32(data[: -_CRC.size])) != data[-_CRC.size :] or hashlib.sha256(body).digest() != sha:
        raise ProductError("damaged: checksum differs")
    return read_body(body, lambda packed: zlib.decompressobj(zdict=_DICTIONARY).decompress(packed, MAX_HEADER_BYTES))


def check_head(data: bytes, magic: bytes, version: int, tail_bytes: int = 0) -> None:
    """Raises ProductError unless the data begins as said and is not too short."""
    if len(data) < HEAD.size + tail_bytes or data[:4] != magic:
        raise ProductError("not a product")
    if data[4] != version:
        raise ProductError(f"product version {data[4]}, this software reads {version}")


def read_body(body: bytes, unpack: Callable[[bytes], bytes]) -> Product:
    """The product of a head, a text that `unpack` unpacks, and samples.

    Raises:
        ProductError: they do not fit each other.
    """
    try:
        _, _, rung, codec, cell_px, row, col, rows, cols, model, length = HEAD.unpack_from(body)
        start = HEAD.size + length
        text = json.loads(unpack(body[HEAD.size : start]))
        if cell_px not in (1, CELL, 2 * CELL):
            raise ValueError(f"{cell_px} px a cell")
        bands = tuple(BandInfo(*item) for item in text["bands"])
        shape = len(bands), rows * cell_px, cols * cell_px
        _check(shape)
        cells = _cells(text, rows, cols)
        crs, transform, width, height = text["grid"]
        return Product(
            grid=Grid(_long_crs(crs), tuple(transform), width, height),
            row=row,
            col=col,
            product_id=text["product_id"],
            sensing_time=datetime.fromisoformat(text["sensing_time"]),
            bands=bands,
            dn=decode_samples(CODECS[codec], body[start:], _half(text, shape), cells, shape),
            model=model.hex(),
            score=text["score"],
            rung=Rung(rung),
            cell_px=cell_px,
            cells=None if cells.all() else cells,
            restored=_restored(text),
        )
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, zlib.error,
        RasterioError,
    ) as error:  # fmt: skip
        raise ProductError(f"header or payload is not valid ({type(error).__name__}: {error})") from error


def _check(shape: tuple[int, int, int]) -> None:
    bands, height, width = shape
    if not (0 < bands <= MAX_BANDS and 0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise ValueError(f"shape {shape}")
    if bands * height * width > MAX_SAMPLES:
        raise ValueError(f"shape {shape}: more than {MAX_SAMPLES} samples")


def _cells(text: dict[str, Any], rows: int, cols: int) -> NDArray[np.bool_]:
    if "cells" not in text:
        return np.ones((rows, cols), dtype=bool)
    bits = np.frombuffer(bytes.fromhex(text["cells"]), np.uint8)
    if len(bits) != -(-rows * cols // 8):
        raise ValueError(f"{len(bits)} bytes of cells for {rows} x {cols}")
    cells = np.unpackbits(bits, count=rows * cols).astype(bool).reshape(rows, cols)
    if not cells.any():
        raise ValueError("no cell inside")
    return cells


def _half(text: dict[str, Any], shape: tuple[int, int, int]) -> list[int]:
    half = text["half"]
    if half and (sorted(set(half)) != half or half[0] < 0 or half[-1] >= shape[0] or shape[1] % 2 or shape[2] % 2):
        raise ValueError(f"bands at half resolution {half} of {shape}")
    return list(half)


def _restored(text: dict[str, Any]) -> dict[str, Any] | None:
    found = text.get("restored")
    if found is not None and not isinstance(found, dict):
        raise ValueError("what made it is not named")
    return found


def transform_of(product: Product) -> tuple[float, float, float, float, float, float]:
    """Affine (a, b, c, d, e, f) from the product's own samples to its CRS."""
    a, b, c, d, e, f = product.grid.transform
    x, y, px = product.col * CELL, product.row * CELL, CELL / product.cell_px
    return (a * px, b * px, a * x + b * y + c, d * px, e * px, d * x + e * y + f)


def write_geotiff(product: Product, path: str) -> None:
    """The decoded pixels as a GeoTIFF with band names, offset and scale, for QGIS and rasterio."""
    transform = rasterio.Affine(*transform_of(product))
    count, height, width = product.dn.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype="uint16", nodata=0,
        crs=product.grid.crs or None, transform=transform, compress="deflate",
    ) as dataset:  # fmt: skip
        dataset.write(product.dn)
        dataset.descriptions = tuple(band.name for band in product.bands)
        dataset.scales = tuple(1.0 / band.quantification for band in product.bands)
        dataset.offsets = tuple(band.offset / band.quantification for band in product.bands)
        if product.restored is not None:
            dataset.update_tags(ONBOARD_RESTORED=json.dumps(product.restored, sort_keys=True))
        dataset.update_tags(PRODUCT_ID=product.product_id, TIFFTAG_DATETIME=f"{product.sensing_time:%Y:%m:%d %H:%M:%S}")


def _short_crs(wkt: str) -> str:
    """`EPSG:code` where that stands for exactly this text, else the text: WKT is the only form every CRS has."""
    epsg = _epsg(wkt)
    return f"EPSG:{epsg}" if epsg else wkt


def _long_crs(text: str) -> str:
    return CRS.from_epsg(int(text[5:])).to_wkt() if text.startswith("EPSG:") else text


@lru_cache(maxsize=16)
def _epsg(wkt: str) -> int | None:
    epsg = CRS.from_wkt(wkt).to_epsg() if wkt else None
    return epsg if epsg and CRS.from_epsg(epsg).to_wkt() == wkt else None
