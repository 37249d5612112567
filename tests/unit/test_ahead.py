"""Reading, looking and comparing run ahead on threads; whoever follows cannot tell, except by the time it takes."""

import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import pytest

from onboard.ahead import look_ahead
from onboard.change.look import Look
from onboard.change.record import record_dtype
from onboard.change.registration import Displacement
from onboard.clock import Stages
from onboard.compare import Compared
from onboard.errors import InputError
from onboard.sense.acquisition import Reader
from onboard.sense.chunks import plan_chunks
from onboard.sense.grid import CELL, Grid

ROWS = 9
GRID = Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 2 * CELL, ROWS * CELL)
CHUNKS = plan_chunks(ROWS, 2, (CELL, 2 * CELL), 2 * CELL * CELL)
BROKEN = InputError("pass.tif", "a block cannot be decoded", "truncated")


@dataclass
class Numbered(Reader):
    """Pixels that hold the row of their cell, plus one; the rows in `broken` cannot be read."""

    broken: tuple[int, ...] = ()
    rows: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def read(self, window, out):
        self.rows.append(window.row // CELL)
        self.threads.add(threading.get_ident())
        if self.rows[-1] in self.broken:
            out[:] = 60_000  # half read
            raise BROKEN
        out[:] = self.rows[-1] + 1

    def truth(self, window):
        return np.full((window.height, window.width), window.row // CELL % 2 == 0)


class Mean:
    """A looker that remembers what it saw, later chunks sooner; never used by two threads at once."""

    def __init__(self, fault=None):
        self.busy, self.fault = threading.Lock(), fault

    def look(self, dn, quality):
        assert self.busy.acquire(blocking=False)
        row = int(dn[0, 0, 0]) - 1
        time.sleep(0.002 * (3 - row % 4) if row % 4 < 3 else 0)
        if row == self.fault:
            raise RuntimeError("a bug")
        records = np.zeros(2, dtype=record_dtype(1, ("B02",)))
        records["fine"] = int(dn.mean())
        self.busy.release()
        return Look(records, np.ones(dn.shape[1:], dtype=bool), np.ones(len(records), np.float32))


class Row:
    """A comparer that gives each cell the row it lies in for a score; never used by two threads at once."""

    def __init__(self):
        self.busy = threading.Lock()

    def compare(self, now, chunk):
        assert self.busy.acquire(blocking=False)
        time.sleep(0.001)
        assert (now["fine"] == chunk.row + 1).all()
        self.busy.release()
        return Compared(np.full(2, chunk.row, np.float32), np.zeros(2, np.uint8), 0)


def ahead(reader, lookers, chunks=CHUNKS):
    workers = [(looker, Row()) for looker in lookers]
    return look_ahead(reader, GRID, 1, chunks, Displacement.none(), workers, Stages())


def lookers(count):
    return [Mean() for _ in range(count)]


def settled():
    """Give the threads time to run as far ahead as they will."""
    time.sleep(0.015)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_every_chunk_comes_once_in_order_with_its_own_pixels_and_look(count):
    reader, seen = Numbered(), []
    for part in ahead(reader, lookers(count)):
        row = part.chunk.row
        assert part.fault is None
        assert (part.pixels.dn == row + 1).all()
        assert (part.truth == (row % 2 == 0)).all()
        assert (part.look.records["fine"] == row + 1).all()
        assert (part.compared.score == row).all()
        seen.append(part.chunk)
    assert seen == CHUNKS
    assert reader.rows == list(range(ROWS))
    assert len(reader.threads) == 1  # files of GDAL belong to one thread


class Lines(Reader):
    """Pixels that hold the line they lie in, plus one; any number of threads may read."""

    @property
    def concurrent(self):
        return True

    def read(self, window, out):
        out[:] = 1 + np.arange(window.row, window.row + window.height)[:, None]


class Noting:
    """A looker and a comparer, slow with some: by number of the chunk, the pixels that were looked at."""

    def __init__(self):
        self.seen, self.last = {}, None

    def look(self, dn, quality):
        time.sleep(0.002 * int(dn[0, 0, 0] % 3))
        self.last = dn.copy()
        return Look(np.zeros(2, record_dtype(1, ("B02",))), np.ones(dn.shape[1:], bool), np.ones(2, np.float32))

    def compare(self, now, chunk):
        self.seen[chunk.index] = self.last
        return Compared(np.zeros(2, np.float32), np.zeros(2, np.uint8), 0)


def test_moved_chunks_are_looked_at_where_they_lie_and_go_down_as_they_are():
    steep = Displacement(np.array([[-4.0, 0], [1, 0], [0, 0]]))  # 3.5 px up at the top, as much down at the bottom
    lookers, moved = [Noting(), Noting()], 0
    for part in look_ahead(Lines(), GRID, 1, CHUNKS, steep, [(one, one) for one in lookers], Stages()):
        settled()
        first, move = part.chunk.row * CELL, steep.of_chunk(part.chunk)[0, 0]
        there = np.arange(first + move, first + move + CELL) + 1
        there[(there < 1) | (there > GRID.height)] = 0
        (seen,) = (one.seen[part.chunk.index] for one in lookers if part.chunk.index in one.seen)
        assert (seen == there[:, None]).all()
        assert (part.pixels.original == 1 + np.arange(first, first + CELL)[:, None]).all()
        moved += move != 0
    assert moved >= ROWS - 2


@pytest.mark.parametrize("broken", [(0,), (4,), (3, 4, 5), (8,), tuple(range(ROWS))], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_a_fault_stays_with_its_chunk(count, broken):
    for part in ahead(Numbered(broken), lookers(count)):
        if part.chunk.row in broken:
            assert part.fault is BROKEN
            assert part.pixels is None
            assert part.look is None
            assert part.compared is None
        else:
            assert part.fault is None
            assert (part.pixels.dn == part.chunk.row + 1).all()
            assert (part.look.records["fine"] == part.chunk.row + 1).all()


@pytest.mark.parametrize("count", [1, 3])
def test_pixels_stay_until_the_next_part_is_asked_for_and_memory_is_bounded(count):
    places = set()
    for part in ahead(Numbered(), lookers(count)):
        settled()
        assert (part.pixels.dn == part.chunk.row + 1).all()
        places.add(part.pixels.dn.__array_interface__["data"][0])
    assert len(places) < ROWS


def test_reading_runs_ahead_but_not_away():
    reader = Numbered()
    with closing(ahead(reader, lookers(1))) as parts:
        next(parts)
        deadline = time.monotonic() + 10
        while len(reader.rows) == 1 and time.monotonic() < deadline:
            settled()
        settled()
        assert 1 < len(reader.rows) <= 4


def test_a_strip_is_begun_when_there_are_buffers_for_all_of_it():
    chunks = plan_chunks(3, 4, (CELL, 2 * CELL), 2 * CELL * CELL)
    reader = Numbered()
    with closing(ahead(reader, lookers(2), chunks)) as parts:
        for taken in range(1, 5):
            next(parts)
            for _ in range(20):
                settled()
            # three buffers, one of them with the caller: the next strip waits until the caller has its last chunk
            assert reader.rows == [0, 0, 1, 1, 2, 2][: 2 * ((taken + 2) // 2)], taken


@pytest.mark.parametrize("chunks_a_strip", [1, 3, 4])
def test_no_strip_waits_for_more_buffers_than_there_are(chunks_a_strip):
    chunks = plan_chunks(3, 2 * chunks_a_strip, (CELL, 2 * CELL), 2 * CELL * CELL)
    assert [part.chunk for part in ahead(Numbered(), lookers(2), chunks)] == chunks


@pytest.mark.parametrize("taken", [0, 1, 4, ROWS])
def test_closing_leaves_no_thread_and_reads_no_more(taken):
    before, reader = set(threading.enumerate()), Numbered()
    parts = ahead(reader, lookers(3))
    for _ in range(taken):
        next(parts)
    parts.close()
    assert set(threading.enumerate()) == before
    read = len(reader.rows)
    settled()
    assert len(reader.rows) == read


def test_a_bug_in_a_looker_is_raised_where_the_chunk_is_due_and_leaves_no_thread():
    before, seen = set(threading.enumerate()), []
    with pytest.raises(RuntimeError, match="a bug"):
        seen.extend(part.chunk.row for part in ahead(Numbered(), [Mean(fault=5), Mean(fault=5)]))
    assert seen == [0, 1, 2, 3, 4]
    assert set(threading.enumerate()) == before


def test_nothing_to_read_is_no_fault():
    assert list(ahead(Numbered(), lookers(2), [])) == []
