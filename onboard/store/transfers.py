"""How far products have gone down, what the ground has confirmed, and the counters of the link: tables of the state."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from onboard.store.database import transaction

SCHEMA = """
CREATE TABLE transfer (sha256 TEXT PRIMARY KEY, sent INTEGER NOT NULL);
CREATE TABLE link (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

_SET = "INSERT INTO link VALUES (?,?) ON CONFLICT DO UPDATE SET value = excluded.value"


class Transfers:
    """The link's tables in the state database; products are known by their SHA-256 in hexadecimal."""

    def __init__(self, db: sqlite3.Connection, where: Path) -> None:
        self._db, self._where = db, where

    def sent(self) -> dict[str, int]:
        """Segments that left at least once, of products that wait; what is no longer in the queue is forgotten."""
        with transaction(self._db, self._where):
            self._db.execute("DELETE FROM transfer WHERE sha256 NOT IN (SELECT sha256 FROM queue WHERE NOT delivered)")
        return dict(self._db.execute("SELECT sha256, sent FROM transfer").fetchall())

    def counter(self, name: str, default: int) -> int:
        """A counter of the link, or `default` before it was first stored."""
        row = self._db.execute("SELECT value FROM link WHERE name=?", (name,)).fetchone()
        return int(row[0]) if row else default

    def progress(self, sent: Mapping[str, int], counters: Mapping[str, int]) -> None:
        """Store how far transfers have come, and counters, in one transaction."""
        with transaction(self._db, self._where):
            self._db.executemany(
                "INSERT INTO transfer VALUES (?,?) ON CONFLICT DO UPDATE SET sent = excluded.sent", sent.items()
            )
            self._db.executemany(_SET, counters.items())

    def confirm(self, products: Iterable[str], counters: Mapping[str, int]) -> None:
        """Mark products as delivered, together with the counters that keep the same report from being taken again."""
        with transaction(self._db, self._where):
            self._db.executemany("UPDATE queue SET delivered=1 WHERE sha256=? AND coded", [(p,) for p in products])
            self._db.executemany(_SET, counters.items())

    def delivered(self) -> set[str]:
        """Products that are confirmed and still stored."""
        return {row[0] for row in self._db.execute("SELECT sha256 FROM queue WHERE delivered")}
