"""Which cells a polygon touches, and the products that are made of them."""

import numpy as np
import pytest

from onboard.downlink.asked import Asked, touched
from onboard.downlink.link.orders import DEGREE, Query
from onboard.downlink.product import decode
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
    with Asked([everything, part], acquisition, acquisition.grid, "m" * 64) as asked:
        found = {(new.row, new.col): new for new in asked.offer(Chunk(0, 0, 0, 6, 8), score)}
    assert set(found) == {(2, 4), (2, 5)}
    assert {new.priority for new in found.values()} == {3}  # the more urgent of two
    assert decode(found[2, 4].payload).score == 0.25 and decode(found[2, 5].payload).score == 0.0
    assert [b.name for b in decode(found[2, 5].payload).bands] == ["B04"]
    with Asked([everything], acquisition, acquisition.grid, "m" * 64) as asked:
        (new,) = asked.offer(Chunk(0, 2, 4, 1, 4), np.zeros(4, np.float32))
    product = decode(new.payload)
    assert tuple(b.name for b in product.bands) == BANDS
    assert np.array_equal(product.dn, place[:, 64:96, 160:192])
