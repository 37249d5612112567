"""Before and after of a detection for the eye: from the stream while it is there, else from remembered band means."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import FINE, FINE_PX, fine_bands, is_clear, record_dtype
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.downlink.draft import read
from onboard.errors import OnboardError
from onboard.infer.bundle import Bundle
from onboard.infer.runtime import Encoder
from onboard.report.outcome import Pictures
from onboard.run import Run
from onboard.sense.acquisition import Acquisition, BandInfo
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Window
from onboard.store import Store
from onboard.store.rows import AcquisitionRow, QueueRow

RGB = ("B04", "B03", "B02")
CONTEXT_PX = 32
"""Pixels shown around the cell, so that a person sees where it lies."""
STRETCH = (2.0, 92.0)
"""Percentiles of both pictures together that become black and white; a cloud at the edge may burn out."""


class Painter:
    """Paints detections of one run."""

    def __init__(
        self,
        store: Store,
        run: Run,
        rows: Mapping[int, AcquisitionRow],
        bundle: Bundle,
        encoder: Encoder,
        history: int,
    ) -> None:
        self._store, self._run, self._rows, self._bundle, self._encoder = store, run, rows, bundle, encoder
        self._history = history
        self._dtype = record_dtype(bundle.latent, bundle.bands)

    def paint(self, item: QueueRow) -> Pictures | None:
        """Pictures of a queued product; None where its own pixels are lost."""
        row = self._rows[item.acquisition]
        source = self._run.sources.get(row.id)
        after = None if source is None else self._from_stream(source, item)
        if after is None:
            after = self._from_product(item)
        if after is None:
            return None
        before, origin, time = None, "stream", None
        earlier = self._earlier(row)
        if earlier is not None and source is not None:
            before, time = self._from_stream(earlier, item), earlier.sensing_time
        if before is None:
            before, origin = self._from_memory(item, row, after.shape), "memory"
            time = row.reference_times[0] if row.reference_times and before is not None else None
        low, high = _limits(after if before is None else np.concatenate([after.reshape(-1, 3), before.reshape(-1, 3)]))
        return Pictures(
            before=None if before is None else _stretch(before, low, high),
            after=_stretch(after, low, high),
            before_from=origin,
            before_time=time,
        )

    def _earlier(self, row: AcquisitionRow) -> Acquisition | None:
        """The newest acquisition of this run's streams that the score compared with."""
        known = {
            self._rows[identity].sensing_time: source
            for identity, source in self._run.sources.items()
            if self._rows[identity].grid_id == row.grid_id
        }
        return next((known[time] for time in row.reference_times if time in known), None)

    def _from_stream(self, source: Acquisition, item: QueueRow) -> NDArray[np.float32] | None:
        """Reflectance (height, width, 3) of the cell with context, or None when it can no longer be read."""
        top, left = max(0, item.row * CELL - CONTEXT_PX), max(0, item.col * CELL - CONTEXT_PX)
        bottom = min(source.grid.height, (item.row + 1) * CELL + CONTEXT_PX)
        right = min(source.grid.width, (item.col + 1) * CELL + CONTEXT_PX)
        dn = np.empty((3, bottom - top, right - left), dtype=np.uint16)
        try:
            with source.open(RGB) as reader:
                reader.read(Window(top, left, bottom - top, right - left), dn)
            return _reflectance(dn, [source.band(name) for name in RGB])
        except (OnboardError, KeyError):
            return None

    def _from_product(self, item: QueueRow) -> NDArray[np.float32] | None:
        payload = self._store.queue.payload(item.id)
        if payload is None:
            return None
        try:
            product = read(payload)
        except OnboardError:
            return None
        names = [band.name for band in product.bands]
        if any(name not in names for name in RGB):
            return None
        picks = [names.index(name) for name in RGB]
        return _reflectance(product.dn[picks], [product.bands[i] for i in picks])

    def _from_memory(self, item: QueueRow, row: AcquisitionRow, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """The remembered sub-cell means of the newest clear past look, brought back to reflectance of *this* pass."""
        grid = dict(self._store.state.grids())[row.grid_id]
        if any(name not in self._bundle.bands for name in RGB):
            return None
        picks = [self._bundle.bands.index(name) for name in RGB]
        past = self._store.memory.past(
            grid, row.sensing_time, self._encoder.artefact.sha256, self._dtype, 4 * self._history
        )
        chunk = Chunk(0, item.row, item.col, 1, 1)
        for earlier in past:
            record = self._store.memory.read(earlier.id, chunk, self._dtype)[0][0]
            if is_clear(record.reshape(1)).all():
                fine = [fine_bands(self._bundle.bands).index(pick) for pick in picks]
                x = (record["fine"][fine].reshape(3, FINE, FINE).astype(np.float32) - INPUT_ZERO) * INPUT_STEP
                frozen = np.array(row.statistics["bands"], dtype=np.float32)[picks]
                shift = self._bundle.normalise.shift
                reflectance = np.exp(x * frozen[:, 1, None, None] + frozen[:, 0, None, None]) - shift
                small = np.repeat(np.repeat(reflectance, FINE_PX, axis=1), FINE_PX, axis=2)
                return np.ascontiguousarray(small.transpose(1, 2, 0), dtype=np.float32)
        return None


def _reflectance(dn: NDArray[np.uint16], infos: list[BandInfo]) -> NDArray[np.float32]:
    planes = [(plane.astype(np.float32) + i.offset) / i.quantification for plane, i in zip(dn, infos, strict=True)]
    return np.stack(planes, axis=-1).astype(np.float32)


def _limits(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    flat = pixels.reshape(-1, 3)
    low, high = np.percentile(flat, STRETCH, axis=0)
    return low.astype(np.float32), np.maximum(high, low + 0.02).astype(np.float32)


def _stretch(pixels: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.uint8]:
    scaled = np.clip((pixels - low) / (high - low), 0.0, 1.0) ** 0.8
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)
