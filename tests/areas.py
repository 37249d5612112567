"""Operators' queries for cells of a small grid, for tests."""

import numpy as np
from rasterio.crs import CRS

from onboard.downlink.link.orders import DEGREE, Query
from onboard.sense.grid import Grid

GRID = Grid(CRS.from_epsg(32633).to_wkt(), (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 8 * 32, 6 * 32)


def query(grid, cells, shrink=0.1, bands=(), priority=1):
    """A query for a block (row, col, rows, cols) of cells, a little smaller or larger than it."""
    ring = np.array(grid.cell_ring(*cells)[:4])
    middle = ring.mean(axis=0)
    ring = middle + (ring - middle) * (1 - shrink)
    return Query(1, 2, priority, True, bands, tuple((round(x * DEGREE), round(y * DEGREE)) for x, y in ring))
