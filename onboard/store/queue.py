"""The downlink queue: an online top-K of coded products by value per byte, under a byte budget."""

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
  score REAL NOT NULL, value REAL NOT NULL, density REAL NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
  payload BLOB NOT NULL, UNIQUE (acquisition, row, col));
CREATE INDEX queue_worst ON queue (density, acquisition DESC, row DESC, col DESC, size);
"""


class Queue:
    """The queue's table in the state database. `enter` runs inside the state's transaction of a chunk group."""

    def __init__(self, db: sqlite3.Connection, where: Path) -> None:
        self._db, self._where = db, where

    def enter(self, acquisition: int, products: Sequence[NewProduct], budget_bytes: int) -> None:
        """Let new products in, then the worst out until the queue fits."""
        self._db.executemany(
            "INSERT OR REPLACE INTO queue (acquisition, row, col, score, value, density, size, sha256, payload)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            (
                (acquisition, new.row, new.col, new.score, new.value, new.value / len(new.payload), len(new.payload),
                 hashlib.sha256(new.payload).hexdigest(), new.payload)
                for new in products
            ),
        )  # fmt: skip
        self._trim(budget_bytes)

    def trim(self, budget_bytes: int) -> None:
        """Let the worst products leave until the queue fits."""
        with transaction(self._db, self._where):
            self._trim(budget_bytes)

    def _trim(self, budget_bytes: int) -> None:
        over = self._db.execute("SELECT coalesce(sum(size), 0) FROM queue").fetchone()[0] - budget_bytes
        leaving = []
        if over > 0:
            # equal density: the later cell leaves, so that the outcome never depends on how often a run was broken off
            for identity, size in self._db.execute(
                "SELECT id, size FROM queue ORDER BY density, acquisition DESC, row DESC, col DESC"
            ):
                leaving.append((identity,))
                over -= size
                if over <= 0:
                    break
        self._db.executemany("DELETE FROM queue WHERE id=?", leaving)

    def floor(self, budget_bytes: int) -> tuple[float, float]:
        """(value per byte to beat, fewest bytes of a queued product); the first is 0 while there is room for more."""
        n, used, worst, smallest = self._db.execute(
            "SELECT count(*), coalesce(sum(size), 0), min(density), min(size) FROM queue"
        ).fetchone()
        if n == 0:
            return 0.0, 0.0
        return (float(worst) if used + used / n > budget_bytes else 0.0), float(smallest)

    def items(self) -> list[QueueRow]:
        """The queue, best first, without payloads."""
        rows = self._db.execute(
            "SELECT id, acquisition, row, col, score, value, size, sha256 FROM queue"
            " ORDER BY density DESC, acquisition, row, col"
        )
        return [QueueRow(*row) for row in rows.fetchall()]

    def payload(self, queue_id: int) -> bytes | None:
        """The bytes of a product, or None when they no longer match their SHA-256."""
        row = self._db.execute("SELECT payload, sha256 FROM queue WHERE id=?", (queue_id,)).fetchone()
        if row is None or hashlib.sha256(row[0]).hexdigest() != row[1]:
            return None
        return bytes(row[0])
