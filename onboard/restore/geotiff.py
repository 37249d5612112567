"""A GeoTIFF of any size through a model, block by block: bounded memory, no seam, georeferencing scaled.

Two readings: a thin sample freezes each band's full scale, then blocks are read with their halo, restored and written
in order. Whatever the size of a block, the DN are the same. The file appears under its name when it is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from onboard.errors import DiskFullError, InputError
from onboard.restore.destripe import LEAST_LINES, SPAN, column_offsets_of, spread, without
from onboard.restore.enhance import BandScale, Noise, halo, restore
from onboard.restore.filled import FILL_ROUNDS, fill
from onboard.restore.model import Network
from onboard.restore.residue import column_means, refined
from onboard.sense.grid import Window
from onboard.sense.raster import cause_text, decode_fault, gdal_env, open_raster

U16 = NDArray[np.uint16]
CORE = 256
"""Side of a block in input pixels; times any scale a multiple of the output's own blocks."""
OUT_BLOCK = 256
SAMPLE_LINES = 64
"""Lines of the sample, spread over the image."""
STRIPE_LINES = 2048
"""Lines from which the offsets of the columns are taken: eight times as many leave 5 dB less of the stripes."""
READ_LINES = 256
"""That are read at once."""
TOP = 99.9
"""Percentile of the sample that fills the 8 bits."""
TYPES = ("uint8", "uint16")
TAG = "ONBOARD_RESTORED"


@dataclass(frozen=True)
class Enhanced:
    """What was done: size of the output, blocks, and the deviation in DN when it is degraded again."""

    width: int
    height: int
    bands: int
    blocks: int
    full_scale: tuple[float, ...]
    mean_deviation: float
    worst_deviation: float


@dataclass(frozen=True)
class Choices:
    """What the caller may choose.

    Attributes:
        snr: signal-to-noise ratio at the mean, for denoisers.
        full_scale: DN that fill the network's 8 bits, None for the sample's own.
        core: side of a block, even.
        compress: of the output, as GDAL names it, or "none".
        destripe: take off what each detector adds to its column; for images in the sensor's own geometry.
    """

    snr: float | None = None
    full_scale: float | None = None
    core: int = CORE
    compress: str = "deflate"
    destripe: bool = False


def enhance_file(
    source: Path, target: Path, network: Network, choices: Choices, progress: Callable[[int, int], None] | None = None
) -> Enhanced:
    """Restore `source` into `target`.

    Raises:
        InputError: the file cannot be read, or holds what cannot be restored.
        DiskFullError: there is no room for the output.
    """
    with gdal_env():
        image = open_raster(str(source))
        with image:
            _check(image, network, source)
            scales = _freeze(image, network, choices, source)
            offsets = _columns(image, source, network, scales) if choices.destripe else None
            part = target.with_name(target.name + ".part")
            try:
                done = _write(image, part, network, scales, offsets, choices, progress)
                part.replace(target)
            except (OSError, RasterioError) as error:
                text = cause_text(error)
                if "No space left" in text or "disk full" in text.lower():
                    raise DiskFullError(f"{target}: the disk is full") from error
                raise InputError(str(target), f"cannot be written ({text})", "output") from error
            finally:
                part.unlink(missing_ok=True)
    return done


def _check(image: DatasetReader, network: Network, source: Path) -> None:
    kinds = sorted(set(image.dtypes))
    if len(kinds) != 1 or kinds[0] not in TYPES:
        raise InputError(str(source), f"pixels of {', '.join(kinds)}; {' or '.join(TYPES)} can be restored", "type")
    if image.count % network.model.bands:
        text = f"{image.count} bands; model {network.model.name} takes them by {network.model.bands}"
        raise InputError(str(source), text, "bands")


def _freeze(image: DatasetReader, network: Network, choices: Choices, source: Path) -> tuple[BandScale, ...]:
    """Full scale and noise of each band, from lines spread over the image; 255 for 8-bit images."""
    rows = spread(image.height, SAMPLE_LINES)
    lines = np.concatenate([_read(image, Window(int(row), 0, 1, image.width), source) for row in rows], axis=1)
    scales = []
    for band, values in enumerate(lines.reshape(image.count, -1)):
        if image.nodatavals[band] is not None:
            values = values[values != image.nodatavals[band]]
        sampled = float(np.percentile(values, TOP)) if values.size else 1.0
        full = choices.full_scale or (255.0 if image.dtypes[band] == "uint8" else max(sampled, 1.0))
        noise = None
        if network.model.noise is not None:
            mean = max(float(values.mean()) if values.size else 1.0, 1.0)
            constants = network.model.noise
            noise = Noise.of_snr(choices.snr or constants["snr"], mean, constants["read_share"])
        scales.append(BandScale(full, noise))
    return tuple(scales)


def _columns(image: DatasetReader, source: Path, network: Network, scales: tuple[BandScale, ...]) -> NDArray[np.int32]:
    """Offsets of the columns, int32 (B, W): of medians, and of what a denoiser that knows stripes sees left of them."""

    def taken(offsets: NDArray[np.int32]) -> NDArray[np.float64]:
        around = halo(network.model) + FILL_ROUNDS

        def block(window: Window) -> tuple[U16, NDArray[np.bool_]]:
            dn, valid = _padded(image, offsets, *window, around)
            inside = (slice(None), slice(around, -around), slice(around, -around))
            return dn, np.ones((len(dn), window.height, window.width), bool) if valid is None else valid[inside]

        return column_means(network, scales, image.height, image.width, block)

    return refined(_medians(image, source), network.model.stripes, scales, taken, image.height)


def _medians(image: DatasetReader, source: Path) -> NDArray[np.int32]:
    """Offsets of the columns, int32 (B, W), from lines spread over the image that hold no no-data."""
    rows = spread(image.height, STRIPE_LINES)
    found = []
    for band in range(image.count):
        whole = rows
        if image.nodata is not None:
            for first in range(0, image.width, SPAN):
                part = _lines(image, source, band, whole, first, min(first + SPAN, image.width))
                whole = whole[(part != image.nodata).all(axis=1)]
        if len(whole) < LEAST_LINES:
            raise InputError(
                str(source), f"fewer than {LEAST_LINES} lines without no-data: stripes cannot be told", "lines"
            )
        found.append(column_offsets_of(partial(_lines, image, source, band, whole), len(whole), image.width))
    return np.stack(found)


def _lines(
    image: DatasetReader, source: Path, band: int, rows: NDArray[np.intp], first: int, end: int
) -> NDArray[np.uint16]:
    """Some columns of these lines of a band, (N, columns); lines that follow each other are read together."""
    found = np.empty((len(rows), end - first), np.uint16)
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        for top in range(start, stop, READ_LINES):
            count = min(READ_LINES, stop - top)
            window = Window(int(rows[top]), first, count, end - first)
            found[top : top + count] = _read(image, window, source, band)[0]
    return found


def _write(
    image: DatasetReader, part: Path, network: Network, scales: tuple[BandScale, ...],
    offsets: NDArray[np.int32] | None, choices: Choices, progress: Callable[[int, int], None] | None,
) -> Enhanced:  # fmt: skip
    model, core = network.model, choices.core
    factor, around, kind = model.scale, halo(model) + FILL_ROUNDS, image.dtypes[0]
    width, height = image.width * factor, image.height * factor
    down, across = -(-image.height // core), -(-image.width // core)
    total = worst = 0.0
    with rasterio.open(part, "w", **_profile(image, choices, width, height, factor)) as out:
        _describe(image, out, network, scales, offsets is not None)
        for block in range(down * across):
            row, col = block // across * core, block % across * core
            rows, cols = min(core, image.height - row), min(core, image.width - col)
            dn, valid = _padded(image, offsets, row, col, rows + rows % 2, cols + cols % 2, around)
            fine, off, most = restore(network, dn, scales, int(np.iinfo(kind).max))
            total, worst = total + off, max(worst, most)
            if valid is not None:
                inner = valid[:, around:, around:]
                lost = ~np.repeat(np.repeat(inner, factor, 1), factor, 2)[:, : fine.shape[1], : fine.shape[2]]
                fine[lost] = int(image.nodata)
            window = RasterWindow(col * factor, row * factor, cols * factor, rows * factor)
            out.write(fine[:, : rows * factor, : cols * factor].astype(kind, copy=False), window=window)
            if progress is not None:
                progress(block + 1, down * across)
    pixels = image.count * image.height * image.width
    full = tuple(scale.full_scale for scale in scales)
    return Enhanced(width, height, image.count, down * across, full, total / pixels, worst)


def _padded(
    image: DatasetReader, offsets: NDArray[np.int32] | None, row: int, col: int, rows: int, cols: int, around: int
) -> tuple[U16, NDArray[np.bool_] | None]:
    """A block with its halo, mirrored at the image's borders, and no-data filled from its neighbours; which are valid.

    The pixels come back with a halo of `around` less `FILL_ROUNDS`, as far out as filling is complete; the mask with
    `around`.
    """
    top, left = max(row - around, 0), max(col - around, 0)
    bottom, right = min(row + rows + around, image.height), min(col + cols + around, image.width)
    dn = _read(image, Window(top, left, bottom - top, right - left), Path(image.name))
    if offsets is not None:
        lost = dn == image.nodata if image.nodata is not None else None
        dn = without(dn, offsets[:, None, left:right])
        if lost is not None:
            dn[lost] = int(image.nodata)
    vertical = (top - row + around, row + rows + around - bottom)
    horizontal = (left - col + around, col + cols + around - right)
    dn = np.pad(dn, ((0, 0), vertical, horizontal), mode="symmetric")
    inner = slice(FILL_ROUNDS, -FILL_ROUNDS)
    if image.nodata is None:
        return dn[:, inner, inner], None
    valid = dn != image.nodata
    if valid.all():
        return dn[:, inner, inner], valid
    return fill(dn, valid)[:, inner, inner], valid


def _read(image: DatasetReader, window: Window, source: Path, band: int | None = None) -> U16:
    """All bands of a window, or one of them: (B, H, W)."""
    part = RasterWindow(window.col, window.row, window.width, window.height)
    try:
        found = image.read(indexes=None if band is None else [band + 1], window=part)
    except RasterioIOError as error:
        raise decode_fault(str(source), window, error) from error
    return np.asarray(found, np.uint16)


def _profile(image: DatasetReader, choices: Choices, width: int, height: int, factor: int) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": width, "height": height, "count": image.count, "dtype": image.dtypes[0],
        "nodata": image.nodata, "tiled": True, "blockxsize": OUT_BLOCK, "blockysize": OUT_BLOCK,
        "bigtiff": "IF_SAFER", "interleave": "band",
    }  # fmt: skip
    if image.crs is not None:
        profile |= {"crs": image.crs}
    if not image.transform.is_identity:
        profile |= {"transform": image.transform * Affine.scale(1 / factor)}
    if choices.compress != "none":
        profile |= {"compress": choices.compress, "predictor": 2}
    return profile


def _describe(image: DatasetReader, out: Any, network: Network, scales: tuple[BandScale, ...], destriped: bool) -> None:
    """Band names and tags go along; one tag says what was applied, so that nobody takes it for a measurement."""
    out.descriptions = image.descriptions
    out.update_tags(**{key: value for key, value in image.tags().items() if key != "AREA_OR_POINT"})
    model = network.model
    applied = {
        "task": model.task, "model": model.name, "version": model.version, "artefact": network.artefact.key,
        "sha256": network.artefact.sha256, "scale": model.scale, "full_scale": [s.full_scale for s in scales],
        "destriped": destriped,
    }  # fmt: skip
    out.update_tags(**{TAG: json.dumps(applied, sort_keys=True)})
