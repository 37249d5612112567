"""Codes what the queue holds for the ground, from the store alone, once the stream has been looked at.

First the cells that fit the budget, but those asked for to the bit, are merged into regions and added as lossy chips,
which go down before them; then the cells that still fit, and passes at one pixel a cell, are made JPEG 2000 in place,
best first. Every step is a transaction: broken off in between, it continues at the next run; until then a candidate
stays the draft it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from onboard.downlink.draft import finished, read
from onboard.downlink.ladder import Rung
from onboard.downlink.product import Product, ProductError, encode
from onboard.downlink.regions import Cell, merge
from onboard.sense.acquisition import BandInfo
from onboard.sense.grid import CELL
from onboard.store.queue import Queue
from onboard.store.rows import NewProduct, QueueRow

BATCH = 64
"""Products that are coded in one transaction."""


def settle(queue: Queue, budget_bytes: int, lossless: bool = True) -> int:
    """Code all candidates that fit the budget; what stays over is left as the reserve.

    Args:
        lossless: False leaves the cells as they are, for a later run to code; their regions are coded all the same.

    Returns:
        how many were damaged in the store and have been dropped.
    """
    damaged = 0
    while True:  # until nothing fits besides: true sizes differ from the estimates
        fitting = queue.fitting(budget_bytes)
        added, lost = _add_regions(queue, fitting)
        if added or lost:
            fitting = queue.fitting(budget_bytes)
        damaged += lost
        waiting = [item for item in fitting if not item.coded and (lossless or item.rung is not Rung.LOSSLESS)]
        if not waiting:
            return damaged
        for start in range(0, len(waiting), BATCH):
            coded: list[tuple[int, bytes | None]] = []
            for item in waiting[start : start + BATCH]:
                payload = queue.payload(item.id)
                try:
                    coded.append((item.id, None if payload is None else finished(payload)))
                except ProductError:
                    coded.append((item.id, None))
            damaged += sum(payload is None for _, payload in coded)
            queue.settle(coded)


def _add_regions(queue: Queue, fitting: Sequence[QueueRow]) -> tuple[int, int]:
    """A lossy chip of every region of cells that fit the budget and are in none yet; how many, and damaged cells.

    Cells of one region are of one pass, one priority and the same bands.
    """
    passes: dict[tuple[int, int], dict[Cell, QueueRow]] = {}
    for item in fitting:
        if item.rung is Rung.LOSSLESS and not item.coded and not item.chip:
            passes.setdefault((item.acquisition, item.priority), {})[item.row, item.col] = item
    added = damaged = 0
    for (acquisition, _), items in passes.items():
        for region in merge({cell: item.value for cell, item in items.items()}):
            parts: dict[tuple[BandInfo, ...], list[tuple[QueueRow, Product]]] = {}
            for item in (items[cell] for cell in region):
                try:
                    product = read(queue.payload(item.id) or b"")
                    parts.setdefault(product.bands, []).append((item, product))
                except ProductError:
                    queue.settle([(item.id, None)])
                    damaged += 1
            for alike in parts.values():
                _enter_region(queue, acquisition, alike)
                added += 1
    return added, damaged


def _enter_region(queue: Queue, acquisition: int, parts: list[tuple[QueueRow, Product]]) -> None:
    chip = assemble([product for _, product in parts])
    payload = encode(chip, "klt")
    first = parts[0][0]  # blocks may overlap and share their corner, cells do not
    new = NewProduct(
        first.row, first.col, chip.score, sum(item.value for item, _ in parts), payload, len(payload),
        rung=Rung.LOSSY, coded=True, priority=first.priority,
    )  # fmt: skip
    queue.enter_region(acquisition, new, [item.id for item, _ in parts])


def assemble(parts: list[Product]) -> Product:
    """One chip of single cells of the same pass, in the smallest block that holds them."""
    top, left = min(p.row for p in parts), min(p.col for p in parts)
    cells = np.zeros((max(p.row for p in parts) - top + 1, max(p.col for p in parts) - left + 1), dtype=bool)
    dn = np.zeros((len(parts[0].bands), cells.shape[0] * CELL, cells.shape[1] * CELL), dtype=np.uint16)
    for part in parts:
        row, col = part.row - top, part.col - left
        cells[row, col] = True
        dn[:, row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL] = part.dn
    return replace(
        parts[0], row=top, col=left, dn=dn, score=max(part.score for part in parts), rung=Rung.LOSSY,
        cells=None if cells.all() else cells,
    )  # fmt: skip
