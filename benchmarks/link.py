"""The link through bad channels in memory: goodput, and whether each product arrives once and byte for byte.

Simulated time, 1 Mbit/s, 10 ms one way; both sides keep their databases on the disk. `goodput_*` is the share of the
link's bits, from the first packet to the last acknowledgement, that are bytes of archived products; losses hit both
directions. Kills come between two packets; tests/e2e/test_downlink.py sends SIGKILL to real processes.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import tempfile
import tracemalloc
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.channel import Channel, Faults, MemoryArchive
from benchmarks.hostile import uplink
from benchmarks.queued import coded, fill
from ground.receive.archive import Archive
from ground.receive.inbox import Inbox
from ground.receive.receiver import ProductArchive, Receiver
from onboard.downlink.link.orders import DEGREE, PassWindow, Plan, Query
from onboard.downlink.link.seal import seal_order
from onboard.downlink.link.session import Session
from onboard.store import Store

KEY = bytes(range(32))
PLENTY = 1 << 40
RATE = 1e6
MAX_PASSES = 200
ORDERS = (
    Plan(1, (PassWindow(100, 600, 75_000_000, 1_000_000),)),
    Query(1, 1 << 31, 1, True, (), ((0, 0), (DEGREE, 0), (0, DEGREE))),
)
ORDERS_FROM = 1 << 40
"""Their counters, beyond those of the reports before them."""
CHANNELS = {
    "loss_0": Faults(),
    "loss_1pct": Faults(loss=0.01),
    "loss_10pct": Faults(loss=0.1),
    "loss_30pct": Faults(loss=0.3),
    "duplicated_20pct": Faults(duplicate=0.2),
    "reordered_20pct": Faults(reorder=0.2),
    "corrupted_10pct": Faults(corrupt=0.1),
    "all_of_them": Faults(loss=0.1, duplicate=0.1, corrupt=0.05, reorder=0.2),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=100, help="runs a channel, and a channel with cuts")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--uplinks", type=int, default=10_000, help="hostile ones")
    parser.add_argument("--megabytes", type=float, default=5.0, help="of the queue that goodput is measured with")


def run(args: argparse.Namespace) -> dict[str, Any]:
    start = perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        payloads = coded(10) + coded(3, seed=1, bands=("B04",))
        runs: dict[str, Any] = {}
        for channel, faults in CHANNELS.items():
            runs[channel] = campaign(folder, payloads, faults, args.seeds, cut=False)
            runs[f"{channel}_cut"] = campaign(folder, payloads, faults, args.seeds, cut=True)
        metrics: dict[str, Any] = {
            "link_runs": sum(one["runs"] for one in runs.values()),
            "link_runs_identical_once": sum(one["identical_once"] for one in runs.values()),
        }
        for name, loss in (("0", 0.0), ("1pct", 0.01), ("10pct", 0.1), ("30pct", 0.3)):
            metrics[f"goodput_{name}_loss"] = round(goodput(folder, loss, args.megabytes), 4)
        metrics |= killed(folder, payloads, args.kills) | hostile(folder, payloads, args.uplinks)
    metrics["seconds"] = round(perf_counter() - start, 1)
    return {"metrics": metrics, "runs": runs}


def campaign(folder: Path, payloads: list[bytes], faults: Faults, seeds: int, cut: bool) -> dict[str, Any]:
    """Runs over one channel until the queue is empty; with `cut`, the signal is lost at a random byte of each pass."""
    wanted = {hashlib.sha256(p).hexdigest(): p for p in payloads}
    good, passes, sent = 0, 0, 0
    for seed in range(seeds):
        with _Queue(folder, payloads) as place:
            rng, archive = random.Random(seed), MemoryArchive()
            channel = Channel(rng, faults, RATE)
            for _ in range(MAX_PASSES):
                limit = rng.randrange(1, sum(map(len, payloads))) if cut else float("inf")
                session = one_pass(place, archive, channel, limit)
                passes, sent = passes + 1, sent + session.spent_bytes
                if not place.waiting():
                    break
            good += archive.products == wanted and not archive.again and not place.waiting()
    per_run = sent / seeds / sum(map(len, payloads))
    return {"runs": seeds, "identical_once": good, "passes": passes, "sent_per_byte": round(per_run, 3)}


def goodput(folder: Path, loss: float, megabytes: float) -> float:
    """Share of the link's bits that are archived product bytes."""
    rng = random.Random(0)
    payloads: list[bytes] = []
    while sum(map(len, payloads)) < megabytes * 1e6:
        payloads.append(rng.randbytes(rng.randrange(3_000, 20_000)))
    with _Queue(folder, payloads) as place:
        archive, channel = MemoryArchive(), Channel(random.Random(1), Faults(loss=loss), RATE)
        while place.waiting():
            one_pass(place, archive, channel)
        return sum(map(len, archive.products.values())) * 8 / RATE / channel.now


def killed(folder: Path, payloads: list[bytes], kills: int) -> dict[str, int]:
    """Either side is dropped without a farewell and opened again from its files, with the archive on the disk."""
    rng, channel = random.Random(3), Channel(random.Random(4), Faults(loss=0.05), RATE)
    wanted = {hashlib.sha256(p).hexdigest(): p for p in payloads}
    count, lost, rounds, again = 0, 0, 0, 0
    while count < kills:
        rounds += 1
        with _Queue(folder, payloads) as place:
            store, ground = Store(place.store), _Ground(place.folder)
            session = Session(store, PLENTY, KEY, channel.now)
            for _ in range(MAX_PASSES):
                finished = channel.run(session, ground.receiver, session.spent_bytes + rng.randrange(1, 20_000))
                lost += sum(not ground.archive.path(sha).exists() for sha in store.state.transfers.delivered())
                if finished and not store.queue.items():
                    break
                count += not finished
                if finished or rng.random() < 0.5:
                    store.close()  # frees the lock, as the kernel would; the session's uncommitted progress is gone
                    store = Store(place.store)
                    session = Session(store, PLENTY, KEY, channel.now)
                else:
                    again += ground.receiver.counts["known"]
                    ground.drop()
                    ground = _Ground(place.folder)
            found = {path.stem: path.read_bytes() for path in place.folder.glob("archive/products/*/*.obp")}
            lost += found != wanted
            ground.drop()
            store.close()
    return {"kills": count, "kill_rounds": rounds, "acknowledged_and_lost": lost, "archived_again": again}


def hostile(folder: Path, payloads: list[bytes], uplinks: int) -> dict[str, Any]:
    """Forged, replayed, reordered, corrupted and truncated uplinks after genuine ones."""
    rng = random.Random(7)
    with _Queue(folder, payloads) as place:
        channel = Channel(random.Random(8), Faults(), RATE)
        one_pass(place, MemoryArchive(), channel, budget=40_000)
        waiting = place.waiting()
        orders = [seal_order(KEY, order, ORDERS_FROM + n) for n, order in enumerate(ORDERS)]
        genuine = [*channel.uplink, *orders]
        packets = [uplink(genuine, bytes.fromhex(waiting[0]), rng) for _ in range(uplinks)]
        with Store(place.store) as store:
            session = Session(store, PLENTY, KEY, channel.now)
            for packet in orders:
                session.receive(packet, channel.now)
            ordered = store.state.orders.windows(), store.state.orders.queries(0)
            tracemalloc.start()
            for packet in packets:
                session.receive(packet, channel.now)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            changed = (store.state.orders.windows(), store.state.orders.queries(0)) != ordered
            session.close()
        return {
            "hostile_uplinks": uplinks,
            "hostile_uplinks_refused": session.faults.total(),
            "hostile_confirmed": len(waiting) - len(place.waiting()),
            "hostile_orders_taken": int(changed),
            "hostile_memory_kb": round(peak / 1e3, 1),
        }


def one_pass(
    place: _Queue, archive: ProductArchive, channel: Channel, cut: float = float("inf"), budget: int = PLENTY
) -> Session:
    """A pass with both sides opened before it and closed after it."""
    with Store(place.store) as store, Inbox(place.folder / "inbox.sqlite") as inbox:
        session = Session(store, budget, KEY, channel.now)
        channel.run(session, Receiver(inbox, archive, KEY), cut)
        session.close()
        return session


class _Ground:
    """The receiving side with its files."""

    def __init__(self, folder: Path) -> None:
        self.archive = Archive(folder / "archive")
        self.inbox = Inbox(folder / "inbox.sqlite")
        self.receiver = Receiver(self.inbox, self.archive, KEY)

    def drop(self) -> None:
        """Gone without writing anything; the kernel frees the lock."""
        self.inbox._db.close()
        self.archive._lock.close()


class _Queue:
    """A fresh store with products in its queue; the folder goes with the block."""

    def __init__(self, folder: Path, payloads: list[bytes]) -> None:
        template = folder / hashlib.sha256(b"".join(payloads)).hexdigest()[:8]
        if not template.exists():
            fill(template, payloads)
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.store = self.folder / "store"
        shutil.copytree(template, self.store)

    def __enter__(self) -> _Queue:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.folder)

    def waiting(self) -> list[str]:
        """SHA-256 of what is not confirmed, best first."""
        with Store(self.store) as store:
            return [item.sha256 for item in store.queue.items()]
