"""Which cells of a chunk become products: only those that could enter the queue are coded at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.product import Product, encode
from onboard.sense.acquisition import Acquisition
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid
from onboard.store.queue import Queue
from onboard.store.rows import NewProduct

OPTIMISM = 0.5
"""A product is taken to need at least this share of the queue's mean size: smaller ones are rare."""


def value_of(score: float) -> float:
    """What a product is worth to the ground. The planner maximises its sum under the budget."""
    return score


def choose(
    queue: Queue,
    budget_bytes: int,
    acquisition: Acquisition,
    grid: Grid,
    bands: Sequence[str],
    artefact: str,
    chunk: Chunk,
    score: NDArray[np.float32],
    dn: NDArray[np.uint16],
    pending: Sequence[NewProduct],
) -> list[NewProduct]:
    """Code the cells of a chunk that could enter the queue, best first.

    Args:
        queue: sets the density to beat.
        score: float32 (cells,); nan is never chosen.
        dn: uint16 (B, H, W), original DN of the chunk.
        pending: products of earlier chunks of the same group, not yet in the queue.
    """
    floor, mean = queue.floor(budget_bytes)
    room = budget_bytes if floor == 0.0 else 0
    infos = tuple(acquisition.band(name) for name in bands)
    chosen: list[NewProduct] = []
    spent = sum(len(item.payload) for item in pending)
    for cell in np.argsort(-score, kind="stable"):
        value = value_of(float(score[cell]))
        if not value > 0.0 or (floor and value / (OPTIMISM * mean) <= floor) or (room and spent > room):
            break  # nan sorts last; scores fall from here on
        row, col = divmod(int(cell), chunk.cols)
        tile = dn[:, row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL]
        payload = encode(
            Product(
                grid, chunk.row + row, chunk.col + col, acquisition.product_id, acquisition.sensing_time, infos,
                tile, artefact, float(score[cell]),
            )
        )  # fmt: skip
        if len(payload) > budget_bytes or (floor and value / len(payload) <= floor):
            continue
        spent += len(payload)
        chosen.append(NewProduct(chunk.row + row, chunk.col + col, float(score[cell]), value, payload))
    return chosen
