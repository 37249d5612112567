"""Which cells a polygon touches, and the products that are made of them."""

import numpy as np
import pytest
from rasterio.crs import CRS

from onboard.downlink.asked import Asked, touched
from onboard.downlink.draft import read
from onboard.downlink.link.orders import DEGREE, Query
from onboard.sense.chunks import Chunk
from onboard.sense.geotiff import list_files
from onboard.sense.grid import Grid
from tests.areas import GRID, query
from tests.scenes import BANDS, landscape, write_pass


@pytest.mark.parametrize("cells", [(2, 5, 1, 1), (0, 0, 3, 2), (5, 7, 1, 1), (0, 0, 6, 8)])
def test_a_polygon_touches_its_cells_and_no_other(cells):
    row, col, rows, cols = cells
    expected = np.zeros((6, 8), dtype=bool)
    expected[row : row + rows, col : col + cols] = True
    assert np.array_equal(touched(GRID, query(GRID, cells)), expected)


def test_a_little_more_touches_the_neighbours():
    assert touched(GRID, query(GRID, (2, 5, 1, 1), shrink=-0.2)).sum() == 9


def test_a_polygon_smaller_than_a_cell_touches_it():
    assert np.argwhere(touched(GRID, query(GRID, (3, 3, 1, 1), shrink=0.99))).tolist() == [[3, 3]]


def test_elsewhere_and_without_coordinates_nothing_is_touched():
    away = Query(1, 2, 1, True, (), ((0, 0), (DEGREE, 0), (0, DEGREE)))
    poles = Query(1, 2, 1, True, (), ((0, 90 * DEGREE), (1, 90 * DEGREE), (180 * DEGREE, -90 * DEGREE)))
    for one in (away, poles):
        assert touched(GRID, one).shape == (6, 8)
    assert not touched(GRID, away).any()
    assert not touched(Grid("", GRID.transform, GRID.width, GRID.height), away).any()


@pytest.mark.parametrize("epsg", [32633, 3035, 3857, 4326, 3031, 5041])
def test_no_polygon_on_earth_is_too_much_for_a_projection(epsg):
    rng = np.random.default_rng(epsg)
    scale = 1e-4 if epsg == 4326 else 10.0
    at = {32633: (500_000.0, 5_000_000.0), 3035: (4_321_000.0, 3_210_000.0), 5041: (2e6, 2e6)}.get(epsg, (0.0, 0.0))
    grid = Grid(CRS.from_epsg(epsg).to_wkt(), (scale, 0.0, at[0], 0.0, -scale, at[1]), 256, 192)
    for _ in range(150):
        ring = rng.integers((-180 * DEGREE, -90 * DEGREE), (180 * DEGREE + 1, 90 * DEGREE + 1), (4, 2))
        assert touched(grid, Query(1, 2, 1, True, (), tuple(map(tuple, ring.tolist())))).shape == (6, 8)


def test_a_polygon_of_a_continent_holds_the_grid():
    europe = Query(
        1, 2, 1, True, (), tuple((x * DEGREE, y * DEGREE) for x, y in ((-20, 30), (60, 30), (60, 70), (-20, 70)))
    )
    assert touched(GRID, europe).all()


def test_across_the_antimeridian():
    grid = Grid(CRS.from_epsg(32660).to_wkt(), (10.0, 0.0, 830_000.0, 0.0, -10.0, 500_000.0), 64 * 32, 2 * 32)
    ring = ((1799000000, 40000000), (-1799000000, 40000000), (-1799000000, 50000000), (1799000000, 50000000))
    found = touched(grid, Query(1, 2, 1, True, (), ring))
    lon = np.array(grid.cell_ring(0, 0, 2, 64))[:, 0]
    assert lon.max() > 179 and lon.min() < -179  # the grid lies on both sides
    assert found.any() and not found.all() and found[0, found[0].argmax() :].sum() == found[0].sum()


def test_the_products_hold_the_bands_that_were_asked_for(tmp_path):
    place = landscape()
    place[:, 2 * 32 : 3 * 32, 6 * 32 : 7 * 32] = 0  # nothing was seen there
    ((acquisition,), _) = list_files([write_pass(tmp_path, "20230101", place)])
    everything, part = (
        query(acquisition.grid, (2, 5, 1, 2)),
        query(acquisition.grid, (2, 4, 1, 2), bands=("B04", "B99"), priority=3),
    )
    score = np.full(48, np.nan, np.float32)
    score[2 * 8 + 4] = 0.25
    with Asked([everything, part], acquisition, acquisition.grid, "a" * 64) as asked:
        found = {(new.row, new.col): new for new in asked.offer(Chunk(0, 0, 0, 6, 8), score)}
    assert set(found) == {(2, 4), (2, 5)}
    assert {new.priority for new in found.values()} == {3}  # the more urgent of two
    assert read(found[2, 4].payload).score == 0.25 and read(found[2, 5].payload).score == 0.0
    assert [b.name for b in read(found[2, 5].payload).bands] == ["B04"]
    with Asked([everything], acquisition, acquisition.grid, "a" * 64) as asked:
        (new,) = asked.offer(Chunk(0, 2, 4, 1, 4), np.zeros(4, np.float32))
    product = read(new.payload)
    assert tuple(b.name for b in product.bands) == BANDS
    assert np.array_equal(product.dn, place[:, 64:96, 160:192])
