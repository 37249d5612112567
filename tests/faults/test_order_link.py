"""Orders on the link in memory: what is authentic takes effect once, what is not changes nothing."""

import hashlib
import hmac
import random

import pytest

from benchmarks.channel import Channel, Faults, MemoryArchive
from benchmarks.hostile import uplink
from benchmarks.queued import TIME, TRANSFORM, products
from ground.receive.inbox import Inbox
from ground.receive.outbox import Outbox
from ground.receive.receiver import Receiver
from onboard.downlink.link.orders import PassWindow, Plan, Query, tag_of
from onboard.downlink.link.seal import _PURPOSE, seal, seal_order, seal_receipt
from onboard.downlink.link.session import Session
from onboard.downlink.link.wire import Report
from onboard.downlink.product import encode
from onboard.sense.grid import CELL, Grid
from onboard.store import Store
from onboard.store.rows import NewProduct
from tests.areas import query

KEY = bytes(range(32))
PLENTY = 1 << 40
UTC = 1_800_000_000
PLAN = Plan(UTC, (PassWindow(UTC + 100, 600, 75_000_000, 1_000_000),))


@pytest.fixture(scope="module")
def queued():
    return products(12)


@pytest.fixture
def folder(tmp_path, queued):
    """A store with twelve products of one row of cells, the first of them the best."""
    with Store(tmp_path / "store") as store:
        grid = store.state.add_grid(queued[0].grid)
        row = store.state.begin(grid, TIME, "p", "a", "s", (64, 64), [], {})
        new = [NewProduct(p.row, p.col, p.score, p.score, encode(p), 1000) for p in queued]
        store.state.commit(row.id, [], new, {}, PLENTY)
        store.queue.settle([(item.id, n.payload) for item, n in zip(store.queue.items(), new, strict=True)])
    return tmp_path


def asked(col, cols=1, issued=UTC, priority=1):
    grid = Grid(products(1)[0].grid.crs, TRANSFORM, 64 * CELL, 64 * CELL)
    one = query(grid, (0, col, 1, cols))
    return Query(issued, UTC + 86_400, priority, True, (), one.ring)


def one_pass(folder, channel, *, budget=PLENTY, key=KEY, cut=float("inf")):
    archive = MemoryArchive()
    with (
        Inbox(folder / "inbox.sqlite") as inbox,
        Store(folder / "store") as store,
        Outbox(folder / "archive") as outbox,
    ):
        session = Session(store, budget, KEY, channel.now, utc=UTC + channel.now)
        receiver = Receiver(inbox, archive, key, outbox, lambda: UTC + int(channel.now))
        channel.run(session, receiver, cut)
        session.close()
        return session, archive, receiver, store.state.orders.windows(), store.state.orders.queries(UTC)


def put(folder, *orders):
    with Outbox(folder / "archive") as outbox:
        for n, order in enumerate(orders):
            outbox.put(order, UTC + n)


def order_of_arrival(archive, queued):
    by_sha = {hashlib.sha256(encode(p)).hexdigest(): p.col for p in queued}
    return [by_sha[sha] for sha in archive.products]


def test_a_query_jumps_the_queue_in_the_pass_that_brings_it(folder, queued):
    put(folder, asked(10, 2))
    session, archive, _, _, queries = one_pass(folder, Channel(random.Random(0), Faults()))
    cols = order_of_arrival(archive, queued)
    assert sorted(cols) == list(range(12)) and session.delivered == session.due == 12
    assert cols.index(10) < 4 and cols.index(11) < 5  # what was on its way is not called back
    assert [q.ring for q in queries] == [asked(10, 2).ring]


def test_the_more_urgent_query_goes_first_in_the_next_pass(folder, queued):
    put(folder, asked(3, priority=1), asked(9, priority=7))
    one_pass(folder, Channel(random.Random(0), Faults()), budget=150)  # orders come up, hardly anything goes down
    with Store(folder / "store") as store:
        assert [(i.col, i.priority) for i in store.queue.items()[:3]] == [(9, 7), (3, 1), (0, 0)]


@pytest.mark.parametrize("faults", [Faults(loss=0.3), Faults(loss=0.1, duplicate=0.2, corrupt=0.1, reorder=0.3)])
@pytest.mark.parametrize("seed", range(3))
def test_through_a_bad_link_each_order_arrives_and_its_receipt(folder, queued, seed, faults):
    put(folder, PLAN, asked(5))
    channel = Channel(random.Random(seed), faults)
    for _ in range(12):
        *_, windows, queries = one_pass(folder, channel)
        with Outbox(folder / "archive") as outbox:
            if not outbox.waiting(UTC):
                break
    assert windows == list(PLAN.windows) and len(queries) == 1
    with Outbox(folder / "archive") as outbox:
        assert outbox.waiting(UTC) == [] and all(one.received for one in outbox.all())


def test_an_empty_queue_listens_too(tmp_path):
    Store(tmp_path / "store").close()
    put(tmp_path, PLAN)
    channel = Channel(random.Random(0), Faults())
    session, _, receiver, windows, _ = one_pass(tmp_path, channel)
    assert windows == list(PLAN.windows) and session.orders >= 1 and receiver.counts["receipts"] == 1
    assert channel.now < 1.5 and session.spent_bytes < 300
    session, _, receiver, _, _ = one_pass(tmp_path, channel)
    assert session.orders == 0 and receiver.counts["orders"] == 0  # what has a receipt goes up no more


def test_an_older_plan_and_an_expired_query_change_nothing(folder):
    later = Plan(PLAN.issued + 5, (PassWindow(UTC + 500, 60, 1000, 1000),))
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0, utc=UTC)
        for n, order in enumerate((later, PLAN, Query(UTC - 9, UTC - 1, 1, True, (), asked(5).ring))):
            session.receive(seal_order(KEY, order, n), 0.0)
        assert store.state.orders.windows() == list(later.windows)
        assert store.state.orders.queries(0) == [] and {i.priority for i in store.queue.items()} == {0}
        assert session.orders == 3 and not session.faults
        session.close()


def test_queries_expire_and_are_bounded(folder):
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0, utc=UTC)
        for n in range(80):
            session.receive(seal_order(KEY, asked(5, issued=UTC + n), n), 0.0)
        assert [q.issued - UTC for q in store.state.orders.queries(UTC)] == list(range(16, 80))
        assert store.state.orders.queries(UTC + 86_400) == []
        session.close()


def test_a_query_survives_a_restart_and_is_taken_once(folder):
    for n in range(3):
        with Store(folder / "store") as store:
            session = Session(store, PLENTY, KEY, 0.0, utc=UTC)
            session.receive(seal_order(KEY, asked(5), n), 0.0)
            assert len(store.state.orders.queries(UTC)) == 1
            session.close()


def test_without_the_key_nothing_goes_up_and_a_forged_receipt_counts_for_nothing(folder):
    put(folder, PLAN, asked(5))
    _, _, receiver, windows, _ = one_pass(folder, Channel(random.Random(0), Faults()), key=bytes(32), cut=30_000)
    assert windows == []
    with Inbox(folder / "i.sqlite") as inbox, Outbox(folder / "archive") as outbox:
        receiver = Receiver(inbox, MemoryArchive(), KEY, outbox, lambda: UTC)
        receiver.feed(seal_receipt(bytes(32), 0, [tag_of(PLAN), tag_of(asked(5))]))
        assert receiver.counts["forged"] == 1 and len(outbox.waiting(UTC)) == 2
        receiver.feed(seal_receipt(KEY, 0, [tag_of(PLAN)]))
        assert [type(order) for order in outbox.waiting(UTC)] == [Query]


def test_a_new_plan_replaces_one_that_waits(tmp_path):
    put(tmp_path, PLAN, Plan(PLAN.issued + 1, PLAN.windows))
    with Outbox(tmp_path / "archive") as outbox:
        assert [order.issued for order in outbox.waiting(UTC)] == [PLAN.issued + 1]


def test_ten_thousand_hostile_plans_and_telecommands_change_nothing(folder):
    rng = random.Random(1)
    genuine = [
        *(seal_order(KEY, asked(n, issued=UTC + n), n) for n in range(6)),
        *(seal_order(KEY, Plan(UTC + n, PLAN.windows), 6 + n) for n in range(6)),
        seal(KEY, Report(12, 0, (bytes(32),), ())),
    ]
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0, utc=UTC)
        for packet in genuine:
            session.receive(packet, 0.0)

        def state():
            items = store.queue.items()
            return (
                store.state.orders.windows(),
                store.state.orders.queries(UTC),
                items,
                store.state.transfers.delivered(),
            )

        before = state()
        target = bytes.fromhex(before[2][0].sha256)
        for _ in range(10_000):
            session.receive(uplink(genuine, target, rng), 0.0)
        assert session.faults.total() == 10_000 and set(session.faults) == {"malformed", "forged", "replayed"}
        assert state() == before and session.delivered == 0
        session.close()
    assert len(before[1]) == 6


def test_a_damaged_order_under_a_genuine_seal_is_refused_and_the_window_stays(folder):
    packet = seal_order(KEY, PLAN, 5)
    body = bytearray(packet[:-32])
    body[-1] ^= 0x40
    body[6 + 9 + 4] = 9  # more windows than there are
    forged = bytes(body) + hmac.digest(KEY, _PURPOSE + bytes(body), "sha256")
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0, utc=UTC)
        session.receive(forged, 0.0)
        assert session.faults == {"malformed": 1} and store.state.orders.windows() == []
        session.receive(packet, 0.0)
        assert store.state.orders.windows() == list(PLAN.windows)
        session.close()
