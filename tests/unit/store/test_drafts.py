"""The file of drafts: no place is taken twice, none is lost, and whatever fails leaves what was committed."""

import errno
import hashlib
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.errors import DiskFullError, StoreError
from onboard.store import STATE_FILE, Store
from onboard.store.drafts import PAGE, Drafts
from onboard.store.queue import DRAFTS_FILE
from onboard.store.rows import NewProduct
from tests.unit.store.test_store import begin

BUDGET = 10**9


def candidate(row: int, payload, value: float = 1.0) -> NewProduct:
    return NewProduct(row, 0, 1.0, value, payload, 100)


def contents(store: Store) -> list[bytes | None]:
    return [store.queue.payload(item.id) for item in sorted(store.queue.items(), key=lambda item: item.row)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 3 * PAGE + 1)),
            st.tuples(st.sampled_from(["give up", "enter", "leave", "commit", "open"]), st.integers(0, 99)),
        ),
        max_size=60,
    )
)
def test_every_draft_stays_whole_whatever_comes_and_goes(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("drafts") / "drafts.bin"
    drafts, pending, entered, rows, number = Drafts(path), [], [], {}, 0
    committed: dict = {}
    for step, n in steps:
        if step == "put":
            number += 1
            data = bytes([number % 251 + 1]) * n
            pending += [(one, data) for one in drafts.put([data] * (1 + n % 3))]
        elif step == "give up" and pending:
            drafts.give_up(pending.pop(n % len(pending))[0])
        elif step == "enter" and pending:
            placed, data = pending.pop(n % len(pending))
            entered.append(placed)
            rows[placed] = data
        elif step == "leave" and rows:
            del rows[sorted(rows, key=lambda one: one.place)[n % len(rows)]]
        elif step == "commit":
            drafts.sync()
            drafts.refresh([(one.place, one.size) for one in rows], entered)
            committed, entered = dict(rows), []
        elif step == "open":  # the power fails
            drafts.close()
            drafts, pending, entered, rows = Drafts(path), [], [], dict(committed)
            drafts.refresh([(one.place, one.size) for one in rows])
        for placed, data in [*committed.items(), *rows.items(), *pending]:
            assert drafts.get(placed) == data
    drafts.refresh([(one.place, one.size) for one in rows], entered)
    drafts.shrink()
    assert all(drafts.get(placed) == data for placed, data in [*rows.items(), *pending])
    if number and not rows and not pending:
        assert path.stat().st_size == 0
    drafts.close()


def test_places_that_were_given_up_are_taken_again(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        for round_ in range(20):
            new = [candidate(n, store.queue.hold([bytes([n]) * 5000])[0], value=round_ + n) for n in range(10)]
            store.state.commit(row.id, [], new, {}, 500)  # five fit, with the reserve
        assert (tmp_path / DRAFTS_FILE).stat().st_size <= 32 * 2 * PAGE
        assert contents(store) == [bytes([n]) * 5000 for n in range(4, 10)]
        before = store.state.live_bytes()
        store.queue.settle([(item.id, b"coded") for item in store.queue.items()])
        assert before - store.state.live_bytes() >= 6 * 2 * PAGE
        store.queue.trim(500)
        assert (tmp_path / DRAFTS_FILE).stat().st_size == 0
        assert contents(store) == [b"coded"] * 6


def test_a_draft_moves_down_only_to_where_it_fits_before_its_own_place(tmp_path):
    drafts = Drafts(tmp_path / "drafts.bin")
    first, second, third = drafts.put([b"a" * PAGE, b"b" * 2 * PAGE, b"c" * PAGE])
    assert [drafts.moved_down(one) for one in (first, second, third)] == [None] * 3
    drafts.give_up(first)
    for damaged in (replace(third, place="0"), replace(third, place=-1), replace(third, seal="crc32:0")):
        assert drafts.moved_down(damaged) is None
    assert drafts.moved_down(second) is None
    assert drafts.moved_down(third) == replace(third, place=first.place)
    assert drafts.get(replace(third, place=first.place)) == b"c" * PAGE
    drafts.close()


def test_what_is_left_of_many_takes_no_more_than_it_needs(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        new = [candidate(n, bytes([n]) * (4000 + 1000 * (n % 7)), value=n % 10) for n in range(200)]
        store.state.commit(row.id, [], new, {}, BUDGET)
        store.queue.trim(1000)
        left = {item.row: store.queue.payload(item.id) for item in store.queue.items()}
        assert len(left) == 12  # with the reserve
        assert left == {n: bytes([n]) * (4000 + 1000 * (n % 7)) for n in left}
        assert (tmp_path / DRAFTS_FILE).stat().st_size <= 12 * 3 * PAGE
    with Store(tmp_path) as store:
        assert {item.row: store.queue.payload(item.id) for item in store.queue.items()} == left


def test_threads_do_not_take_the_same_place(tmp_path):
    drafts, ended = Drafts(tmp_path / "drafts.bin"), Event()

    def refresh() -> None:
        while not ended.is_set():
            drafts.refresh([])

    data = [bytes([n % 251]) * (100 * (n % 90)) for n in range(3000)]
    with ThreadPoolExecutor(4) as pool:
        pool.submit(refresh)
        placed = list(pool.map(drafts.put, [data[n : n + 5] for n in range(0, len(data), 5)]))
        ended.set()
    assert [drafts.get(one) for some in placed for one in some] == data


def test_a_damaged_or_lost_draft_is_none(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], [candidate(n, bytes([n]) * 9000) for n in range(3)], {}, BUDGET)
    file = tmp_path / DRAFTS_FILE
    raw = bytearray(file.read_bytes())
    raw[3 * PAGE - 500] ^= 1  # in what is left of the page: nobody's
    raw[3 * PAGE + 8500] ^= 1
    file.write_bytes(raw)
    with Store(tmp_path) as store:
        assert contents(store) == [bytes(9000), None, bytes([2]) * 9000]
    os.truncate(file, 8 * PAGE)
    with Store(tmp_path) as store:
        assert contents(store) == [bytes(9000), None, None]
    file.unlink()
    with Store(tmp_path) as store:
        assert contents(store) == [None, None, None]


@pytest.mark.parametrize(
    ("call", "fault", "kind", "told"),
    [
        ("pwritev", OSError(errno.ENOSPC, "No space left on device"), DiskFullError, "no space left"),
        ("pwritev", 10, DiskFullError, "no space left"),  # the rest did not fit
        ("fdatasync", OSError(errno.EIO, "Input/output error"), StoreError, "cannot be written"),
    ],
)
def test_a_disk_that_fails_leaves_what_was_committed(tmp_path, monkeypatch, call, fault, kind, told):
    def fails(*_):
        if isinstance(fault, OSError):
            raise fault
        return fault

    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], [candidate(0, b"a" * 5000)], {}, BUDGET)
        with monkeypatch.context() as patched, pytest.raises(kind, match=told):
            patched.setattr(os, call, fails)
            store.state.commit(row.id, [], [candidate(0, b"b" * 5000), candidate(1, b"c" * 9000)], {}, BUDGET)
        assert contents(store) == [b"a" * 5000]
        store.state.commit(row.id, [], [candidate(1, b"c" * 9000)], {}, BUDGET)
        assert contents(store) == [b"a" * 5000, b"c" * 9000]
    with Store(tmp_path) as store:
        assert contents(store) == [b"a" * 5000, b"c" * 9000]


def test_a_store_of_before_keeps_its_drafts(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], [candidate(0, b"a" * 5000)], {}, BUDGET)
    db = sqlite3.connect(tmp_path / STATE_FILE)
    db.execute("DROP INDEX queue_drafts")
    db.execute("UPDATE queue SET payload=?, sha256=?", (b"a" * 5000, hashlib.sha256(b"a" * 5000).hexdigest()))
    for column in ("draft_at", "draft_bytes"):
        db.execute(f"ALTER TABLE queue DROP COLUMN {column}")
    db.commit()
    db.close()
    (tmp_path / DRAFTS_FILE).unlink()
    with Store(tmp_path) as store:
        assert contents(store) == [b"a" * 5000]
        store.state.commit(row.id, [], [candidate(1, b"b" * 100)], {}, BUDGET)
        assert contents(store) == [b"a" * 5000, b"b" * 100]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("draft_at", 1 << 44),
        ("draft_at", 1 << 62),
        ("draft_at", -1),
        ("draft_at", "text"),
        ("draft_bytes", 1 << 50),
        ("sha256", ""),
        ("sha256", b"crc32:"),
        ("sha256", "crc32:00000000"),
    ],
)
def test_a_damaged_row_costs_its_own_draft_alone(tmp_path, column, value):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], [candidate(n, bytes([n]) * 9000) for n in range(3)], {}, BUDGET)
    db = sqlite3.connect(tmp_path / STATE_FILE)
    db.execute(f"UPDATE queue SET {column}=? WHERE row=1", (value,))
    db.commit()
    db.close()
    with Store(tmp_path) as store:
        store.state.commit(row.id, [], [candidate(n, bytes([n]) * 9000) for n in range(3, 20)], {}, BUDGET)
        store.queue.trim(BUDGET)
        assert contents(store) == [None if n == 1 else bytes([n]) * 9000 for n in range(20)]
        assert store.state.live_bytes() > 0


def test_a_draft_that_was_sealed_by_its_sha256_is_still_one(tmp_path):
    with Store(tmp_path) as store:
        row = begin(store)
        store.state.commit(row.id, [], [candidate(n, bytes([n]) * 9000) for n in range(3)], {}, BUDGET)
    db = sqlite3.connect(tmp_path / STATE_FILE)
    for n in (0, 1):  # as stores had it once
        whole = hashlib.sha256(bytes([n]) * 9000).hexdigest()
        db.execute("UPDATE queue SET sha256=? WHERE row=?", (whole if n else whole[::-1], n))
    db.commit()
    db.close()
    with Store(tmp_path) as store:
        assert contents(store) == [None, bytes([1]) * 9000, bytes([2]) * 9000]


def test_a_full_disk_does_not_keep_the_queue_from_being_trimmed(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        row = begin(store)
        new = [candidate(n, bytes([n]) * 9000, value=1 + n) for n in range(20)]
        store.state.commit(row.id, [], new, {}, BUDGET)

        def fails(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "pwritev", fails)
            store.queue.trim(BUDGET)
            store.queue.trim(1000)
        assert contents(store) == [bytes([n]) * 9000 for n in range(8, 20)]
        store.queue.trim(1000)
        assert contents(store) == [bytes([n]) * 9000 for n in range(8, 20)]
        assert (tmp_path / DRAFTS_FILE).stat().st_size == 12 * 3 * PAGE


def test_a_file_that_cannot_be_made_is_a_fault_of_the_store_and_none_is_made_for_nothing(tmp_path):
    drafts = Drafts(tmp_path / "drafts.bin")
    assert drafts.put([]) == []
    assert not (tmp_path / "drafts.bin").exists()
    (tmp_path / "drafts.bin").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        drafts.put([b"a"])
