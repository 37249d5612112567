"""A cell is read where its past lies; what goes down is read where it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.errors import InputError
from onboard.sense.acquisition import Reader
from onboard.sense.aligned import read_chunk, room, window_of
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL, Grid, Window

ROWS, COLS = 3, 4
GRID = Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), COLS * CELL + 5, ROWS * CELL + 11)
RANDOM = np.random.default_rng(0)
DN = RANDOM.integers(1, 60_000, (2, GRID.height, GRID.width), dtype=np.uint16)
USABLE = RANDOM.random((GRID.height, GRID.width)) > 0.3


class Picture(Reader):
    """Serves `DN`; as strict as a file about windows beyond its edge."""

    def __init__(self, usable=None, broken=None):
        self.usable, self.broken = usable, broken

    def read(self, window, out):
        assert window.row >= 0
        assert window.col >= 0
        assert window.row + window.height <= GRID.height
        assert window.col + window.width <= GRID.width
        if self.broken is not None and window.row <= self.broken < window.row + window.height:
            raise InputError("pass.tif", "cannot be decoded")
        part = np.s_[window.row : window.row + window.height, window.col : window.col + window.width]
        out[:] = DN[:, *part]
        return None if self.usable is None else self.usable[part]


@st.composite
def chunks(draw):
    row, col = draw(st.integers(0, ROWS - 1)), draw(st.integers(0, COLS - 1))
    return Chunk(0, row, col, draw(st.integers(1, ROWS - row)), draw(st.integers(1, COLS - col)))


def read(chunk, moves, reader=None):
    moves = np.asarray(moves, dtype=np.int64)
    buffer = np.full(len(DN) * room(window_of(chunk, GRID, moves)), 9, np.uint16)
    pixels = read_chunk(reader or Picture(USABLE), chunk, GRID, len(DN), moves, buffer)
    assert np.shares_memory(pixels.original, buffer)
    return pixels


def at(window: Window, dy=0, dx=0):
    """Indices of a window moved by (dy, dx); beyond the edge those of the edge."""
    ys = np.clip(np.arange(window.height) + window.row + dy, 0, GRID.height - 1)
    xs = np.clip(np.arange(window.width) + window.col + dx, 0, GRID.width - 1)
    return ys[:, None], xs


def within(window: Window, dy, dx):
    """Which pixels of a moved window the acquisition has."""
    ys, xs = np.arange(window.height) + window.row + dy, np.arange(window.width) + window.col + dx
    return ((ys >= 0) & (ys < GRID.height))[:, None] & (xs >= 0) & (xs < GRID.width)


@settings(max_examples=60)
@given(chunks(), st.data())
def test_each_cell_is_read_where_its_past_lies_and_is_no_data_beyond_the_edge(chunk, data):
    size = chunk.cells
    moves = data.draw(st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=size, max_size=size))
    pixels = read(chunk, moves)
    for cell, (dy, dx) in enumerate(moves):
        row, col = divmod(cell, chunk.cols)
        there = at(Window((chunk.row + row) * CELL, (chunk.col + col) * CELL, CELL, CELL), dy, dx)
        here = np.s_[row * CELL : row * CELL + CELL, col * CELL : col * CELL + CELL]
        inside = within(Window((chunk.row + row) * CELL, (chunk.col + col) * CELL, CELL, CELL), dy, dx)
        assert (pixels.dn[:, *here] == np.where(inside, DN[:, *there], 0)).all()
        assert (pixels.quality[here] == USABLE[there])[inside].all()
    assert (pixels.original == DN[:, *at(chunk.window)]).all()  # what goes down stays where it is


@settings(max_examples=60)
@given(chunks(), st.integers(-8, 8), st.integers(-8, 8))
def test_a_chunk_that_is_moved_as_one_is_copied_only_where_it_lies_beyond_the_edge(chunk, dy, dx):
    pixels = read(chunk, [(dy, dx)] * chunk.cells)
    inside = within(chunk.window, dy, dx)
    assert (pixels.dn == np.where(inside, DN[:, *at(chunk.window, dy, dx)], 0)).all()
    assert (pixels.quality == USABLE[at(chunk.window, dy, dx)])[inside].all()
    assert np.shares_memory(pixels.dn, pixels.original) == bool(inside.all())


def test_an_unmoved_chunk_is_read_once_into_the_callers_buffer():
    chunk = Chunk(0, 1, 1, 2, 3)
    buffer = np.zeros(2 * 6 * CELL * CELL, np.uint16)
    pixels = read_chunk(Picture(), chunk, GRID, 2, np.zeros((6, 2), np.int64), buffer)
    assert (pixels.dn == DN[:, *at(chunk.window)]).all()
    assert np.shares_memory(pixels.dn, buffer)
    assert pixels.original is pixels.dn
    assert pixels.quality is None


def test_a_moved_product_without_quality_still_has_none():
    assert read(Chunk(0, 0, 0, 1, 1), [(3, -8)], Picture()).quality is None


@pytest.mark.parametrize("move", [(0, 0), (2, 0)])
def test_a_part_that_cannot_be_decoded_is_the_callers_fault_to_contain(move):
    with pytest.raises(InputError, match=r"pass\.tif"):
        read(Chunk(0, 0, 0, 1, 1), [move], Picture(broken=3))
    assert read(Chunk(0, 2, 0, 1, 1), [move], Picture(broken=3)).dn.shape == (2, CELL, CELL)
