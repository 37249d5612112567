"""What can be done once all of an acquisition has been seen: candidates weighed anew, the cheap rungs of the ladder.

From the store alone, so that a run that was broken off before it does the same as one that was not.
"""

from __future__ import annotations

import numpy as np

from onboard.change.record import FINE, fine_bands, present, record_dtype
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.downlink.choose import final_values
from onboard.downlink.context import in_context
from onboard.downlink.estimate import HEADER_BYTES
from onboard.downlink.overview import Thumbnail, overview
from onboard.downlink.product import MAX_SIDE_PX, Product
from onboard.infer.bundle import Bundle
from onboard.sense.acquisition import Acquisition
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store import Store
from onboard.store.rows import AcquisitionRow

THUMBNAIL_BANDS = ("B04", "B03", "B02")
ROWS_AT_ONCE = 8
"""Of cells: 1.4 MB of records across a granule."""


def close_up(
    store: Store,
    row: AcquisitionRow,
    grid: Grid,
    memory_id: int,
    acquisition: Acquisition,
    bundle: Bundle,
    artefact: str,
    budget_bytes: int,
) -> None:
    """Value the candidates of an acquisition among all their neighbours, and queue its overview; idempotent."""
    if budget_bytes <= HEADER_BYTES:
        return
    score = np.full((grid.rows, grid.cols), np.nan, dtype=np.float32)
    for part in store.state.chunks(row.id):
        c = part.chunk
        score[c.row : c.row + c.rows, c.col : c.col + c.cols] = part.score
    probability = in_context(score)
    waiting = [item for item in store.queue.items() if item.acquisition == row.id]
    products = []
    if max(row.rows, row.cols) <= MAX_SIDE_PX:
        seen = np.s_[: row.rows, : row.cols]
        nothing = np.zeros((1, 1, 1), dtype=np.uint16)
        like = Product(grid, 0, 0, acquisition.product_id, acquisition.sensing_time, (), nothing, artefact, 0.0)
        thumbnail = _thumbnail(store, row, memory_id, acquisition, bundle)
        products = overview(probability[seen], ~np.isnan(score[seen]), thumbnail, like)
    store.state.close_up(row.id, products, final_values(probability, waiting), budget_bytes)


def _thumbnail(
    store: Store, row: AcquisitionRow, memory_id: int, acquisition: Acquisition, bundle: Bundle
) -> Thumbnail | None:
    """The pass at one pixel a cell, from the remembered means of its sub-cells; None without the visible bands."""
    fine = fine_bands(bundle.bands)
    if any(name not in bundle.bands for name in THUMBNAIL_BANDS):
        return None
    picks = [bundle.bands.index(name) for name in THUMBNAIL_BANDS]
    places = [fine.index(pick) for pick in picks]
    infos = [acquisition.band(name) for name in THUMBNAIL_BANDS]
    centre, width = np.array(row.statistics["bands"], dtype=np.float32)[picks].T[:2, :, None]
    offset, quantification = (
        np.array([getattr(info, name) for info in infos], dtype=np.float32)[:, None]
        for name in ("offset", "quantification")
    )
    dn = np.zeros((3, row.rows, row.cols), dtype=np.uint16)
    dtype = record_dtype(bundle.latent, bundle.bands)
    for top in range(0, row.rows, ROWS_AT_ONCE):
        lines = min(ROWS_AT_ONCE, row.rows - top)
        records, _ = store.memory.read(memory_id, Chunk(0, top, 0, lines, row.cols), dtype)
        sums = records["fine"][:, places].sum(axis=2, dtype=np.uint16)  # at most 64 x 255
        means = sums.T.astype(np.float32) / np.float32(FINE * FINE)  # (3, cells), exact
        reflectance = np.exp((means - INPUT_ZERO) * INPUT_STEP * width + centre) - bundle.normalise.shift
        pixels = np.clip(np.rint(reflectance * quantification - offset), 1, 65535)
        seen = np.where(present(records), pixels, 0).astype(np.uint16)
        dn[:, top : top + lines] = seen.reshape(3, lines, row.cols)
    return Thumbnail(dn, infos)
