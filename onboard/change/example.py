"""A product as an example to search with: its pixels through the flight path, as if this satellite had looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onboard.change.look import Looker
from onboard.change.prescan import statistics_from_list
from onboard.change.record import is_clear
from onboard.change.remembered import Model
from onboard.clock import Stages
from onboard.downlink.product import Product
from onboard.errors import InputError
from onboard.infer.runtime import Encoder
from onboard.sense.grid import CELL
from onboard.sense.normalise import BandStatistics
from onboard.sense.tiles import U8
from onboard.store.recall import RememberedPass

MIN_VALID = 0.5


def scene_of(product: Product, passes: Sequence[RememberedPass]) -> tuple[tuple[BandStatistics, ...], bool]:
    """Band statistics to read a product with: of its own pass where that is remembered, else the median of all.

    Returns:
        One per band of the model, and whether they are the product's own.
    """
    for one in passes:
        if one.product_id == product.product_id and one.sensing_time == product.sensing_time:
            return statistics_from_list(one.statistics), True
    usual = np.median(np.array([one.statistics for one in passes], dtype=np.float64), axis=0)  # (bands, 3)
    return statistics_from_list(usual.tolist()), False


def encode_product(
    product: Product, model: Model, encoder: Encoder, statistics: Sequence[BandStatistics], where: str
) -> U8:
    """Latents of a product's cells, uint8 (cells, L).

    Raises:
        InputError: it lacks bands of the model, has no whole cell, or no clear one.
    """
    names = [band.name for band in product.bands]
    missing = model.bundle.lacking(tuple(names))
    if missing:
        raise InputError(where, f"lacks {', '.join(missing)}, which bundle {model.bundle.name} needs", "missing-band")
    rows, cols = product.dn.shape[1] // CELL, product.dn.shape[2] // CELL
    if rows * cols == 0:
        raise InputError(where, f"smaller than one cell of {CELL} x {CELL} px", "too-small")
    picks = [names.index(name) for name in model.bundle.bands]
    dn = np.ascontiguousarray(product.dn[picks, : rows * CELL, : cols * CELL])
    infos = [product.bands[pick] for pick in picks]
    looker = Looker(model.bundle, encoder, infos, statistics, rows * cols, MIN_VALID, Stages())
    records = looker.look(dn, None).records
    clear = is_clear(records)
    if not clear.any():
        raise InputError(where, "no cell of it has enough valid pixels", "no-data")
    return np.asarray(records["latent"][clear])
