"""Which cells go down together: adjacent ones of like value, as one region within a small block. Pure.

A region costs little more than half as much a cell as single cells do, but all of it waits for its last byte and goes
where its mean value puts it. So the most valuable cell draws in neighbours while they are worth a good part of what it
is worth, within `SIDE` x `SIDE` cells: lossy chips are held to the brightest pixel in them, which must not be far away.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

SIDE = 4
"""Cells along a side of the block that holds a region."""
LIKE = 0.1
"""Of the value of a region's best cell: a neighbour worth less stays out. Chosen on simulated seeds 2, 3 and 6."""

Cell = tuple[int, int]


def merge(values: Mapping[Cell, float]) -> list[list[Cell]]:
    """Regions of cells, each connected by edges, best first; every cell is in exactly one.

    Args:
        values: of each cell (row, column), 0 or more.
    """
    free = dict(values)
    seeds = sorted(values, key=lambda cell: (-values[cell], cell))
    return [_grow(seed, free) for seed in seeds if seed in free]


def _grow(seed: Cell, free: dict[Cell, float]) -> list[Cell]:
    """Take a region around `seed` out of the free cells: always the most valuable neighbour that fits."""
    least = LIKE * free[seed]
    region: list[Cell] = []
    edge = [(-free[seed], seed)]
    top, left = bottom, right = seed
    while edge:
        _, cell = heapq.heappop(edge)
        if cell not in free:
            continue
        box = min(top, cell[0]), min(left, cell[1]), max(bottom, cell[0]), max(right, cell[1])
        if box[2] - box[0] >= SIDE or box[3] - box[1] >= SIDE:
            continue
        top, left, bottom, right = box
        del free[cell]
        region.append(cell)
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            near = cell[0] + down, cell[1] + across
            if free.get(near, -1.0) >= least:
                heapq.heappush(edge, (-free[near], near))
    return sorted(region)
