"""`sim:SEED`: the embedded default stream. A seeded world seen on several dates, then once more after a disaster.

    sim:7                                          one disaster kind, chosen by the seed
    sim:7?disaster=flood&passes=5&size=768         flood, fire, landslide, storm or none
    sim:7?cloud=0.3&offset=-1000                   see below

Options: `disaster`; `passes` (1..40, the event's included, default 5); `size` in 10 m pixels (64..10980, default 768);
`cloud`, the mean cloud fraction (0..0.8, default 0.1); `offset`, the radiometric offset of the products: `0`, `-1000`
or `mixed` (default: they alternate); `snr`, a small sensor's signal over standard deviation (default: Sentinel-2's
noise). Anything else is a UsageError. Same options, same bytes, on every machine.

Clouds are *not* given away by `read`: like an L1C product, the stream declares nothing, and the flight software must
cope. Passes are rendered at the first `open` and cached (see `simulator.cache`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from onboard.errors import InputError
from onboard.sense.acquisition import U16, Acquisition, BandInfo, Mask, Reader
from onboard.sense.grid import CELL, Grid, Window
from onboard.sense.simulator import cache
from onboard.sense.simulator.noise import key_of
from onboard.sense.simulator.scene import CHANGED, HIDDEN, make_scene
from onboard.sense.simulator.sensor import QUANTIFICATION
from onboard.sense.simulator.spec import SimSpec, Style, parse_spec
from onboard.sense.simulator.spectra import BANDS
from onboard.sense.stream import Stream, in_time_order

log = logging.getLogger(__name__)


def list_stream(spec: str) -> Stream:
    """The acquisitions of `sim:SEED[?options]`, in time order; the last one holds the disaster. Renders nothing.

    Raises:
        UsageError: not of this form, an unknown option, or a value out of range.
    """
    options = parse_spec(spec)
    scene = make_scene(options)
    grid = _grid(options, scene.style)
    found = []
    for index, one in enumerate(scene.passes):
        bands = tuple(BandInfo(name, one.sensor.offset, QUANTIFICATION) for name in BANDS)
        stamp = one.look.time.strftime("%Y%m%dT%H%M%S")
        found.append(
            SimulatedAcquisition(
                product_id=f"SIM_{options.seed}_{options.disaster}_{stamp}_{options.digest}",
                sensing_time=one.look.time,
                grid=grid,
                bands=bands,
                block_shape=(CELL, options.size),
                where=f"{spec}#{index}",
                spec=options,
                index=index,
            )
        )
    return Stream(spec, in_time_order(found), ())


def _grid(spec: SimSpec, style: Style) -> Grid:
    """UTM north, 10 m, on the multiples of 60 m that Sentinel-2 granules use."""
    zone = int((style.longitude + 180) // 6) + 1
    east = 300_000 + 60 * (key_of(spec.world, "east") % 4000)
    north = 60 * round(style.latitude * 110_900 / 60)
    transform = (10.0, 0.0, float(east), 0.0, -10.0, float(north))
    return Grid(CRS.from_epsg(32600 + zone).to_wkt(), transform, spec.size, spec.size)


@dataclass(frozen=True, kw_only=True)
class SimulatedAcquisition(Acquisition):
    """One simulated pass: number `index` of `spec`."""

    spec: SimSpec
    index: int

    def open(self, names: tuple[str, ...], threads: int = 0) -> SimulatedReader:
        """Render the stream where it is not cached yet, and read from it. Raises InputError for unknown bands."""
        missing = [name for name in names if name not in BANDS]
        if missing:
            raise InputError(self.where, f"no band {', '.join(missing)}; there are {', '.join(BANDS)}", "missing-band")
        planes = tuple(BANDS.index(name) for name in names)
        folder = cache.ensure(self.spec)
        return _MemoryReader(self, planes) if folder is None else _CachedReader(self, planes, folder)


class SimulatedReader(Reader):
    """Reads one pass, and knows the truth about it."""

    def __init__(self, acquisition: SimulatedAcquisition, planes: tuple[int, ...]) -> None:
        self._acquisition = acquisition
        self._planes = planes

    def read(self, window: Window, out: U16) -> Mask | None:
        """See `Reader.read`. Declares nothing unusable: clouds are for the flight software to find."""
        _check(self._acquisition, window)
        for plane, target in zip(self._planes, out, strict=True):
            target[:] = self._pixels(plane, window)
        return None

    def truth(self, window: Window) -> Mask:
        """Pixels the disaster changed and this pass shows (not hidden by cloud or its shadow), bool (height, width)."""
        return self._flag(CHANGED, window)

    def cloud_truth(self, window: Window) -> Mask:
        """Pixels under cloud or in its shadow, bool (height, width): for evaluation and training, not for flight."""
        return self._flag(HIDDEN, window)

    def _flag(self, bit: int, window: Window) -> Mask:
        _check(self._acquisition, window)
        return np.asarray(self._bits(window) & np.uint8(bit) != 0)

    def _pixels(self, plane: int, window: Window) -> NDArray[np.generic]:
        raise NotImplementedError

    def _bits(self, window: Window) -> NDArray[np.uint8]:
        raise NotImplementedError


class _CachedReader(SimulatedReader):
    def __init__(self, acquisition: SimulatedAcquisition, planes: tuple[int, ...], folder: Path) -> None:
        super().__init__(acquisition, planes)
        self._pass_file = folder / f"pass-{acquisition.index:02d}.npy"
        self._mask_file = folder / f"mask-{acquisition.index:02d}.npy"

    def _pixels(self, plane: int, window: Window) -> NDArray[np.generic]:
        size = self._acquisition.spec.size
        rows = cache.read_rows(self._pass_file, np.uint16, size, plane, window.row, window.height)
        return rows[:, window.col : window.col + window.width]

    def _bits(self, window: Window) -> NDArray[np.uint8]:
        rows = cache.read_rows(self._mask_file, np.uint8, self._acquisition.spec.size, 0, window.row, window.height)
        return rows[:, window.col : window.col + window.width].astype(np.uint8, copy=False)


class _MemoryReader(SimulatedReader):
    def __init__(self, acquisition: SimulatedAcquisition, planes: tuple[int, ...]) -> None:
        super().__init__(acquisition, planes)
        self._image, self._mask = cache.in_memory(acquisition.spec, acquisition.index)

    def _pixels(self, plane: int, window: Window) -> NDArray[np.generic]:
        return self._image[plane, window.row : window.row + window.height, window.col : window.col + window.width]

    def _bits(self, window: Window) -> NDArray[np.uint8]:
        return self._mask[window.row : window.row + window.height, window.col : window.col + window.width]


def _check(acquisition: SimulatedAcquisition, window: Window) -> None:
    size = acquisition.spec.size
    bottom, right = window.row + window.height, window.col + window.width
    if min(window.row, window.col) < 0 or max(bottom, right) > size:
        raise InputError(acquisition.where, f"{window} lies outside the {size} x {size} grid", "window")
