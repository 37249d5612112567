"""GDAL through rasterio, with its habits tamed: a small block cache, silence, one typed error for every fault.

Three things GDAL does by default do not suit a flight computer: its block cache takes 5 % of the machine's memory, its
messages go wherever the host program's logging sends them, and its exceptions say "See previous exception". Everything
here runs under `gdal_env`, and every failure leaves as an `InputError` that names the file.
"""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from onboard.errors import InputError
from onboard.sense.grid import Window

CACHE_BYTES = 32 << 20
"""GDAL's block cache, bytes. A pixel-interleaved tile comes with all its bands, and must fit or is decoded once per
band: 13 bands of 1024 x 1024 px are 27 MB. Chunks follow the file's own blocks, so more would only be memory lost."""
DECODED_BYTES = 64_000_000
"""Of blocks that are decoded ahead (`decoded`), bytes: what a sweep across Sentinel-2's JPEG 2000 takes with every tile
decoded once. Half of it costs a sixth more decoding."""

# What GDAL has to say about a fault is quoted in the InputError; logged here as well it would be a second line.
logging.getLogger("rasterio").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

_SHORT_FILE = re.compile(
    r"got \d+ bytes|expected \d+ bytes|missing data|read error|beyond end|past end|too short|cannot read"
    r"|failed to read directory|premature|unexpected end|truncated",
    re.IGNORECASE,
)


_cache_bytes = CACHE_BYTES
_decoded_bytes = DECODED_BYTES


def set_cache(size: int) -> None:
    """Bytes of decoded blocks from now on: in GDAL's cache at most `CACHE_BYTES`, ahead at most `DECODED_BYTES`."""
    global _cache_bytes, _decoded_bytes
    _cache_bytes, _decoded_bytes = min(size, CACHE_BYTES), min(size, DECODED_BYTES)


def decoded_bytes() -> int:
    """Bytes of blocks that may be decoded ahead."""
    return _decoded_bytes


def gdal_env(**options: str | int) -> rasterio.Env:
    """The settings all reading happens under. Also needed around reads: GDAL's error handler belongs to the thread."""
    return rasterio.Env(**{"GDAL_CACHEMAX": _cache_bytes, **options})


def open_raster(path: str) -> DatasetReader:
    """Open one raster (a file, `/vsizip/...`, `netcdf:"FILE":VAR`); headers only. Call under `gdal_env`.

    Raises:
        InputError: kind `missing`, `truncated` or `unreadable`.
    """
    file = Path(path)
    if file.is_file() and file.stat().st_size == 0:
        raise InputError(path, "the file is empty", "truncated")
    try:
        return rasterio.open(path)
    except RasterioError as error:
        text = cause_text(error)
        if "No such file" in text:
            raise InputError(display(path), "no such file", "missing") from error
        if "not recognized" in text:
            reason = "not a raster GDAL can read, or its header is cut off"
            raise InputError(display(path), reason, "unreadable") from error
        raise InputError(display(path), f"cannot open: {text}", fault_kind(error, "unreadable")) from error


def decode_fault(path: str, window: Window, error: RasterioIOError) -> InputError:
    """The fault of one window as an `InputError` of kind `truncated` or `corrupt`."""
    rows = f"rows {window.row}-{window.row + window.height - 1}"
    cols = f"columns {window.col}-{window.col + window.width - 1}"
    kind = fault_kind(error, "corrupt")
    return InputError(display(path), f"cannot decode {rows}, {cols} ({kind}): {cause_text(error)}", kind)


def fault_kind(error: BaseException, otherwise: str) -> str:
    """`truncated` where GDAL ran off the end of the file, else `otherwise`."""
    return "truncated" if any(_SHORT_FILE.search(str(item)) for item in _chain(error)) else otherwise


def cause_text(error: BaseException) -> str:
    """The deepest message of a chain of exceptions, on one line: GDAL's first word is its most precise."""
    texts = [" ".join(str(item).split()) for item in _chain(error)]
    return next((text.rstrip(". ") for text in reversed(texts) if text), type(error).__name__)


def display(path: str) -> str:
    """A GDAL path as a person would write it."""
    return re.sub(r"^/vsizip/\{(.*?)\}", r"\1", re.sub(r'^netcdf:"(.*)":', r"\1:", path))


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
