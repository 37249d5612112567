"""A fuzzer for everything that believes bytes from outside: packets, reports, orders, products, the archive.

Mutations of genuine inputs, mended so that they get past lengths, checksums and seals; an input that reaches a line
that none has reached before is kept and mutated further. Only a typed refusal, or an input that is accepted, is let
pass. It runs in a process of its own: an input that kills it is found again in the file that the parent names.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, perf_counter
from types import FrameType
from typing import Any

import numpy as np

from benchmarks.channel import MemoryArchive
from benchmarks.mutations import KEY, mend_packet, mend_product, mutated, sealed, with_checksums, with_text
from benchmarks.queued import coded, products
from ground.receive import archive as archive_module
from ground.receive.archive import Archive
from ground.receive.inbox import Inbox
from ground.receive.receiver import Receiver
from onboard.downlink.ladder import Rung
from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.orders import PassWindow, Plan, Query, order_body
from onboard.downlink.link.seal import Window, seal_receipt, unseal
from onboard.downlink.link.wire import Report, Transfer, pack_prompt, pack_segment, report_body, unpack_down
from onboard.downlink.overview import SCORE
from onboard.downlink.product import HEAD, Product, ProductError, decode, encode
from onboard.sense.grid import CELL

CORPUS = 2_000
"""Inputs kept of each target."""
HELD = 64
"""Segments that the receiver under test may hold."""
TYPED = (PacketError, ProductError)


@dataclass
class Target:
    """One decoder; `run` raises one of `TYPED` for what it refuses. `mend` makes an input believable."""

    run: Callable[[bytes], None]
    corpus: list[bytes]
    mend: Callable[[bytes, random.Random], bytes]
    seconds: float = 0.0
    inputs: int = 0
    refused: int = 0


@dataclass
class Found:
    """What came of a campaign."""

    unexpected: list[dict[str, str]] = field(default_factory=list)
    slowest_ms: float = 0.0
    lines: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        current = Path(name) / "input"
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("spawn").Process(
            target=_child, args=(theirs, args.minutes * 60, args.seed, current, Path(name))
        )
        child.start()
        theirs.close()
        try:
            result: dict[str, Any] = ours.recv()
        except EOFError:
            child.join()
            kept = Path(tempfile.gettempdir()) / "fuzz-killer"
            kept.write_bytes(current.read_bytes())
            print(f"killed with {child.exitcode} by the input in {kept}", file=sys.stderr)
            return {
                "metrics": {"fuzz_killed": 1},
                "runs": {"exit": child.exitcode, "input": current.read_bytes().hex()},
            }
        child.join()
    return result


def campaign(seconds: float, seed: int, current: Path, folder: Path) -> dict[str, Any]:
    """Fuzz every target for an equal share of the time, in this process.

    Args:
        current: holds the input at work, for whoever finds this process dead.
        folder: for databases.
    """
    logging.getLogger().setLevel(logging.CRITICAL + 1)
    rng, found, coverage = random.Random(seed), Found(), _Coverage()
    handle = os.open(current, os.O_RDWR | os.O_CREAT)
    with Inbox(folder / "inbox.sqlite", max_segments=HELD) as inbox, Archive(folder / "archive") as archive:
        targets = _targets(inbox, archive)
        for target in targets.values():  # what every genuine input reaches, and the memory that libraries take once
            for data in list(target.corpus):
                _one(target, data, coverage, found, handle)
        before, end = _peak_mb(), monotonic() + seconds
        while monotonic() < end:
            target = min(targets.values(), key=lambda t: t.seconds)
            data = target.mend(mutated(rng.choice(target.corpus), target.corpus, rng), rng)
            if _one(target, data, coverage, found, handle) and len(target.corpus) < CORPUS:
                target.corpus.append(data)
    os.close(handle)
    metrics = {
        "fuzz_seconds": round(seconds, 1),
        "fuzz_inputs": sum(t.inputs for t in targets.values()),
        "fuzz_refused": sum(t.refused for t in targets.values()),
        "fuzz_killed": 0,
        "fuzz_unexpected": len(found.unexpected),
        "fuzz_slowest_ms": round(found.slowest_ms, 1),
        "fuzz_memory_growth_mb": round(_peak_mb() - before, 1),
        "fuzz_lines_reached": len(coverage.lines),
    }
    runs = {
        name: {"inputs": t.inputs, "refused": t.refused, "corpus": len(t.corpus), "seconds": round(t.seconds, 1)}
        for name, t in targets.items()
    }
    return {"metrics": metrics, "runs": {**runs, "unexpected": found.unexpected[:10]}}


def _child(pipe: Connection, seconds: float, seed: int, current: Path, folder: Path) -> None:
    pipe.send(campaign(seconds, seed, current, folder))


def _one(target: Target, data: bytes, coverage: _Coverage, found: Found, handle: int) -> bool:
    """Run one input; whether it reached something new."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, data, 0)
    start = perf_counter()
    target.inputs += 1
    known = len(coverage.lines)
    try:
        with coverage:
            target.run(data)
    except TYPED:
        target.refused += 1
    except Exception as error:
        if len(found.unexpected) < 100:
            found.unexpected.append({"error": f"{type(error).__name__}: {error}", "input": data[:4096].hex()})
    took = perf_counter() - start
    target.seconds += took
    found.slowest_ms = max(found.slowest_ms, took * 1e3)
    return len(coverage.lines) > known


class _Coverage:
    """Lines reached in the software under test. Use as a context manager around one input."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[1]
        self._folders = tuple(str(root / name) for name in ("onboard/downlink", "ground/receive"))
        self.lines: set[tuple[str, int]] = set()

    def __enter__(self) -> None:
        sys.settrace(self._call)

    def __exit__(self, *exc: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._folders) else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def _targets(inbox: Inbox, archive: Archive) -> dict[str, Target]:
    transfer = Transfer(bytes(8), 3000)
    down = [pack_segment(n, transfer, n, bytes(transfer.length(n))) for n in range(3)]
    down += [pack_prompt(4, (transfer,) * 3), pack_prompt(5, ()), seal_receipt(KEY, 6, [bytes(8), bytes(range(8))])]
    ring = ((0, 0), (10**7, 0), (0, 10**7))
    up = [
        report_body(Report(9, 9, (bytes(32),) * 3, ((transfer, ((0, 1), (2, 2))),) * 2)),
        order_body(Plan(5, tuple(PassWindow(100 * n, 90, 10**6, 10**6) for n in range(1, 4))), 8),
        order_body(Query(5, 10**9, 7, True, ("B02", "B8A"), ring), 7),
    ]
    one = encode(products(1)[0])
    several = [
        with_checksums(with_text(one[: HEAD.size], b"[" * 60_000)),  # deeper than a parser may go
        *coded(2),
        *coded(1, bands=("B04",)),
        encode(products(1, crs="")[0]),
        encode(products(1)[0], "raw"),
        encode(_region(), "klt"),
        encode(_overview(), "zip"),
    ]
    receiver = Receiver(inbox, MemoryArchive(), KEY)

    def receive(data: bytes) -> None:
        if not receiver.feed(data):
            raise PacketError("refused")
        receiver.poll(float(receiver.counts.total()))
        if sum(len(inbox.held(t) or ()) for t in inbox.transfers()) > HELD:
            raise AssertionError("the receiver holds more than it may")

    def put(data: bytes) -> None:
        if archive.put(zlib.crc32(data).to_bytes(32, "big").hex(), data) == "undecodable":
            raise ProductError("undecodable")

    archive_module.write_durably = lambda path, data: None  # what is written is not looked at, and a disk is slow
    archive_module.MAX_QUARANTINE_BYTES = 1 << 62
    return {
        "packets": Target(lambda data: _ignore(unpack_down(data)), down, mend_packet),
        "uplinks": Target(lambda data: _ignore(unseal(KEY, sealed(data), Window())), up, lambda data, _: data),
        "receiver": Target(receive, list(down), mend_packet),
        "products": Target(lambda data: _ignore(decode(data)), list(several), mend_product),
        "archive": Target(put, list(several), mend_product),
    }


def _region() -> Product:
    """Five of 2 x 3 cells, alike enough in all bands for the lossy codec."""
    shape = 4, 2 * CELL, 3 * CELL
    ramp = 1500 + np.add.outer(np.arange(shape[0]) * 50, np.arange(shape[1] * shape[2]) % 997)
    cells = np.array([[True, True, False], [True, True, True]])
    dn = np.where(cells.repeat(CELL, axis=0).repeat(CELL, axis=1), ramp.reshape(shape), 0).astype(np.uint16)
    return replace(products(1)[0], dn=dn, rung=Rung.LOSSY, cells=cells)


def _overview() -> Product:
    """Probabilities, a pixel a cell."""
    dn = np.arange(12, dtype=np.uint16).reshape(1, 3, 4)
    return replace(products(1)[0], dn=dn, bands=(SCORE,), rung=Rung.SCORES, cell_px=1)


def _ignore(result: object) -> None:
    """Accepted: nothing is to be done with it."""


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
