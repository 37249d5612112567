"""What has arrived of products that are not yet whole, and the counter of reports, in one SQLite file.

It opens and commits as `onboard.store` does.

The inbox is disposable: what it loses is asked for again. Segments wait in memory until `flush`. What is held in all is
bounded against a hostile sender: the product that was fed longest ago is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from onboard.downlink.link.wire import SEGMENT_BYTES, Segment, Transfer
from onboard.errors import StoreError
from onboard.store.database import open_database, transaction

SCHEMA = """
CREATE TABLE segment (
  tag BLOB NOT NULL, size INTEGER NOT NULL, idx INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (tag, size, idx)) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

MAX_SEGMENTS_HELD = 262_144
"""About 256 MB of unfinished products."""
PENDING = 256
"""Segments in memory before they are written."""
COUNTER_BLOCK = 1024
"""Report counters reserved by one commit, so that none is used twice after a crash."""


class Inbox:
    """Unfinished products by transfer. Use as a context manager.

    Args:
        path: of the database.
        counter_from: no report gets a lower counter; a time since the epoch keeps them rising where the inbox was lost.
        max_segments: held in all; the limit against a hostile sender.

    Attributes:
        forgotten: products given up because too much was held.

    Raises:
        StoreError, DiskFullError: the database.
    """

    def __init__(self, path: Path, counter_from: int = 0, max_segments: int = MAX_SEGMENTS_HELD) -> None:
        self._path, self._limit = path, max_segments
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot hold an archive ({error.strerror})") from error
        self._db = open_database(path, SCHEMA, "NORMAL")
        self._held: OrderedDict[Transfer, set[int]] = OrderedDict()
        self._pending: list[Segment] = []
        for tag, size, index in self._db.execute("SELECT tag, size, idx FROM segment"):
            self._held.setdefault(Transfer(tag, size), set()).add(index)
        self._segments = sum(map(len, self._held.values()))
        stored = self._db.execute("SELECT value FROM counter WHERE name='report'").fetchone()
        self._counter = self._reserved = max(stored[0] if stored else 0, counter_from)
        self.forgotten = 0

    def __enter__(self) -> Inbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits and close."""
        self.flush()
        self._db.close()

    def held(self, transfer: Transfer) -> set[int] | None:
        """Indices of the segments of a product that are here, or None when nothing is; not to be changed."""
        return self._held.get(transfer)

    def transfers(self) -> list[Transfer]:
        """All unfinished products."""
        return list(self._held)

    def add(self, segment: Segment) -> bool:
        """Take a segment.

        Returns:
            whether it was new.
        """
        held = self._held.setdefault(segment.transfer, set())
        self._held.move_to_end(segment.transfer)
        if segment.index in held:
            return False
        held.add(segment.index)
        self._segments += 1
        self._pending.append(segment)
        while self._segments > self._limit and len(self._held) > 1:
            self.forget(next(iter(self._held)))
            self.forgotten += 1
        if len(self._pending) >= PENDING:
            self.flush()
        return True

    def flush(self) -> None:
        """Write the segments that wait in memory, in one transaction."""
        if self._pending:
            with transaction(self._db, self._path):
                self._db.executemany(
                    "INSERT OR REPLACE INTO segment VALUES (?,?,?,?)",
                    ((s.transfer.tag, s.transfer.size, s.index, s.data) for s in self._pending),
                )
            self._pending.clear()

    def whole(self, transfer: Transfer) -> bytes:
        """The bytes of a product of which all segments are here."""
        self.flush()
        out = bytearray(transfer.size)
        rows = self._db.execute("SELECT idx, data FROM segment WHERE tag=? AND size=?", (transfer.tag, transfer.size))
        for index, data in rows:
            start = index * SEGMENT_BYTES
            out[start : start + len(data)] = data
        return bytes(out)

    def forget(self, transfer: Transfer) -> None:
        """Give up what is here of a product."""
        self._segments -= len(self._held.pop(transfer, ()))
        self._pending = [s for s in self._pending if s.transfer != transfer]
        with transaction(self._db, self._path):
            self._db.execute("DELETE FROM segment WHERE tag=? AND size=?", (transfer.tag, transfer.size))

    def next_counter(self) -> int:
        """A counter that no report had before, also if the process ends in the next instant."""
        if self._counter >= self._reserved:
            self._reserved = self._counter + COUNTER_BLOCK
            with transaction(self._db, self._path):
                self._db.execute("INSERT OR REPLACE INTO counter VALUES ('report', ?)", (self._reserved,))
        self._counter += 1
        return self._counter - 1
