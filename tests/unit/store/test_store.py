import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from onboard.change.record import FLAG_CLEAR, record_dtype, seal
from onboard.downlink.ladder import Rung
from onboard.errors import DiskFullError, StoreError
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store import MEMORY_FILE, STATE_FILE, Store
from onboard.store.queue import RESERVE
from onboard.store.rows import ChunkRow, NewProduct

GRID = Grid("", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 320, 256)
DTYPE = record_dtype(16, ("B02", "B03", "B04", "B08"))
T0 = datetime(2023, 1, 1, tzinfo=UTC)


def records(count: int, seed: int = 0) -> np.ndarray:
    out = np.zeros(count, dtype=DTYPE)
    out["latent"] = np.random.default_rng(seed).integers(0, 256, out["latent"].shape)
    out["flags"] = FLAG_CLEAR
    seal(out)
    return out


def begin(store: Store, product: str = "p", settings: str = "s"):
    grid_id = store.state.add_grid(GRID) if not store.state.grids() else store.state.grids()[0][0]
    return store.state.begin(grid_id, T0, product, "a", settings, (8, 10), [], {"bands": []})


def chunk_row(index: int = 0) -> ChunkRow:
    chunk = Chunk(index, index * 2, 0, 2, 10)
    score = np.random.default_rng(index).random((2, 10), dtype=np.float32)
    return ChunkRow(chunk, np.full((2, 10), 3, np.uint8), score, None)


def test_grids_come_back_equal(tmp_path):
    with Store(tmp_path) as store:
        identity = store.state.add_grid(GRID)
    with Store(tmp_path) as store:
        assert store.state.grids() == [(identity, GRID)]


def test_records_written_in_strips_are_read_by_any_chunk(tmp_path):
    everything = records(80)
    with Store(tmp_path) as store:
        memory = store.memory
        identity = memory.enter(GRID, T0, "p", "a", DTYPE, [])
        grid = everything.reshape(8, 10)
        memory.write(identity, [(Chunk(0, 0, 0, 8, 4), grid[:, :4].reshape(-1).copy())])
        memory.write(identity, [(Chunk(1, 0, 4, 8, 6), grid[:, 4:].reshape(-1).copy())])
        found, bad = memory.read(identity, Chunk(0, 2, 3, 3, 5), DTYPE)
        assert bad == 0
        assert (found == grid[2:5, 3:8].reshape(-1)).all()


def test_strips_that_do_not_lie_as_the_chunk_does(tmp_path):
    """Wider than it, missing in the middle of it, or cut short: what is remembered of its cells, and zeros."""
    everything = records(80).reshape(8, 10)
    with Store(tmp_path) as store:
        memory = store.memory
        identity = memory.enter(GRID, T0, "p", "a", DTYPE, [])
        for row in (0, 1, 3):
            memory.write(identity, [(Chunk(0, row, 0, 1, 10), everything[row].copy())])
        memory.write(identity, [(Chunk(1, 4, 4, 1, 3), everything[4, 4:7].copy())])
        wanted = np.zeros((6, 3), DTYPE)
        wanted[[0, 1, 3]] = everything[[0, 1, 3], 5:8]
        wanted[4, :2] = everything[4, 5:7]
        found, bad = memory.read(identity, Chunk(0, 0, 5, 6, 3), DTYPE)
        assert bad == 0
        assert (found == wanted.reshape(-1)).all()
        memory._db.execute("UPDATE strip SET records = zeroblob(7) WHERE row = 1")
        wanted[1] = np.zeros(1, DTYPE)
        assert (memory.read(identity, Chunk(0, 0, 5, 6, 3), DTYPE)[0] == wanted.reshape(-1)).all()
        assert not memory.read(identity, Chunk(0, 6, 0, 2, 10), DTYPE)[0]["format"].any()


def test_several_passes_are_read_in_one_answer_however_each_lies(tmp_path):
    """In the chunk's own strips, in wider ones, in part, not at all; each in its place and with its own damage."""
    everything = [some.reshape(8, 10) for some in np.split(records(320), 4)]
    chunk = Chunk(0, 2, 4, 4, 3)
    inside = np.s_[2:6, 4:7]
    with Store(tmp_path) as store:
        memory = store.memory
        same, wide, part, none, alike = (memory.enter(GRID, T0, name, "a", DTYPE, []) for name in "abcde")
        memory.write(same, [(chunk, everything[0][inside].reshape(-1).copy())])
        memory.write(wide, [(Chunk(0, 0, 0, 8, 10), everything[1].reshape(-1).copy())])
        memory.write(part, [(Chunk(0, 3, 4, 1, 3), everything[2][3, 4:7].copy())])
        broken = everything[3][inside].reshape(-1).copy()
        broken["latent"][5] ^= 1
        memory.write(alike, [(chunk, broken)])
        partly = np.zeros((4, 3), DTYPE)
        partly[1] = everything[2][3, 4:7]
        broken[5] = np.zeros(1, DTYPE)
        wanted = {
            same: everything[0][inside].reshape(-1), wide: everything[1][inside].reshape(-1),
            part: partly.reshape(-1), none: np.zeros(12, DTYPE), alike: broken,
        }  # fmt: skip
        for passes in ((same, alike), (alike, same), (same, wide, part, none, alike), (none,), (wide, same), ()):
            found, bad = memory.read_all(passes, chunk, DTYPE)
            assert found.shape == (len(passes), 12)
            assert bad == (alike in passes)
            for one, place in zip(passes, found, strict=True):
                assert (place == wanted[one]).all()


def test_a_pass_begun_anew_leaves_no_strips_of_other_chunks(tmp_path):
    everything = records(80).reshape(8, 10)
    with Store(tmp_path) as store:
        memory = store.memory
        identity = memory.enter(GRID, T0, "p", "a", DTYPE, [])
        memory.write(identity, [(Chunk(0, 0, 5, 1, 5), everything[1, 5:].copy())])
        assert memory.enter(GRID, T0, "p", "a", DTYPE, [], anew=True) == identity
        memory.write(identity, [(Chunk(0, 0, 0, 1, 8), everything[0, :8].copy())])
        assert (memory.read(identity, Chunk(0, 0, 6, 1, 1), DTYPE)[0] == everything[0, 6]).all()


def test_the_past_is_strictly_earlier_newest_first_and_of_the_same_model(tmp_path):
    with Store(tmp_path) as store:
        for day, artefact in ((0, "a"), (1, "a"), (2, "b"), (3, "a")):
            store.memory.enter(GRID, T0 + timedelta(days=day), "p", artefact, DTYPE, [])
        past = store.memory.past(GRID, T0 + timedelta(days=3), "a", DTYPE, 10)
        assert [one.sensing_time.day for one in past] == [2, 1]
        assert (
            store.memory.past(
                GRID, T0 + timedelta(days=9), "a", record_dtype(16, ("B02", "B03", "B04", "B08", "B12")), 10
            )
            == []
        )


def test_a_flipped_bit_in_the_memory_is_counted_and_reads_as_absent(tmp_path):
    with Store(tmp_path) as store:
        identity = store.memory.enter(GRID, T0, "p", "a", DTYPE, [])
        store.memory.write(identity, [(Chunk(0, 0, 0, 1, 10), records(10))])
    db = sqlite3.connect(tmp_path / MEMORY_FILE)
    blob = bytearray(db.execute("SELECT records FROM strip").fetchone()[0])
    blob[3 * DTYPE.itemsize + 5] ^= 4
    db.execute("UPDATE strip SET records=?", (bytes(blob),))
    db.commit()
    db.close()
    with Store(tmp_path) as store:
        found, bad = store.memory.read(identity, Chunk(0, 0, 0, 1, 10), DTYPE)
    assert bad == 1
    assert found["flags"].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_a_reader_for_another_thread_sees_what_is_committed_and_cannot_write(tmp_path):
    with Store(tmp_path) as store, store.memory.reader() as reader:
        identity = store.memory.enter(GRID, T0, "p", "a", DTYPE, [])
        written = records(10)
        store.memory.write(identity, [(Chunk(0, 0, 0, 1, 10), written)])
        with ThreadPoolExecutor(1) as other:
            found, bad = other.submit(reader.read, identity, Chunk(0, 0, 0, 1, 10), DTYPE).result()
        assert bad == 0
        assert (found == written).all()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._db.execute("DELETE FROM strip")


def test_forget_keeps_the_newest_passes(tmp_path):
    with Store(tmp_path) as store:
        for day in range(5):
            identity = store.memory.enter(GRID, T0 + timedelta(days=day), "p", "a", DTYPE, [])
            store.memory.write(identity, [(Chunk(0, 0, 0, 1, 10), records(10))])
        assert store.memory.forget(GRID, "a", 2) == 3
        past = store.memory.past(GRID, T0 + timedelta(days=9), "a", DTYPE, 10)
        assert [one.sensing_time.day for one in past] == [5, 4]


def test_committed_chunks_come_back_to_the_byte(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [chunk_row(0), chunk_row(1)], [], {"truncated": 2}, 0)
        store.state.commit(row.id, [chunk_row(2)], [], {"truncated": 1}, 0)
    with Store(tmp_path) as store:
        assert store.state.done_chunks(row.id) == {0, 1, 2}
        found = list(store.state.chunks(row.id))
        assert found[1].score.tobytes() == chunk_row(1).score.tobytes()
        assert store.state.counters([row.id]) == {"truncated": 3}


def test_beginning_anew_drops_everything_of_the_unfinished_one(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [chunk_row()], [NewProduct(0, 0, 1.0, 1.0, b"x" * 10, 10)], {"k": 1}, 100)
        again = begin(store, settings="other")
        assert store.state.done_chunks(again.id) == set()
        assert store.queue.items() == []
        assert store.state.counters([row.id, again.id]) == {}


def test_the_queue_is_the_best_value_per_byte_under_its_budget(tmp_path):
    rng = np.random.default_rng(5)
    pairs = zip(rng.random(60), rng.integers(5, 40, 60), strict=True)
    products = [NewProduct(i, 0, value, value, bytes(size), int(size)) for i, (value, size) in enumerate(pairs)]
    with Store(tmp_path) as store:
        row = begin(store)
        for start in range(0, 60, 7):
            store.state.commit(row.id, [], products[start : start + 7], {}, 300)
        items = store.queue.items()
        assert sum(item.size for item in items) <= 300 * RESERVE
        assert sum(item.size for item in store.queue.fitting(300)) <= 300
        densities = [item.value / item.size for item in items]
        assert densities == sorted(densities, reverse=True)
        # what stayed is worth nearly as much as what a planner who knew all of them beforehand would have kept
        offline, used = 0.0, 0
        for product in sorted(products, key=lambda p: -p.value / len(p.payload)):
            if used + len(product.payload) <= 300 * RESERVE:
                offline, used = offline + product.value, used + len(product.payload)
        assert sum(item.value for item in items) >= 0.9 * offline


def test_payloads_are_checked_when_read(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], [NewProduct(0, 0, 1.0, 1.0, b"payload", 7, coded=True)], {}, 100)
        item = store.queue.items()[0]
        assert store.queue.payload(item.id) == b"payload"
    db = sqlite3.connect(tmp_path / STATE_FILE)
    db.execute("UPDATE queue SET payload=?", (b"paylobd",))
    db.commit()
    db.close()
    with Store(tmp_path) as store:
        assert store.queue.payload(item.id) is None


@pytest.mark.parametrize("name", [STATE_FILE, MEMORY_FILE])
def test_a_store_of_another_version_is_refused_and_left_alone(tmp_path, name):
    Store(tmp_path).close()
    db = sqlite3.connect(tmp_path / name)
    db.execute("PRAGMA user_version=99")
    db.close()
    before = (tmp_path / name).read_bytes()
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path)
    assert (tmp_path / name).read_bytes() == before


def test_a_lost_memory_begins_anew_and_a_damaged_state_is_an_error(tmp_path):
    Store(tmp_path).close()
    (tmp_path / MEMORY_FILE).write_bytes(b"not a database" * 1000)
    with Store(tmp_path) as store:
        assert store.memory.reset is not None
    (tmp_path / STATE_FILE).write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path)


def test_two_runs_cannot_hold_one_store(tmp_path):
    with Store(tmp_path), pytest.raises(StoreError, match="in use"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_closing_up_twice_is_closing_up_once(tmp_path):
    cells = [NewProduct(0, col, 0.5, 0.5, bytes([col]) * 10, 10, weight=2.0) for col in range(3)]
    event = NewProduct(0, 0, 0.9, 1.5, b"event", 5, rung=Rung.EVENT, coded=True)
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], cells, {}, 1000)
        found = []
        for _ in range(2):
            store.state.close_up(row.id, [event], [(0.8, 0, 1), (0.1, 0, 2)], 1000)
            found.append([(i.rung, i.row, i.col, i.value, i.density, i.coded) for i in store.queue.items()])
    assert found[0] == found[1]
    assert [(rung, col, value) for rung, _, col, value, _, _ in found[0]] == [
        (Rung.EVENT, 0, 1.5), (Rung.LOSSLESS, 1, 0.8), (Rung.LOSSLESS, 0, 0.5), (Rung.LOSSLESS, 2, 0.1)
    ]  # fmt: skip


def test_a_region_enters_with_its_cells_and_they_leave_before_it(tmp_path):
    cells = [NewProduct(0, col, 0.5, 0.5, bytes([col]) * 100, 100) for col in range(4)]
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], cells, {}, 1000)
        held = [item.id for item in store.queue.items() if item.col < 3]
        chip = NewProduct(0, 0, 0.5, 1.5, b"c" * 60, 60, rung=Rung.LOSSY, coded=True)
        store.queue.enter_region(row.id, chip, held)
        best, *others = store.queue.items()
        assert best.rung is Rung.LOSSY and {item.col: item.chip for item in others} == dict.fromkeys(
            range(3), best.id
        ) | {3: 0}
        store.queue.trim(100)
        assert [item.rung for item in store.queue.items()] == [Rung.LOSSY]


def test_the_least_valuable_leaves_when_storage_is_short(tmp_path):
    from datetime import UTC, datetime, timedelta

    from onboard.change.record import record_dtype
    from onboard.errors import DiskFullError
    from onboard.sense.chunks import Chunk
    from onboard.sense.grid import Grid

    dtype, start = record_dtype(64, ("B02",)), datetime(2024, 1, 1, tzinfo=UTC)
    here, there = (Grid("", (10.0, 0.0, float(x), 0.0, -10.0, 0.0), 6400, 6400) for x in (0, 90_000))
    with Store(tmp_path) as store:

        def remember(grid, day, artefact):
            key = store.memory.enter(grid, start + timedelta(days=day), f"p{day}", artefact, dtype, [])
            store.memory.write(key, [(Chunk(0, row, 0, 1, 200), np.zeros(200, dtype)) for row in range(40)])

        def kept(grid, artefact):
            past = store.memory.past(grid, start + timedelta(days=99), artefact, dtype, 99)
            return [(one.sensing_time - start).days for one in past]

        for day in range(5):
            remember(here, day, "now")
        remember(there, 0, "now")
        remember(here, 9, "before")
        used = store.memory.live_bytes() + store.state.live_bytes()
        assert store.make_room(used + 10, 10, "now", 2) == {}
        assert store.make_room(used, 10, "now", 2) == {"evicted_passes": 1}
        assert kept(here, "before") == []  # of another model: nothing reads it any more
        assert store.make_room(store.memory.live_bytes() + store.state.live_bytes(), 10, "now", 2)
        assert kept(here, "now") == [4, 3, 2, 1]
        with pytest.raises(DiskFullError, match="nothing in it may leave"):
            store.make_room(10, 10, "now", 2)
        assert kept(here, "now") == [4, 3]
        assert kept(there, "now") == [0]


def test_scores_of_old_passes_leave_last(tmp_path):
    side = 320
    chunk = Chunk(0, 0, 0, side, side)
    found = ChunkRow(chunk, np.full((side, side), 3, np.uint8), np.zeros((side, side), np.float32), None)
    with Store(tmp_path) as store:
        state = store.state
        grid = state.add_grid(GRID)
        rows = [
            state.begin(grid, T0 + timedelta(days=day), f"p{day}", "a", "s", (side, side), [], {"bands": []}).id
            for day in range(6)
        ]
        for row in rows:
            product = NewProduct(0, 0, 0.5, 0.5, b"waits", 5) if row == rows[1] else None
            state.commit(row, [found], [product] if product else [], {}, 100)
            if row != rows[-1]:
                state.finish(row)
        used = store.memory.live_bytes() + state.live_bytes()
        assert store.make_room(used - 100_000, 10, "a", 2) == {"evicted_scores": 1}
        kept = [row for row in rows if list(state.chunks(row))]
        assert kept == rows[1:]
        assert state.find(grid, T0, "p0", "a").done  # it is not looked at again
        assert state.counters([rows[0]]) == {"scores_evicted": 1}
        with pytest.raises(DiskFullError, match="nothing in it may leave"):
            store.make_room(10, 10, "a", 2)
        # what waits for the ground, the two newest that are finished, and what is not finished
        assert [row for row in rows if list(state.chunks(row))] == [rows[1], *rows[3:]]
