"""The state database: grids, acquisitions and their frozen statistics, chunks, counters, the queue, the link."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from onboard.governor import Decision
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store import decisions, orders, queue, transfers
from onboard.store.database import live_bytes, open_database, transaction
from onboard.store.rows import AcquisitionRow, ChunkRow, NewProduct

SCHEMA = (
    """
CREATE TABLE grid (
  id INTEGER PRIMARY KEY AUTOINCREMENT, crs TEXT NOT NULL, transform TEXT NOT NULL, width INTEGER, height INTEGER);
CREATE TABLE acquisition (
  id INTEGER PRIMARY KEY AUTOINCREMENT, grid INTEGER NOT NULL, sensing_time TEXT NOT NULL, product_id TEXT NOT NULL,
  artefact TEXT NOT NULL, settings TEXT NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, reference TEXT NOT NULL,
  statistics TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, UNIQUE (grid, sensing_time, product_id, artefact));
CREATE TABLE chunk (
  acquisition INTEGER NOT NULL, idx INTEGER NOT NULL, row INTEGER, col INTEGER, rows INTEGER, cols INTEGER,
  status BLOB NOT NULL, score BLOB NOT NULL, truth BLOB, crc INTEGER NOT NULL, PRIMARY KEY (acquisition, idx));
CREATE TABLE counter (
  acquisition INTEGER NOT NULL, kind TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (acquisition, kind));
"""
    + decisions.SCHEMA
    + queue.SCHEMA
    + queue.DRAFTS_INDEX
    + transfers.SCHEMA
    + orders.SCHEMA
)

_ACQUISITION = (
    "SELECT id, grid, sensing_time, product_id, settings, rows, cols, reference, statistics, done FROM acquisition"
)


class State:
    """Small and precious: every commit is on the disk before it returns (synchronous=FULL)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path, SCHEMA, "FULL")
        decisions.add(self._db, path)
        queue.add(self._db, path)
        self.queue = queue.Queue(self._db, path)
        self.transfers = transfers.Transfers(self._db, path)
        self.orders = orders.Orders(self._db, path)

    def close(self) -> None:
        """Close the database."""
        self.queue.close()
        self._db.close()

    def live_bytes(self) -> int:
        """What the state holds, in bytes."""
        return live_bytes(self._db) + self.queue.drafts_bytes()

    def grids(self) -> list[tuple[int, Grid]]:
        """All known grids with their ids, oldest first."""
        rows = self._db.execute("SELECT id, crs, transform, width, height FROM grid ORDER BY id").fetchall()
        return [(r[0], Grid(r[1], tuple(json.loads(r[2])), r[3], r[4])) for r in rows]

    def add_grid(self, grid: Grid) -> int:
        """Remember a new place; returns its id."""
        with transaction(self._db, self._path):
            cursor = self._db.execute(
                "INSERT INTO grid (crs, transform, width, height) VALUES (?,?,?,?)",
                (grid.crs, json.dumps(list(grid.transform)), grid.width, grid.height),
            )
        return int(cursor.lastrowid or 0)

    def find(self, grid_id: int, time: datetime, product_id: str, artefact: str) -> AcquisitionRow | None:
        """The acquisition of this identity, or None."""
        row = self._db.execute(
            f"{_ACQUISITION} WHERE grid=? AND sensing_time=? AND product_id=? AND artefact=?",
            (grid_id, time.isoformat(), product_id, artefact),
        ).fetchone()
        return _acquisition(row) if row else None

    def acquisitions(self, artefact: str) -> list[AcquisitionRow]:
        """All acquisitions looked at with an artefact, by grid and time."""
        rows = self._db.execute(f"{_ACQUISITION} WHERE artefact=? ORDER BY grid, sensing_time, product_id", (artefact,))
        return [_acquisition(row) for row in rows.fetchall()]

    def acquisition(self, identity: int) -> AcquisitionRow:
        """The acquisition of this id, which must be known."""
        return _acquisition(self._db.execute(f"{_ACQUISITION} WHERE id=?", (identity,)).fetchone())

    def begin(
        self,
        grid_id: int,
        time: datetime,
        product_id: str,
        artefact: str,
        settings: str,
        shape: tuple[int, int],
        reference_times: Sequence[datetime],
        statistics: Mapping[str, Any],
    ) -> AcquisitionRow:
        """Freeze what the pre-scan found, before the first chunk. An unfinished one of this identity is begun anew."""
        old = self.find(grid_id, time, product_id, artefact)
        with transaction(self._db, self._path):
            if old is not None:
                self._delete(old.id)
            cursor = self._db.execute(
                "INSERT INTO acquisition (grid, sensing_time, product_id, artefact, settings, rows, cols, reference,"
                " statistics) VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    grid_id, time.isoformat(), product_id, artefact, settings, *shape,
                    json.dumps([t.isoformat() for t in reference_times]), json.dumps(statistics),
                ),
            )  # fmt: skip
        return self.acquisition(int(cursor.lastrowid or 0))

    def abandon(self, acquisition: int) -> None:
        """Forget an unfinished acquisition, with its scores and what it brought into the queue."""
        with transaction(self._db, self._path):
            self._delete(acquisition)

    def _delete(self, acquisition: int) -> None:
        for table in ("chunk", "queue", "counter", "decision"):
            self._db.execute(f"DELETE FROM {table} WHERE acquisition=?", (acquisition,))
        self._db.execute("DELETE FROM acquisition WHERE id=?", (acquisition,))

    def forget_scores(self, artefact: str, keep: int) -> bool:
        """Drop the scores of the finished pass whose scores are worth least; False where none may go.

        First those of other artefacts, then of the pass with most newer ones over its own place. The `keep` newest of
        each place stay, and what still waits for the ground. The pass itself stays known: it is not looked at again.
        """
        row = self._db.execute(
            "SELECT id FROM (SELECT id, artefact=? AS mine, sensing_time, row_number() OVER"
            " (PARTITION BY grid, artefact ORDER BY sensing_time DESC, product_id DESC) AS newer"
            " FROM acquisition WHERE done) AS one WHERE (NOT mine OR newer>?)"
            " AND EXISTS (SELECT 1 FROM chunk WHERE acquisition=one.id)"
            " AND NOT EXISTS (SELECT 1 FROM queue WHERE acquisition=one.id AND NOT delivered)"
            " ORDER BY mine, newer DESC, sensing_time, id LIMIT 1",
            (artefact, keep),
        ).fetchone()
        if row is None:
            return False
        with transaction(self._db, self._path):
            self._db.execute("DELETE FROM chunk WHERE acquisition=?", row)
            self._db.execute("DELETE FROM decision WHERE acquisition=?", row)
            self._db.execute("INSERT OR REPLACE INTO counter VALUES (?, 'scores_evicted', 1)", row)
        return True

    def finish(self, acquisition: int) -> None:
        """Mark it whole: it is skipped from now on."""
        with transaction(self._db, self._path):
            self._db.execute("UPDATE acquisition SET done=1 WHERE id=?", (acquisition,))

    def commit(
        self,
        acquisition: int,
        rows: Sequence[ChunkRow],
        products: Sequence[NewProduct],
        counters: Mapping[str, int],
        budget_bytes: int,
        decided: Sequence[Decision] = (),
    ) -> None:
        """One chunk group in one transaction: scores and progress, counters, and what enters and leaves the queue.

        `decided` is what the governor did with the strips that were finished.
        """
        with transaction(self._db, self._path):
            self._db.executemany(
                "INSERT INTO chunk VALUES (?,?,?,?,?,?,?,?,?,?)", (_blobs(acquisition, r) for r in rows)
            )
            self._db.executemany(
                "INSERT INTO counter VALUES (?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                ((acquisition, kind, n) for kind, n in counters.items()),
            )
            decisions.write(self._db, acquisition, decided)
            self.queue.enter(acquisition, products, budget_bytes)
        self.queue.committed()

    def close_up(
        self, acquisition: int, products: Sequence[NewProduct], values: Iterable[tuple[float, int, int]], budget: int
    ) -> None:
        """What is known once all of an acquisition has been seen, in one transaction; again is the same as once.

        Args:
            products: the cheap rungs.
            values: (value, row, column) of its cells in the queue.
        """
        with transaction(self._db, self._path):
            self.queue.revalue(acquisition, values)
            self.queue.enter(acquisition, products, budget)
        self.queue.committed()

    def done_chunks(self, acquisition: int) -> set[int]:
        """Indices of the committed chunks."""
        return {r[0] for r in self._db.execute("SELECT idx FROM chunk WHERE acquisition=?", (acquisition,))}

    def chunks(self, acquisition: int) -> Iterator[ChunkRow]:
        """The committed chunks; one whose checksum fails is left out (its cells read as not looked at)."""
        for r in self._db.execute(
            "SELECT idx, row, col, rows, cols, status, score, truth, crc FROM chunk WHERE acquisition=? ORDER BY idx",
            (acquisition,),
        ):
            if _crc(r[5], r[6], r[7]) != r[8]:
                continue
            shape = (r[3], r[4])
            yield ChunkRow(
                Chunk(*r[:5]),
                np.frombuffer(r[5], "u1").reshape(shape),
                np.frombuffer(r[6], "<f4").reshape(shape),
                None if r[7] is None else np.frombuffer(r[7], "<f4").reshape(shape),
            )

    def decisions(self, acquisition: int) -> list[Decision]:
        """What the governor did with the strips of an acquisition, in order; empty where there was no deadline."""
        return decisions.read(self._db, acquisition)

    def counters(self, acquisitions: Iterable[int]) -> dict[str, int]:
        """Sums of what was counted while looking at these acquisitions."""
        total: dict[str, int] = {}
        for identity in acquisitions:
            for kind, n in self._db.execute("SELECT kind, n FROM counter WHERE acquisition=?", (identity,)):
                total[kind] = total.get(kind, 0) + n
        return total


def _acquisition(r: Sequence[Any]) -> AcquisitionRow:
    times = tuple(datetime.fromisoformat(t) for t in json.loads(r[7]))
    return AcquisitionRow(
        r[0], r[1], datetime.fromisoformat(r[2]), r[3], r[4], r[5], r[6], times, json.loads(r[8]), bool(r[9])
    )


def _blobs(acquisition: int, row: ChunkRow) -> tuple[Any, ...]:
    status, score = row.status.tobytes(), row.score.astype("<f4").tobytes()
    truth = None if row.truth is None else row.truth.astype("<f4").tobytes()
    c = row.chunk
    crc = _crc(status, score, truth)
    return acquisition, c.index, c.row, c.col, c.rows, c.cols, status, score, truth, crc


def _crc(*blobs: bytes | None) -> int:
    crc = 0
    for blob in blobs:
        crc = zlib.crc32(blob or b"", crc)
    return crc
