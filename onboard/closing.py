"""What can be done once all of an acquisition has been seen: candidates weighed anew, the cheap rungs of the ladder.

From the store alone, so that a run that was broken off before it does the same as one that was not; what a quicklook
has gathered on the way is not read back.
"""

from __future__ import annotations

import numpy as np

from onboard.change.prescan import statistics_from_list
from onboard.change.record import record_dtype
from onboard.downlink.choose import final_values
from onboard.downlink.context import in_context
from onboard.downlink.estimate import HEADER_BYTES
from onboard.downlink.overview import overview
from onboard.downlink.product import MAX_SIDE_PX, Product
from onboard.downlink.quicklook import THUMBNAIL_BANDS, Quicklook
from onboard.infer.bundle import Bundle
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import Grid
from onboard.store import Store
from onboard.store.rows import AcquisitionRow


def begin_quicklook(rows: int, cols: int, bundle: Bundle, budget_bytes: int) -> Quicklook | None:
    """Of an acquisition of so many cells; None where no thumbnail of it goes down."""
    shown = set(THUMBNAIL_BANDS) <= set(bundle.bands) and max(rows, cols) <= MAX_SIDE_PX
    return Quicklook((rows, cols), bundle) if shown and budget_bytes > HEADER_BYTES else None


def close_up(
    store: Store,
    row: AcquisitionRow,
    grid: Grid,
    memory_id: int,
    acquisition: Acquisition,
    bundle: Bundle,
    artefact: str,
    budget_bytes: int,
    quicklook: Quicklook | None,
) -> None:
    """Value the candidates of an acquisition among all their neighbours, and queue its overview; idempotent.

    Args:
        quicklook: `begin_quicklook`, with what this run has written.
    """
    if budget_bytes <= HEADER_BYTES:
        return
    score = np.full((grid.rows, grid.cols), np.nan, dtype=np.float32)
    dtype = record_dtype(bundle.latent, bundle.bands)
    for part in store.state.chunks(row.id):
        c = part.chunk
        score[c.row : c.row + c.rows, c.col : c.col + c.cols] = part.score
        if quicklook is not None and c.index not in quicklook.chunks:  # of a run before this one
            quicklook.add(c, store.memory.read(memory_id, c, dtype)[0])
    probability = in_context(score)
    waiting = store.queue.weights(row.id)
    products = []
    if max(row.rows, row.cols) <= MAX_SIDE_PX:
        seen = np.s_[: row.rows, : row.cols]
        nothing = np.zeros((1, 1, 1), dtype=np.uint16)
        like = Product(grid, 0, 0, acquisition.product_id, acquisition.sensing_time, (), nothing, artefact, 0.0)
        thumbnail = None
        if quicklook is not None:
            infos = [acquisition.band(name) for name in THUMBNAIL_BANDS]
            thumbnail = quicklook.thumbnail(statistics_from_list(row.statistics["bands"]), infos)
        products = overview(probability[seen], ~np.isnan(score[seen]), thumbnail, like)
    store.state.close_up(row.id, products, final_values(probability, waiting), budget_bytes)
