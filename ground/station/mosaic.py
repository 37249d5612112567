"""The current picture of a granule: the newest chips over the last full image, and when each cell was seen.

    NAME.tif       uint16 DN, 0 where nothing is known; reflectance = DN * scale + offset, both of them in its tags
    NAME-age.tif   float64, a pixel a cell: band 1 `age` (days before the tag REFERENCE_TIME), band 2 `sensing_time`
                   (seconds since 1970-01-01 UTC); nan where nothing is known

Both are Cloud-Optimised GeoTIFFs. A cell shows, band by band, the newest source that has it; its age is that of the
oldest band it shows. DN are the source's own where the source has the radiometry of the newest source of that band; one
of another radiometry (an older processing baseline) is brought to it. Memory holds a block and some cells, whatever the
granule's size: the blocks go to an uncompressed file beside the result first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as Part

from ground.receive.durable import UNFINISHED
from ground.station.chips import Chip
from onboard.errors import InputError, StoreError, UsageError
from onboard.sense.acquisition import NODATA_DN, U16, Acquisition, BandInfo, Reader
from onboard.sense.chunks import Chunk, plan_chunks
from onboard.sense.grid import CELL, Grid, Window

TILE_PX = 512
BLOCK_PX = 1 << 20
"""Pixels of a block at most: 20 MB of ten bands."""
CACHE_BYTES = 64_000_000
"""Of GDAL, for files."""
DAY_S = 86_400.0

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Mosaic:
    """What was written; `chips` are those that can be seen, `cells` those that show anything."""

    picture: Path
    ages: Path
    bands: tuple[str, ...]
    chips: int
    cells: int
    cells_from_base: int


def write_mosaic(
    target: Path, grid: Grid, chips: Sequence[Chip], base: Acquisition | None, now: datetime, only: Sequence[str] = ()
) -> Mosaic:
    """Write both files of a granule; what was there is replaced once the new ones are whole.

    Args:
        target: of the picture, `NAME.tif`.
        grid: of the granule; chips beyond it are not shown.
        chips: of this granule, in any order.
        base: a full image on the same grid, or None.
        now: what ages count from.
        only: names of bands; empty for all, those of the base first.

    Raises:
        InputError: the base cannot be read.
        UsageError: a band that no source has.
        StoreError: a chip cannot be read, or a file cannot be written.
    """
    sources = _in_time(chips, base)
    bands = _radiometry(sources, base, only)
    ages = target.with_name(f"{target.stem}-age.tif")
    parts = [path.with_name(path.name + UNFINISHED) for path in (target, ages)]
    flat = target.with_name(f"{target.stem}.flat{UNFINISHED}")
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
            with _picture(flat, grid, bands, base, sources) as picture:
                painter = _Painter(grid, bands, sources)
                painter.paint(picture, base)
            rasterio.shutil.copy(flat, parts[0], driver="COG", compress="deflate", predictor=2, bigtiff="if_safer")
            seen = painter.seconds
            _write_ages(parts[1], grid, seen, now)
        for part, path in zip(parts, (target, ages), strict=True):
            part.replace(path)
    except (RasterioError, OSError) as error:
        raise StoreError(f"{target}: cannot be made ({error})") from error
    finally:
        for left in (flat, *parts):
            left.unlink(missing_ok=True)
    known = ~np.isnan(seen)
    return Mosaic(
        target, ages, tuple(b.name for b in bands), len(painter.shown), int(known.sum()), int(painter.from_base.sum())
    )


class _Painter:
    """Fills a picture block by block; each cell and band is painted once, by the newest source that has it."""

    def __init__(self, grid: Grid, bands: Sequence[BandInfo], sources: Sequence[Chip | Acquisition]) -> None:
        self._grid, self._bands, self._sources = grid, bands, sources
        self._shape = (-(-grid.height // CELL), -(-grid.width // CELL))
        whole = (0, self._shape[0], 0, self._shape[1])
        rectangles = [(s.row, s.row + s.rows, s.col, s.col + s.cols) if isinstance(s, Chip) else whole for s in sources]
        self._rectangles = np.array(rectangles, dtype=np.int64).reshape(-1, 4)
        self.seconds: Seconds = np.full(self._shape, np.nan)
        self.from_base = np.zeros(self._shape, dtype=np.bool_)
        self.shown: set[str] = set()

    def paint(self, picture: Any, base: Acquisition | None) -> None:
        """All blocks, in the order in which the base's own lie in its file."""
        blocks = plan_chunks(*self._shape, base.block_shape if base else (TILE_PX, TILE_PX), BLOCK_PX)
        with ExitStack() as open_files:
            names = tuple(b.name for b in self._bands if base and any(b.name == o.name for o in base.bands))
            reader = open_files.enter_context(base.open(names)) if base and names else None
            for block in blocks:
                dn = self._block(block, base, names, reader)
                window = self._window(block)
                part = Part(window.col, window.row, window.width, window.height)
                picture.write(dn[:, : window.height, : window.width], window=part)

    def _block(self, block: Chunk, base: Acquisition | None, names: tuple[str, ...], reader: Reader | None) -> U16:
        dn = np.zeros((len(self._bands), block.rows * CELL, block.cols * CELL), dtype=np.uint16)
        seconds = np.full((len(self._bands), block.rows, block.cols), np.nan)
        top, bottom, left, right = self._rectangles.T
        over = (top < block.row + block.rows) & (bottom > block.row)
        over &= (left < block.col + block.cols) & (right > block.col)
        for place in np.flatnonzero(over):
            source = self._sources[place]
            if isinstance(source, Chip):
                if self._paste(source, block, dn, seconds):
                    self.shown.add(source.sha256)
            elif base is not None and reader is not None:
                before = np.isnan(seconds).any(axis=0)
                self._fill(base, names, reader, block, dn, seconds)
                here = before & ~np.isnan(seconds).all(axis=0)
                self.from_base[block.row : block.row + block.rows, block.col : block.col + block.cols] = here
        known = ~np.isnan(seconds).all(axis=0)
        oldest = np.min(np.where(np.isnan(seconds), np.inf, seconds), axis=0)
        self.seconds[block.row : block.row + block.rows, block.col : block.col + block.cols][known] = oldest[known]
        return dn

    def _paste(self, chip: Chip, block: Chunk, dn: U16, seconds: Seconds) -> bool:
        """Paste the part of a chip that lies in a block; a cell without any pixel is not part of it (a mask)."""
        r0, r1 = max(chip.row, block.row), min(chip.row + chip.rows, block.row + block.rows)
        c0, c1 = max(chip.col, block.col), min(chip.col + chip.cols, block.col + block.cols)
        names = [b.name for b in chip.bands]
        pairs = [(i, names.index(b.name)) for i, b in enumerate(self._bands) if b.name in names]
        cells = np.s_[r0 - block.row : r1 - block.row, c0 - block.col : c1 - block.col]
        if not any(np.isnan(seconds[to][cells]).any() for to, _ in pairs):
            return False
        window = Part((c0 - chip.col) * CELL, (r0 - chip.row) * CELL, (c1 - c0) * CELL, (r1 - r0) * CELL)
        try:
            with rasterio.open(chip.cog) as dataset:
                pixels = dataset.read([source + 1 for _, source in pairs], window=window)
        except RasterioError as error:
            raise StoreError(f"{chip.cog}: cannot be read ({error})") from error
        part = np.zeros((len(pairs), (r1 - r0) * CELL, (c1 - c0) * CELL), dtype=np.uint16)
        part[:, : pixels.shape[1], : pixels.shape[2]] = pixels
        bands = [(to, chip.bands[source]) for to, source in pairs]
        where = Chunk(0, r0 - block.row, c0 - block.col, r1 - r0, c1 - c0)
        return self._lay(part, bands, chip.sensing_time, where, dn, seconds)

    def _fill(
        self, base: Acquisition, names: tuple[str, ...], reader: Reader, block: Chunk, dn: U16, seconds: Seconds
    ) -> None:
        order = [b.name for b in self._bands]
        bands = [(order.index(name), base.band(name)) for name in names]
        if not any(np.isnan(seconds[to]).any() for to, _ in bands):
            return
        window = self._window(block)
        part = np.zeros((len(names), block.rows * CELL, block.cols * CELL), dtype=np.uint16)
        pixels = np.zeros((len(names), window.height, window.width), dtype=np.uint16)
        height = min(window.height, base.grid.height - window.row)
        width = min(window.width, base.grid.width - window.col)
        reader.read(Window(window.row, window.col, height, width), pixels)
        part[:, : window.height, : window.width] = pixels
        self._lay(part, bands, base.sensing_time, Chunk(0, 0, 0, block.rows, block.cols), dn, seconds)

    def _lay(
        self, part: U16, bands: Sequence[tuple[int, BandInfo]], time: datetime, at: Chunk, dn: U16, seconds: Seconds
    ) -> bool:
        """Lay pixels (B', H, W) over what is still empty of their bands; whether any of them is seen."""
        has = (part != NODATA_DN).any(axis=0).reshape(at.rows, CELL, at.cols, CELL).any(axis=(1, 3))
        seen = False
        for pixels, (to, radiometry) in zip(part, bands, strict=True):
            when = seconds[to, at.row : at.row + at.rows, at.col : at.col + at.cols]
            free = has & np.isnan(when)
            if not free.any():
                continue
            seen = True
            when[free] = time.timestamp()
            mask = free.repeat(CELL, axis=0).repeat(CELL, axis=1)
            w = at.window
            out = dn[to, w.row : w.row + w.height, w.col : w.col + w.width]
            out[mask] = _rescaled(pixels, radiometry, self._bands[to])[mask]
        return seen

    def _window(self, block: Chunk) -> Window:
        """The pixels of a block; cells at the right and lower edge may be cut by the grid's."""
        w = block.window
        return Window(w.row, w.col, min(w.height, self._grid.height - w.row), min(w.width, self._grid.width - w.col))


def _in_time(chips: Sequence[Chip], base: Acquisition | None) -> list[Chip | Acquisition]:
    """Sources, the newest first; at the same time the base last, of chips the truest first."""
    sources: list[Chip | Acquisition] = [*(chip for chip in chips if chip.is_picture), *([base] if base else [])]

    def key(source: Chip | Acquisition) -> tuple[datetime, int, int, str]:
        return source.order if isinstance(source, Chip) else (source.sensing_time, -1, 0, "")

    return sorted(sources, key=key, reverse=True)


def _radiometry(
    sources: Sequence[Chip | Acquisition], base: Acquisition | None, only: Sequence[str]
) -> tuple[BandInfo, ...]:
    """The bands of the picture, those of the base first, each as its newest source has it."""
    newest: dict[str, BandInfo] = {}
    for source in sources:
        for band in source.bands:
            newest.setdefault(band.name, band)
    names = dict.fromkeys([*(b.name for b in base.bands)] if base else [])
    names |= dict.fromkeys(sorted(newest))
    missing = [name for name in only if name not in names]
    if missing:
        raise UsageError(f"--bands {','.join(missing)}: no source has it; there are {', '.join(names)}")
    return tuple(newest[name] for name in (only or names))


def _rescaled(dn: U16, have: BandInfo, want: BandInfo) -> U16:
    """DN of another radiometry, by reflectance = (DN + offset) / quantification; no-data stays."""
    if (have.offset, have.quantification) == (want.offset, want.quantification):
        return dn
    values = (dn + have.offset) * (want.quantification / have.quantification) - want.offset
    return np.where(dn == NODATA_DN, NODATA_DN, np.clip(np.rint(values), 1, 65535)).astype(np.uint16)


@contextmanager
def _picture(
    path: Path, grid: Grid, bands: Sequence[BandInfo], base: Acquisition | None, sources: Sequence[Chip | Acquisition]
) -> Iterator[Any]:
    with rasterio.open(
        path, "w", driver="GTiff", width=grid.width, height=grid.height, count=len(bands), dtype="uint16",
        nodata=NODATA_DN, crs=grid.crs or None, transform=rasterio.Affine(*grid.transform), tiled=True,
        blockxsize=TILE_PX, blockysize=TILE_PX, interleave="band", bigtiff="if_safer",
    ) as dataset:  # fmt: skip
        dataset.descriptions = tuple(band.name for band in bands)
        dataset.scales = tuple(1.0 / band.quantification for band in bands)
        dataset.offsets = tuple(band.offset / band.quantification for band in bands)
        newest = sources[0].sensing_time.astimezone(UTC)
        dataset.update_tags(TIFFTAG_DATETIME=f"{newest:%Y:%m:%d %H:%M:%S}", BASE=base.product_id if base else "none")
        yield dataset


def _write_ages(path: Path, grid: Grid, seconds: Seconds, now: datetime) -> None:
    rows, cols = seconds.shape
    with rasterio.open(
        path, "w", driver="COG", width=cols, height=rows, count=2, dtype="float64", nodata=float("nan"),
        crs=grid.crs or None, transform=rasterio.Affine(*grid.transform) @ rasterio.Affine.scale(CELL),
        compress="deflate", overviews="none",
    ) as dataset:  # fmt: skip
        dataset.write((now.timestamp() - seconds) / DAY_S, 1)
        dataset.write(seconds, 2)
        dataset.descriptions = ("age", "sensing_time")
        dataset.units = ("d", "s")
        dataset.update_tags(REFERENCE_TIME=now.astimezone(UTC).isoformat(timespec="seconds"))


def match_base(granule: Grid, bases: Sequence[Acquisition]) -> Acquisition | None:
    """The newest full image on the granule's grid."""
    fitting = [base for base in bases if base.grid.mismatch(granule) is None]
    return max(fitting, key=lambda base: (base.sensing_time, base.product_id)) if fitting else None


def open_bases(specs: Sequence[str]) -> list[Acquisition]:
    """The full images in GeoTIFF files, `.SAFE` products or whatever else is a STREAM.

    Raises:
        InputError: nothing there, or one of them cannot be used.
    """
    from onboard.sense.stream import open_stream

    found: list[Acquisition] = []
    for spec in specs:
        stream = open_stream(spec)
        if not stream.acquisitions:
            raise stream.refused[0] if stream.refused else InputError(spec, "no image in it", "empty-stream")
        found += stream.acquisitions
    return found
