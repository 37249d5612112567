"""What operators ask for on the ladder: to the bit past all regions, or as the region that holds it; first of all."""

from dataclasses import replace

import pytest

from benchmarks.queued import TIME, TRANSFORM, products
from onboard.downlink.ladder import Rung
from onboard.downlink.link.orders import Query
from onboard.downlink.link.session import choose
from onboard.downlink.plan import PlanSettings
from onboard.downlink.product import decode, encode
from onboard.downlink.settle import settle
from onboard.sense.grid import CELL, Grid
from onboard.store import Store
from onboard.store.rows import ALONE, NewProduct
from tests.areas import query

PLENTY = 1 << 30
NOW = 1_800_000_000


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as one:
        one.state.add_grid(products(1)[0].grid)
        yield one


def enter(store, parts, priority=0, chip=0, value=0.9):
    """Candidates of one pass, each worth as much."""
    grid = store.state.grids()[0][0]
    row = store.state.find(grid, TIME, "p", "a") or store.state.begin(grid, TIME, "p", "a", "s", (64, 64), [], {})
    new = [
        NewProduct(p.row, p.col, p.score, value, encode(p, "raw"), 5000, priority=priority, chip=chip) for p in parts
    ]
    store.state.commit(row.id, [], new, {}, PLENTY)


def held(store, rung):
    """(row, column): the queue's row of each product of a rung."""
    return {(item.row, item.col): item for item in store.queue.items() if item.rung is rung}


def ask(store, col, cols, lossless):
    grid = Grid(products(1)[0].grid.crs, TRANSFORM, 64 * CELL, 64 * CELL)
    one = Query(NOW, NOW + 100, 7, lossless, (), query(grid, (0, col, 1, cols)).ring)

    def touches(grid, query, row, cell):
        return row == 0 and col <= cell < col + cols

    return store.state.orders.take(one, {}, NOW, touches)


def test_a_cell_that_is_asked_for_to_the_bit_enters_no_region(store):
    parts = products(4)
    enter(store, [parts[0], parts[3]])
    enter(store, parts[1:2], priority=5, chip=ALONE)
    enter(store, parts[2:3], priority=5)
    assert settle(store.queue, PLENTY) == 0
    first, *_ = store.queue.items()
    assert (first.rung, first.col, first.priority) == (Rung.LOSSY, 2, 5)  # as good as asked for, in fewer bytes
    cells, regions = held(store, Rung.LOSSLESS), held(store, Rung.LOSSY)
    assert (cells[0, 1].chip, cells[0, 1].priority, cells[0, 1].coded) == (ALONE, 5, True)
    assert (cells[0, 2].chip, cells[0, 2].priority) == (first.id, 0)  # what it asked for is the region
    assert {col for _, col in regions} == {0, 2, 3}
    assert decode(store.queue.payload(cells[0, 1].id)).dn.tobytes() == parts[1].dn.tobytes()


def test_cells_of_other_bands_make_regions_of_their_own(store):
    full, part = products(2), products(2, bands=("B04",))[1]
    enter(store, [full[0], replace(part, sensing_time=TIME)])
    assert settle(store.queue, PLENTY) == 0
    regions = held(store, Rung.LOSSY)
    assert [len(decode(store.queue.payload(regions[0, col].id)).bands) for col in (0, 1)] == [4, 1]


def test_a_query_raises_what_it_wants_of_the_ladder(store):
    enter(store, products(6))
    settle(store.queue, PLENTY)
    regions = {item.id for item in held(store, Rung.LOSSY).values()}
    cells = held(store, Rung.LOSSLESS)
    assert {cells[0, col].chip for col in range(6)} == regions
    assert ask(store, 1, 2, lossless=False) == len({cells[0, 1].chip, cells[0, 2].chip})
    assert {item.id for item in store.queue.items() if item.priority} == {cells[0, 1].chip, cells[0, 2].chip}
    assert ask(store, 5, 1, lossless=True) == 1
    assert held(store, Rung.LOSSLESS)[0, 5].priority == 7 and held(store, Rung.LOSSLESS)[0, 4].priority == 0


def test_a_candidate_that_waits_uncoded_keeps_to_the_bit_what_was_asked_so(store):
    enter(store, products(2))
    assert ask(store, 1, 1, lossless=True) == 1
    settle(store.queue, PLENTY)
    assert set(held(store, Rung.LOSSY)) == {(0, 0)} and held(store, Rung.LOSSLESS)[0, 1].chip == ALONE


def test_what_is_asked_for_goes_first_and_leaves_last(store):
    best, asked = products(2)
    enter(store, [best], value=1.0)
    enter(store, [asked], priority=1, chip=ALONE, value=1e-6)
    settle(store.queue, PLENTY)
    first, *_ = choose(store.queue.items(), {}, PLENTY, PlanSettings())
    assert (first.col, first.rung) == (1, Rung.LOSSLESS)
    store.queue.trim(5000)
    assert [(item.col, item.rung) for item in store.queue.items()] == [(1, Rung.LOSSLESS)]
