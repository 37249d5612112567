"""The cheap rungs of a pass, from what its scores and the memory hold: event record, scores, thumbnail. Pure.

Probabilities are those in context (`context`), 8 bits each: p = (DN - 1) / 254, DN 0 is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.draft import draft
from onboard.downlink.estimate import estimate_image_bytes
from onboard.downlink.ladder import Rung
from onboard.downlink.product import Product, encode
from onboard.sense.acquisition import BandInfo
from onboard.store.rows import NewProduct

EVENT_FROM = 0.1
"""Probability from which a cell is in the event record: five times what is expected beforehand."""
EVENT_CELLS = 1024
"""Of them at most so many, the best."""
EVENT_LEAST = 8
"""The best of a pass are named whatever their probability: a change of a kind not calibrated for has a low one."""
SCORE = BandInfo("probability", -1.0, 254.0)

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Thumbnail:
    """A pass at one pixel a cell: uint16 (3, rows, cols), 0 where there is nothing, and its bands."""

    dn: NDArray[np.uint16]
    bands: Sequence[BandInfo]


def overview(
    probability: F32, known: NDArray[np.bool_], thumbnail: Thumbnail | None, like: Product
) -> list[NewProduct]:
    """The products, best value per byte first; none where no cell is known.

    Args:
        probability: float32 (rows, cols), in context.
        known: bool (rows, cols), cells with a score of their own.
        like: has the place, pass and model; its samples are not used.
    """
    if not known.any():
        return []
    everything = float(probability.sum())
    best = float(probability[known].max())
    dn = np.where(known, 1 + np.rint(254 * np.clip(probability, 0, 1)), 0).astype(np.uint16)
    products = []
    best_known = np.sort(probability[known])[-EVENT_LEAST:][0]
    alarms = known & (probability >= min(EVENT_FROM, best_known))
    if alarms.sum() > EVENT_CELLS:
        alarms &= probability > np.partition(probability[alarms], -EVENT_CELLS - 1)[-EVENT_CELLS - 1]
    if alarms.any():
        rows, cols = (np.flatnonzero(alarms.any(axis=axis)) for axis in (1, 0))
        block = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        event = replace(
            like, rung=Rung.EVENT, cell_px=1, row=int(rows[0]), col=int(cols[0]), bands=(SCORE,), score=_short(best),
            dn=np.where(alarms, dn, 0)[None][:, *block].astype(np.uint16), cells=_mask(alarms[block]),
        )  # fmt: skip
        products.append(_new(event, float(probability[alarms].sum())))
    whole = replace(like, cell_px=1, row=0, col=0, score=_short(best), cells=None)
    products.append(_new(replace(whole, rung=Rung.SCORES, bands=(SCORE,), dn=dn[None]), everything))
    if thumbnail is not None:
        small = replace(whole, rung=Rung.THUMBNAIL, bands=tuple(thumbnail.bands), dn=thumbnail.dn)
        size = estimate_image_bytes(small.dn)
        products.append(_new(small, everything, size))  # what takes long to code waits with the candidates
    return products


def _new(product: Product, value: float, size: int | None = None) -> NewProduct:
    """A product for the queue; with a size that is only estimated, a draft of it."""
    payload = encode(product, "zip") if size is None else draft(product)
    return NewProduct(
        product.row, product.col, product.score, value, payload, len(payload) if size is None else size,
        rung=product.rung, coded=size is None,
    )  # fmt: skip


def _mask(cells: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return None if cells.all() else cells


def _short(score: float) -> float:
    """Six digits: more would only cost bytes."""
    return float(f"{score:.6g}")
