"""The downlink queue: products by value per byte, as many as fit a byte budget and a small reserve.

A product enters as a candidate: whole, but not yet coded for the ground, its size estimated. `settle` replaces it by
its coded form. Its rank stays what the estimate made it, so that the outcome does not depend on when it was coded; the
reserve makes up for the estimates' error, and moves up when the ground has confirmed others. What is confirmed counts
no more, but stays until storage is short: then it is the first to leave.

`priority` is a class above all value: 0 where nobody asked, else that of the operator's query (`store.orders`), 1..255.
A greater one goes down first and leaves last; within a class value per byte decides.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from onboard.store.database import transaction
from onboard.store.rows import NewProduct, QueueRow

SCHEMA = """
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT, acquisition INTEGER NOT NULL, row INTEGER NOT NULL, col INTEGER NOT NULL,
  score REAL NOT NULL, value REAL NOT NULL, density REAL NOT NULL, estimate INTEGER NOT NULL, size INTEGER NOT NULL,
  coded INTEGER NOT NULL, sha256 TEXT NOT NULL, delivered INTEGER NOT NULL DEFAULT 0, payload BLOB NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  UNIQUE (acquisition, row, col));
CREATE INDEX queue_worst ON queue (delivered DESC, priority, density, acquisition DESC, row DESC, col DESC, estimate);
CREATE INDEX queue_sha256 ON queue (sha256);
"""

RESERVE = 1.2
"""How much of the budget the queue holds; an estimate of a product's bytes errs by 3 % (standard deviation), those of
other sensors may all be some ten per cent too large."""


class Queue:
    """The queue's table in the state database. `enter` runs inside the state's transaction of a chunk group."""

    def __init__(self, db: sqlite3.Connection, where: Path) -> None:
        self._db, self._where = db, where

    def enter(self, acquisition: int, products: Sequence[NewProduct], budget_bytes: int) -> None:
        """Let candidates in, then the worst out until the queue fits."""
        self._db.executemany(
            "INSERT OR REPLACE INTO queue (acquisition, row, col, score, value, density, estimate, size, coded, sha256,"
            " payload, priority) VALUES (?,?,?,?,?,?,?,?,0,?,?,?)",
            (
                (acquisition, new.row, new.col, new.score, new.value, new.value / new.size, new.size, new.size,
                 hashlib.sha256(new.payload).hexdigest(), new.payload, new.priority)
                for new in products
            ),
        )  # fmt: skip
        self._trim(budget_bytes)

    def trim(self, budget_bytes: int) -> None:
        """Let the worst products leave until the queue fits."""
        with transaction(self._db, self._where):
            self._trim(budget_bytes)

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

    def settle(self, coded: Sequence[tuple[int, bytes | None]]) -> None:
        """Replace candidates (id, coded product) in one transaction; one without a product is dropped."""
        with transaction(self._db, self._where):
            self._db.executemany("DELETE FROM queue WHERE id=?", [(i,) for i, payload in coded if payload is None])
            self._db.executemany(
                "UPDATE queue SET payload=?, size=?, sha256=?, coded=1 WHERE id=?",
                (
                    (payload, len(payload), hashlib.sha256(payload).hexdigest(), identity)
                    for identity, payload in coded
                    if payload is not None
                ),
            )

    def items(self) -> list[QueueRow]:
        """What waits to go down, best first, without payloads."""
        rows = self._db.execute(
            "SELECT id, acquisition, row, col, score, value, estimate, size, coded, sha256, priority FROM queue"
            " WHERE NOT delivered ORDER BY priority DESC, density DESC, acquisition, row, col"
        )
        return [QueueRow(*row) for row in rows.fetchall()]

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
        row = self._db.execute("SELECT payload, sha256 FROM queue WHERE id=?", (queue_id,)).fetchone()
        if row is None or hashlib.sha256(row[0]).hexdigest() != row[1]:
            return None
        return bytes(row[0])
