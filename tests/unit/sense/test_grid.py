import math
from itertools import pairwise

import pytest
from rasterio.crs import CRS

from onboard.sense.grid import CELL, Grid

UTM = CRS.from_epsg(32633).to_wkt()
DEGREES = CRS.from_epsg(4326).to_wkt()


def grid(
    crs: str = UTM, x: float = 4e5, y: float = 5e6, size: float = 10.0, width: int = 100, height: int = 70
) -> Grid:
    return Grid(crs, (size, 0.0, x, 0.0, -size, y), width, height)


def test_whole_cells_and_their_remainder() -> None:
    assert (grid().rows, grid().cols) == (2, 3)
    assert grid().remainder_px == 100 * 70 - 6 * CELL * CELL
    assert grid(width=10, height=10).rows == 0


def test_pixel_size_in_metres() -> None:
    assert grid().pixel_size_m == 10
    assert grid(DEGREES, 12.0, 45.0, 1.79663e-4).pixel_size_m == pytest.approx(20.0, abs=0.01)
    assert math.isnan(grid("").pixel_size_m)


def test_pixel_size_of_a_rotated_grid() -> None:
    assert Grid(UTM, (6.0, 8.0, 4e5, 8.0, -6.0, 5e6), 64, 64).pixel_size == (10.0, 10.0)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (grid(CRS.from_epsg(32634).to_wkt()), "CRS"),
        (grid(""), "CRS"),
        (grid(size=10.3), "pixel size"),
        (grid(x=4e5 + 6), "origin"),
        (grid(y=5e6 - 6), "origin"),
    ],
)
def test_what_is_no_revisit(other: Grid, word: str) -> None:
    reason = grid().mismatch(other)
    assert reason is not None
    assert word in reason


def test_what_is_a_revisit() -> None:
    assert grid().mismatch(grid(x=4e5 + 4.9, y=5e6 - 4.9, size=10.1, width=90, height=80)) is None
    assert grid("").mismatch(grid("")) is None


def test_cell_ring_is_closed_counter_clockwise_and_in_place() -> None:
    ring = grid().cell_ring(1, 2)
    assert ring[0] == ring[-1]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    assert area > 0
    assert all(13 < lon < 15 and 44 < lat < 46 for lon, lat in ring)
    assert grid("").cell_ring(0, 0)[0] == (4e5, 5e6 - 320)
