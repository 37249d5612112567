"""The downlink queue: products by worth per byte, as many as fit a byte budget and a small reserve.

A cell enters as a candidate: a draft, not yet coded for the ground, its size estimated. `settle` replaces it by its
coded form, and adds the lossy regions that go down before it. Its rank among cells stays what the estimate made it:
the outcome does not depend on when it was coded. The reserve makes up for the estimates' error, and moves up when the
ground has confirmed others. What is confirmed counts no more, but stays until storage is short: then it is the first to
leave.

The column `sha256` seals a product; of a draft it holds the seal of its own (`drafts`).

`priority` is a class above all worth: 0 where nobody asked, else that of the operator's query (`store.orders`), 1..255.
A greater one goes down first and leaves last; within a class worth per byte decides.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from onboard.downlink.ladder import WORTH, Rung
from onboard.errors import DiskFullError
from onboard.store.database import as_store_error, transaction
from onboard.store.drafts import Drafts, on_disk
from onboard.store.rows import NewProduct, Placed, QueueRow

SCHEMA = """
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT, acquisition INTEGER NOT NULL, rung INTEGER NOT NULL, row INTEGER NOT NULL,
  col INTEGER NOT NULL, score REAL NOT NULL, value REAL NOT NULL, weight REAL NOT NULL, density REAL NOT NULL,
  estimate INTEGER NOT NULL, size INTEGER NOT NULL, coded INTEGER NOT NULL, sha256 TEXT NOT NULL,
  chip INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
  payload BLOB NOT NULL, draft_at INTEGER, draft_bytes INTEGER, UNIQUE (acquisition, rung, row, col));
CREATE INDEX queue_worst ON queue (delivered DESC, priority, density, acquisition DESC, row DESC, col DESC, estimate);
CREATE INDEX queue_sha256 ON queue (sha256);
"""
DRAFTS_INDEX = "CREATE INDEX queue_drafts ON queue (draft_at, draft_bytes) WHERE draft_at IS NOT NULL;"

DRAFTS_FILE = "drafts.bin"
RESERVE = 1.2
"""How much of the budget the queue holds; an estimate of a product's bytes errs by 3 % (standard deviation), those of
other sensors may all be some ten per cent too large."""


def add(db: sqlite3.Connection, where: Path) -> None:
    """Make the columns of drafts where they are missing: in a store of before, drafts lie in `payload`."""
    if not any(column[1] == "draft_at" for column in db.execute("PRAGMA table_info(queue)")):
        with transaction(db, where):
            db.execute("ALTER TABLE queue ADD COLUMN draft_at INTEGER")
            db.execute("ALTER TABLE queue ADD COLUMN draft_bytes INTEGER")
            db.execute(DRAFTS_INDEX)


class Queue:
    """The queue's table in the state database, and the file of its drafts.

    `enter` runs inside the state's transaction of a chunk group.
    """

    def __init__(self, db: sqlite3.Connection, where: Path) -> None:
        self._db, self._where = db, where
        self._drafts = Drafts(where.with_name(DRAFTS_FILE))
        self._entered: list[Placed] = []
        self._drafts.refresh(self._places())

    def close(self) -> None:
        """Close the file of the drafts."""
        self._drafts.close()

    def enter(self, acquisition: int, products: Sequence[NewProduct], budget_bytes: int) -> None:
        """Let products in, then the worst out until the queue fits."""
        for new in products:
            self._insert(acquisition, new)
        if self._entered:
            self._drafts.sync()
        self._trim(budget_bytes)

    def committed(self) -> None:
        """After each transaction with `enter`: where drafts are taken in, the places of those that left are free."""
        if self._entered:
            self._drafts.refresh(self._places(), self._entered)
            self._entered = []

    def hold(self, drafts: Sequence[bytes]) -> list[Placed]:
        """Write drafts on their way into the queue; in any thread.

        Raises:
            DiskFullError, StoreError: they cannot be written.
        """
        return self._drafts.put(drafts)

    def let_go(self, products: Iterable[NewProduct]) -> None:
        """Of the drafts of products that are not going to enter."""
        self._drafts.give_up(*(new.payload for new in products if isinstance(new.payload, Placed)))

    def enter_region(self, acquisition: int, chip: NewProduct, cells: Iterable[int]) -> None:
        """Let in a lossy region of these cells (queue ids), in one transaction; nothing leaves before `trim`.

        Who asked for them gets the region: what it leaves out of a cell is not what was asked for any more.
        """
        with transaction(self._db, self._where):
            identity = self._insert(acquisition, chip)
            self._db.executemany("UPDATE queue SET chip=?, priority=0 WHERE id=?", ((identity, cell) for cell in cells))

    def revalue(self, acquisition: int, values: Iterable[tuple[float, int, int]]) -> None:
        """New values (value, row, column) of the cells of an acquisition, inside the state's transaction."""
        worth = WORTH[Rung.LOSSLESS]
        self._db.executemany(
            f"UPDATE queue SET value=?1, density=?1*{worth}/estimate"
            f" WHERE acquisition={int(acquisition)} AND rung={int(Rung.LOSSLESS)} AND row=?2 AND col=?3",
            values,
        )

    def _insert(self, acquisition: int, new: NewProduct) -> int:
        payload, sha256, place, size = b"", "", None, None
        if isinstance(new.payload, bytes) and new.coded:
            payload, sha256 = new.payload, hashlib.sha256(new.payload).hexdigest()
        else:
            draft = self.hold([new.payload])[0] if isinstance(new.payload, bytes) else new.payload
            self._entered.append(draft)
            place, size, sha256 = draft.place, draft.size, draft.seal
        cursor = self._db.execute(
            "INSERT OR REPLACE INTO queue (acquisition, rung, row, col, score, value, weight, density, estimate, size,"
            " coded, sha256, chip, priority, payload, draft_at, draft_bytes)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                acquisition, new.rung, new.row, new.col, new.score, new.value, new.weight,
                new.value * WORTH[new.rung] / new.size, new.size, new.size, new.coded,
                sha256, new.chip, new.priority, payload, place, size,
            ),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def trim(self, budget_bytes: int) -> None:
        """Let the worst products leave until the queue fits, and give the disk back what drafts took."""
        with transaction(self._db, self._where):
            self._trim(budget_bytes)
        self._drafts.refresh(self._places())
        self._drafts.shrink()
        self._move_down()
        self._drafts.shrink()

    def _move_down(self) -> None:
        """The last drafts of the file into what is free before them; a disk that takes nothing leaves them there."""
        moved: list[tuple[int, int]] = []
        try:
            for identity, place, size, sha256 in self._db.execute(
                "SELECT id, draft_at, draft_bytes, sha256 FROM queue WHERE draft_at IS NOT NULL ORDER BY draft_at DESC"
            ).fetchall():
                new = self._drafts.moved_down(Placed(place, size, sha256))
                if new is not None:
                    self._entered.append(new)
                    moved.append((new.place, identity))
            if moved:
                self._drafts.sync()
        except DiskFullError:
            self._drafts.refresh(self._places(), self._entered)
            self._entered = []
            return
        if moved:
            with transaction(self._db, self._where):
                self._db.executemany("UPDATE queue SET draft_at=? WHERE id=?", moved)
            self.committed()

    def _trim(self, budget_bytes: int) -> None:
        over = self._db.execute("SELECT coalesce(sum(estimate), 0) FROM queue").fetchone()[0] - budget_bytes * RESERVE
        leaving = []
        if over > 0:
            # equal density: the later cell leaves, so that the outcome never depends on how often a run was broken off
            for identity, size in self._db.execute(
                "SELECT id, estimate FROM queue"
                " ORDER BY delivered DESC, priority, density, acquisition DESC, row DESC, col DESC"
            ):
                leaving.append((identity,))
                over -= size
                if over <= 0:
                    break
        self._db.executemany("DELETE FROM queue WHERE id=?", leaving)

    def drop_delivered(self, wanted_bytes: int) -> int:
        """Let what the ground has confirmed leave, the worst first, until so many bytes are free; how many left."""
        leaving, freed = [], 0
        for identity, size in self._db.execute(
            "SELECT id, length(payload) FROM queue WHERE delivered"
            " ORDER BY priority, density, acquisition DESC, row DESC, col DESC"
        ):
            if freed >= wanted_bytes:
                break
            leaving.append((identity,))
            freed += size
        with transaction(self._db, self._where):
            self._db.executemany("DELETE FROM queue WHERE id=?", leaving)
        return len(leaving)

    def settle(self, coded: Sequence[tuple[int, bytes | None]]) -> None:
        """Replace candidates (id, coded product) in one transaction; one without a product is dropped."""
        with transaction(self._db, self._where):
            self._db.executemany("DELETE FROM queue WHERE id=?", [(i,) for i, payload in coded if payload is None])
            self._db.executemany(
                "UPDATE queue SET payload=?, size=?, sha256=?, coded=1, draft_at=NULL, draft_bytes=NULL WHERE id=?",
                (
                    (payload, len(payload), hashlib.sha256(payload).hexdigest(), identity)
                    for identity, payload in coded
                    if payload is not None
                ),
            )

    def items(self, acquisition: int | None = None) -> list[QueueRow]:
        """What waits to go down (of one acquisition alone), best first, without payloads."""
        rows = self._db.execute(
            "SELECT queue.id, queue.acquisition, row, col, score, value, estimate, size, coded, sha256, rung, weight,"
            " density, chip, priority, sensing_time FROM queue JOIN acquisition ON acquisition.id = queue.acquisition"
            " WHERE NOT delivered AND (?1 IS NULL OR queue.acquisition = ?1)"
            " ORDER BY priority DESC, density DESC, queue.acquisition, rung, row, col",
            (acquisition,),
        )
        return [_row(row) for row in rows.fetchall()]

    def weights(self, acquisition: int) -> list[tuple[int, int, float]]:
        """(row, column, weight) of the cells of an acquisition that wait to go down."""
        return self._db.execute(
            "SELECT row, col, weight FROM queue WHERE acquisition=? AND rung=? AND NOT delivered",
            (acquisition, int(Rung.LOSSLESS)),
        ).fetchall()

    def densities(self) -> list[tuple[float, float]]:
        """(worth per byte, estimated bytes) of what waits to go down."""
        rows = self._db.execute("SELECT density, CAST(estimate AS REAL) FROM queue WHERE NOT delivered")
        return [(density, size) for density, size in rows]

    def fitting(self, budget_bytes: int) -> list[QueueRow]:
        """The best of the queue that fit the budget together, best first, without payloads."""
        items = self.items()
        used = 0
        for n, item in enumerate(items):
            used += item.size
            if used > budget_bytes:
                return items[:n]
        return items

    def payload(self, queue_id: int) -> bytes | None:
        """The bytes of a product, or None when they no longer match their SHA-256."""
        row = self._db.execute(
            "SELECT payload, sha256, draft_at, draft_bytes FROM queue WHERE id=?", (queue_id,)
        ).fetchone()
        if row is None:
            return None
        if row[2] is not None:
            return self._drafts.get(Placed(row[2], row[3], row[1]))
        return bytes(row[0]) if hashlib.sha256(row[0]).hexdigest() == row[1] else None

    def drafts_bytes(self) -> int:
        """What the drafts take; places that were given up are used again before their file grows."""
        return sum(on_disk(size) for _, size in self._places() if isinstance(size, int))

    def _places(self) -> list[tuple[int, int]]:
        """Place and bytes of every draft in the file."""
        try:
            return self._db.execute("SELECT draft_at, draft_bytes FROM queue WHERE draft_at IS NOT NULL").fetchall()
        except sqlite3.Error as error:
            raise as_store_error(error, self._where) from error


def _row(row: Sequence[Any]) -> QueueRow:
    fields = list(row)
    fields[8], fields[10], fields[15] = bool(row[8]), Rung(row[10]), datetime.fromisoformat(row[15])
    return QueueRow(*fields)
