"""Pixels as the encoder should see them where a sensor is noisy: a reader that removes noise from whatever is read.

Reads through another reader, a block at a time with its halo, so that no pixel depends on the window it was asked for
in. What was measured stays at hand (`Reader.measured`): products hold it, and never the estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard.config import DetectConfig
from onboard.errors import UsageError
from onboard.governor import Governor, Step
from onboard.restore.enhance import BandScale, Noise, halo, restore
from onboard.restore.filled import FILL_ROUNDS, fill
from onboard.restore.model import Network, RestoreModel
from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, U16, Acquisition, BandInfo, Mask, Reader
from onboard.sense.bands import NATIVE_RESOLUTION_M
from onboard.sense.chunks import Chunk, in_parts, plan_sample, sample_chunks
from onboard.sense.grid import Grid, Window
from onboard.sense.prescan import band_histograms

CORE = 256
"""Side of a block, px; with its halo it bounds the memory taken."""
TOP = 0.999
"""Share of the sampled pixels below the DN that fill the network's 8 bits."""


def taken(model: RestoreModel, bands: Sequence[str]) -> list[int]:
    """Which of the bands a denoiser cleans, in its own order: those of 10 m, then those of 20 m.

    A model of one band cleans all of 10 m; one of as many as there are of 10 m cleans these; one of as many as there
    are in all cleans all of them. A band that a model does not take stays as it is.

    Raises:
        UsageError: the model removes no noise, or is for another number of bands.
    """
    fine = [i for i, name in enumerate(bands) if NATIVE_RESOLUTION_M.get(name, 10) == 10]
    order = fine + [i for i in range(len(bands)) if i not in fine]
    if model.scale != 1 or model.noise is None:
        raise UsageError(f"--denoise {model.name}: removes no noise")
    if model.bands not in (1, len(fine), len(order)):
        raise UsageError(f"--denoise {model.name}: for {model.bands} bands at once, not {len(fine)} or {len(order)}")
    return order if model.bands == len(order) else fine


class CleanReader(Reader):
    """What another reader gives, less its noise.

    Args:
        reader: open; closed by its owner.
        grid, infos: of the acquisition, and of the bands that the reader gives.
        network: of a denoiser, for one thread.
        snr: of the sensor, signal over standard deviation at each band's mean; None for what the model was trained on.
        sample: chunks from which full scale and mean of each band are frozen.
        wanted: asked at each reading; where False, it gives what was measured (the governor's rung).
    """

    def __init__(
        self, reader: Reader, grid: Grid, infos: Sequence[BandInfo], network: Network, snr: float | None,
        sample: Sequence[Chunk], wanted: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self._wanted = wanted
        self._reader, self._grid, self._network = reader, grid, network
        self._bands = len(infos)
        self._order = taken(network.model, [info.name for info in infos])
        largest = max(chunk.window.height * chunk.window.width for chunk in sample)
        buffer = np.empty(self._bands * largest, np.uint16)
        counts = band_histograms(reader, sample, self._bands, [buffer])
        reader.expect(())  # from now on its windows are blocks with their halo
        self._offsets = np.array([round(infos[i].offset) for i in self._order], np.int64)
        constants = network.model.noise or {}
        ratio = snr or constants["snr"]
        self._scales = tuple(
            _scale(counts[i], int(offset), ratio, constants["read_share"])
            for i, offset in zip(self._order, self._offsets, strict=True)
        )

    def read(self, window: Window, out: U16) -> Mask | None:
        """See `Reader`."""
        quality = self._reader.read(window, out)
        if not self._wanted():
            return quality
        first = window.row - window.row % 2, window.col - window.col % 2  # the network sees pixels in fours
        for row in range(first[0], window.row + window.height, CORE):
            for col in range(first[1], window.col + window.width, CORE):
                bottom = min(row + CORE, window.row + window.height)
                right = min(col + CORE, window.col + window.width)
                fine = self._block(row, col, bottom - row, right - col)
                top, left = max(row, window.row), max(col, window.col)
                target = (slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col))
                for plane, band in zip(fine, self._order, strict=True):
                    was = out[band][target]
                    good = (was != NODATA_DN) & (was != SATURATED_DN)
                    was[good] = plane[top - row :, left - col :][good]
        return quality

    def measured(self, window: Window) -> U16:
        """See `Reader`."""
        raw = np.empty((self._bands, window.height, window.width), np.uint16)
        self._reader.read(window, raw)
        return raw

    def keeping(self, folder: Path) -> AbstractContextManager[None]:
        """See `Reader`."""
        return self._reader.keeping(folder)

    def truth(self, window: Window) -> Mask | None:
        """See `Reader`."""
        return self._reader.truth(window)

    def _block(self, row: int, col: int, height: int, width: int) -> U16:
        """Clean DN, uint16 (bands taken, height, width), between no-data and saturation."""
        around = halo(self._network.model) + FILL_ROUNDS
        wide = Window(row, col, height + height % 2, width + width % 2)
        dn = read_around(self._reader, self._grid, wide, around, self._bands)[self._order]
        valid = (dn != NODATA_DN) & (dn != SATURATED_DN)
        offsets = self._offsets[:, None, None]
        light = np.clip(dn + offsets, 0, SATURATED_DN).astype(np.uint16)
        inner = slice(FILL_ROUNDS, -FILL_ROUNDS)
        filled = (light if valid.all() else fill(light, valid))[:, inner, inner]
        fine, _, _ = restore(self._network, filled, self._scales)
        back = np.clip(fine.astype(np.int64) - offsets, NODATA_DN + 1, SATURATED_DN - 1)
        return np.asarray(back[:, :height, :width], np.uint16)


def cleaned(
    reader: Reader, acquisition: Acquisition, bands: Sequence[str], network: Network | None, config: DetectConfig,
    governor: Governor,
) -> Reader:  # fmt: skip
    """The reader that is looked through: without noise where there is a denoiser, until the governor drops it.

    Args:
        reader: of `bands` of the acquisition, open.
    """
    if network is None:
        return reader
    grid = acquisition.grid
    chunks = plan_sample(grid.rows, grid.cols, acquisition.block_shape)
    sample = sample_chunks(chunks, config.prescan_share, config.prescan_all_cells)
    parts = [part for chunk in sample for part in in_parts(chunk, config.chunk_px)]
    infos = [acquisition.band(name) for name in bands]
    return CleanReader(
        reader, grid, infos, network, config.denoiser_snr, parts, lambda: governor.level < Step.DENOISING
    )


def read_around(reader: Reader, grid: Grid, inside: Window, around: int, bands: int) -> U16:
    """A window with so many pixels around it, mirrored at the image's borders: uint16 (bands, ...)."""
    top, left = max(inside.row - around, 0), max(inside.col - around, 0)
    bottom = min(inside.row + inside.height + around, grid.height)
    right = min(inside.col + inside.width + around, grid.width)
    dn = np.empty((bands, bottom - top, right - left), np.uint16)
    reader.read(Window(top, left, bottom - top, right - left), dn)
    sides = (
        (0, 0),
        (top - inside.row + around, inside.row + inside.height + around - bottom),
        (left - inside.col + around, inside.col + inside.width + around - right),
    )
    return np.asarray(np.pad(dn, sides, mode="symmetric"), np.uint16)


def _scale(counts: NDArray[np.int64], offset: int, snr: float, read_share: float) -> BandScale:
    """Of a band's histogram of DN, in DN of its light alone."""
    light = np.maximum(np.arange(len(counts)) + offset, 0)
    total = max(int(counts.sum()), 1)
    mean = max(float(counts @ light) / total, 1.0)
    full = float(light[min(int(np.searchsorted(np.cumsum(counts), TOP * total)), len(counts) - 1)])
    return BandScale(max(full, 1.0), Noise.of_snr(snr, mean, read_share))
