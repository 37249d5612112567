"""The link through bad channels, cuts, crashes and hostile packets: each product once, byte for byte, and no crash."""

import hashlib
import os
import random
import shutil

import pytest

from benchmarks.channel import Channel, Faults, MemoryArchive
from benchmarks.hostile import uplink
from benchmarks.queued import coded, fill
from ground.receive.archive import Archive
from ground.receive.inbox import Inbox
from ground.receive.receiver import Receiver
from onboard.downlink.link.seal import seal
from onboard.downlink.link.session import Session
from onboard.downlink.link.wire import EVERYTHING, Report, Transfer, pack_segment
from onboard.store import Store

KEY = bytes(range(32))
PLENTY = 10**9
PAYLOADS = coded(12) + coded(4, seed=1, bands=("B04",))
SHAS = {hashlib.sha256(payload).hexdigest(): payload for payload in PAYLOADS}


@pytest.fixture(scope="module")
def queued(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queued") / "store"
    fill(folder, PAYLOADS)
    return folder


@pytest.fixture
def folder(queued, tmp_path):
    shutil.copytree(queued, tmp_path / "store")
    return tmp_path


def one_pass(folder, archive, channel, budget=PLENTY, cut=float("inf"), key=KEY):
    """A pass with both sides opened anew; returns the session and the receiver, closed."""
    with Store(folder / "store") as store, Inbox(folder / "inbox.sqlite") as inbox:
        receiver = Receiver(inbox, archive, key)
        session = Session(store, budget, key, channel.now)
        channel.run(session, receiver, cut)
        session.close()
        return session, receiver


def waiting(folder):
    with Store(folder / "store") as store:
        return [item.sha256 for item in store.queue.items()]


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(loss=0.01),
        Faults(loss=0.3),
        Faults(duplicate=0.3, reorder=0.3),
        Faults(corrupt=0.2),
        Faults(loss=0.1, duplicate=0.1, corrupt=0.1, reorder=0.2),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_everything_arrives_once_and_byte_for_byte(folder, faults, seed):
    archive = MemoryArchive()
    channel = Channel(random.Random(seed), faults)
    for _ in range(5):
        one_pass(folder, archive, channel)
        if not waiting(folder):
            break
    assert archive.products == SHAS
    assert archive.again == 0
    assert waiting(folder) == []


@pytest.mark.parametrize("seed", range(8))
def test_cut_anywhere_it_goes_on_in_the_next_pass(folder, seed):
    rng, archive = random.Random(seed), MemoryArchive()
    channel = Channel(rng, Faults(loss=0.02))
    spent, passes = 0, 0
    while waiting(folder):
        session, _ = one_pass(folder, archive, channel, cut=rng.randrange(1, 40_000))
        spent, passes = spent + session.spent_bytes, passes + 1
        assert passes < 60
    assert archive.products == SHAS and archive.again == 0
    assert spent < 1.35 * sum(map(len, PAYLOADS))  # what was there was not sent again


def test_a_product_larger_than_a_pass_arrives_in_several(folder):
    archive, channel = MemoryArchive(), Channel(random.Random(0), Faults())
    for _ in range(10):  # two segments each; four small products come first, being worth more per byte
        session, _ = one_pass(folder, archive, channel, budget=3_000)
        assert session.spent_bytes <= 3_000
    large = {sha for sha, payload in archive.products.items() if len(payload) > 3_000}
    assert large and not large & set(waiting(folder))


def test_without_a_key_nothing_is_confirmed_but_all_arrives(folder):
    archive, channel = MemoryArchive(), Channel(random.Random(0), Faults())
    one_pass(folder, archive, channel, key=None)
    assert archive.products == SHAS
    assert waiting(folder) == list(SHAS)
    assert channel.uplink == []


def test_a_lost_inbox_costs_bytes_and_nothing_else(folder):
    archive, channel = MemoryArchive(), Channel(random.Random(0), Faults(loss=0.1))
    one_pass(folder, archive, channel, cut=30_000)
    (folder / "inbox.sqlite").unlink()
    with Inbox(folder / "inbox.sqlite", counter_from=10**6) as inbox, Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, channel.now)
        channel.run(session, Receiver(inbox, archive, KEY))
        session.close()
    assert archive.products == SHAS and waiting(folder) == []


def test_killed_at_random_nothing_acknowledged_is_lost(folder):
    """Both databases are opened again from what a killed process would have left behind; the archive is on the disk."""
    rng, channel = random.Random(5), Channel(random.Random(6), Faults(loss=0.05))
    kills = 0
    while waiting(folder):
        store, inbox = Store(folder / "store"), Inbox(folder / "inbox.sqlite")
        session = Session(store, PLENTY, KEY, channel.now)
        archive = Archive(folder / "archive")
        channel.run(session, Receiver(inbox, archive, KEY), rng.randrange(1, 30_000))
        # no close(): what was not committed is lost; only the locks are freed, as the kernel would
        delivered = store.state.transfers.delivered()
        inbox._db.close()
        archive.close()
        store.close()
        for sha in delivered:
            assert (folder / "archive/products" / sha[:2] / f"{sha}.obp").read_bytes() == SHAS[sha]
        kills += 1
        assert kills < 100
    assert {path.stem for path in (folder / "archive").glob("products/*/*.obp")} == set(SHAS)


def test_ten_thousand_hostile_uplinks_are_refused(folder):
    rng, archive = random.Random(1), MemoryArchive()
    channel = Channel(random.Random(2), Faults())
    one_pass(folder, archive, channel, budget=40_000)
    genuine, before = list(channel.uplink), waiting(folder)
    assert genuine and before
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0)
        for _ in range(10_000):
            session.receive(uplink(genuine, bytes.fromhex(before[0]), rng), 0.0)
        assert session.faults.total() == 10_000
        assert set(session.faults) == {"malformed", "forged", "replayed"}
        assert session.delivered == 0
        session.close()
    assert waiting(folder) == before


def test_a_report_from_before_the_window_is_refused(folder):
    late = [seal(KEY, Report(n, 0, (bytes.fromhex(sha),), ())) for n, sha in enumerate(SHAS)]
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0)
        session.receive(seal(KEY, Report(1000, 0, (), ())), 0.0)
        for packet in late:
            session.receive(packet, 0.0)
        assert session.faults == {"replayed": len(late)}
    assert waiting(folder) == list(SHAS)


def test_the_window_survives_a_restart(folder):
    packet = seal(KEY, Report(5, 0, (), ((Transfer(b"12345678", 9), (EVERYTHING,)),)))
    for refused in (0, 1):
        with Store(folder / "store") as store:
            session = Session(store, PLENTY, KEY, 0.0)
            session.receive(packet, 0.0)
            assert session.faults["replayed"] == refused


def test_an_acknowledged_product_stays_until_storage_is_short(folder):
    sha, *others = SHAS
    with Store(folder / "store") as store:
        session = Session(store, PLENTY, KEY, 0.0)
        session.receive(seal(KEY, Report(0, 0, (bytes.fromhex(sha),), ())), 0.0)
        assert store.state.transfers.delivered() == {sha}
        assert [item.sha256 for item in store.queue.items()] == others
        store.queue.trim(len(SHAS) * 1000)
        assert store.state.transfers.delivered() == {sha}
        store.queue.trim(round((len(SHAS) - 1) * 1000 / 1.2))
        assert store.state.transfers.delivered() == set()
        assert [item.sha256 for item in store.queue.items()] == others


def test_a_flood_of_foreign_segments_stays_within_the_inbox_limit(tmp_path):
    rng = random.Random(0)
    with Inbox(tmp_path / "inbox.sqlite", max_segments=300) as inbox:
        receiver = Receiver(inbox, MemoryArchive(), KEY)
        for n in range(2_000):
            transfer = Transfer(rng.randbytes(8), rng.randrange(1_500, 60_000_000))
            receiver.feed(pack_segment(n, transfer, 1, bytes(transfer.length(1))))
            receiver.poll(n / 1000)
        assert sum(len(inbox.held(t)) for t in inbox.transfers()) <= 300
        assert inbox.forgotten >= 1_700


def test_bytes_under_a_false_name_are_not_archived_and_do_not_block_the_true_ones(tmp_path):
    payload, archive = os.urandom(3000), MemoryArchive()
    transfer = Transfer(hashlib.sha256(payload).digest()[:8], len(payload))
    with Inbox(tmp_path / "inbox.sqlite") as inbox:
        receiver = Receiver(inbox, archive, KEY)
        receiver.feed(pack_segment(0, transfer, 0, bytes(1024)))
        for i in range(1, 3):
            receiver.feed(pack_segment(i, transfer, i, payload[i * 1024 : (i + 1) * 1024]))
        assert receiver.counts["mismatched"] == 1 and not archive.products
        for i in range(3):
            receiver.feed(pack_segment(i, transfer, i, payload[i * 1024 : (i + 1) * 1024]))
    assert list(archive.products.values()) == [payload]


def test_what_was_whole_when_the_process_ended_is_archived_at_the_next_start(tmp_path):
    payload = os.urandom(1500)
    transfer = Transfer(hashlib.sha256(payload).digest()[:8], len(payload))
    with Inbox(tmp_path / "inbox.sqlite") as inbox:
        for i in range(2):
            inbox.add(_segment(transfer, i, payload))
    archive = MemoryArchive()
    with Inbox(tmp_path / "inbox.sqlite") as inbox:
        receiver = Receiver(inbox, archive, KEY)
        assert receiver.counts["products"] == 1
        assert len(receiver.poll(0.0)) == 1
    assert list(archive.products.values()) == [payload]


def _segment(transfer, index, payload):
    from onboard.downlink.link.wire import Segment

    return Segment(index, transfer, index, payload[index * 1024 : (index + 1) * 1024])
