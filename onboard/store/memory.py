"""The memory database: one record per cell and past pass, in strips of one row of cells. Disposable by design."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from onboard.change.record import Records, describe
from onboard.errors import StoreError
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store.database import (
    OtherVersionError,
    live_bytes,
    open_database,
    open_to_read,
    transaction,
)
from onboard.store.memory_reader import MARK, MemoryReader, marks_damage

SCHEMA = """
CREATE TABLE pass (
  id INTEGER PRIMARY KEY AUTOINCREMENT, grid TEXT NOT NULL, sensing_time TEXT NOT NULL, product_id TEXT NOT NULL,
  artefact TEXT NOT NULL, layout TEXT NOT NULL, statistics TEXT NOT NULL,
  UNIQUE (grid, sensing_time, product_id, artefact, layout));
CREATE TABLE strip (
  pass INTEGER NOT NULL, row INTEGER NOT NULL, col INTEGER NOT NULL, cols INTEGER NOT NULL, records BLOB NOT NULL,
  PRIMARY KEY (pass, row, col));
"""
"""A table with row ids keeps strips in the order of writing: those of a chunk lie in few pages, and are read so."""


class PastPass(NamedTuple):
    """A remembered pass over a place; `statistics` is what its own pre-scan found of each band."""

    id: int
    sensing_time: datetime
    product_id: str
    statistics: list[list[float]]

    @property
    def key(self) -> str:
        """Names the pass independently of this database."""
        return f"{self.sensing_time.isoformat()} {self.product_id}"


class Memory(MemoryReader):
    """Large and disposable: when it cannot be opened it begins anew, and every place is a first look again.

    Attributes:
        reset: why it began anew, or None.
    """

    def __init__(self, path: Path) -> None:
        self.reset: str | None = None
        try:
            if path.with_name(path.name + MARK).exists():
                raise StoreError(f"{path}: found damaged by an earlier run")
            db = open_database(path, SCHEMA, "NORMAL")
        except OtherVersionError:
            raise
        except StoreError as error:
            self.reset = str(error)
            for suffix in ("", "-wal", "-shm", MARK):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            db = open_database(path, SCHEMA, "NORMAL")
        super().__init__(db, path)

    def reader(self) -> MemoryReader:
        """For another thread: sees what is committed, and holds nothing up."""
        return MemoryReader(open_to_read(self.path), self.path)

    @marks_damage
    def enter(
        self,
        grid: Grid,
        time: datetime,
        product_id: str,
        artefact: str,
        dtype: np.dtype[Any],
        statistics: Sequence[Sequence[float]],
        anew: bool = False,
    ) -> int:
        """The id under which a pass is remembered; made when new.

        Args:
            anew: drop what is remembered of it: other chunks may leave strips that overlap.
        """
        key = (grid_key(grid), time.isoformat(), product_id, artefact, describe(dtype))
        with transaction(self._db, self.path):
            self._db.execute(
                "INSERT INTO pass (grid, sensing_time, product_id, artefact, layout, statistics) VALUES (?,?,?,?,?,?)"
                " ON CONFLICT DO UPDATE SET statistics = excluded.statistics",
                (*key, json.dumps([list(item) for item in statistics])),
            )
            row = self._db.execute(
                "SELECT id FROM pass WHERE grid=? AND sensing_time=? AND product_id=? AND artefact=? AND layout=?", key
            ).fetchone()
            if anew:
                self._db.execute("DELETE FROM strip WHERE pass=?", row)
        return int(row[0])

    @marks_damage
    def past(self, grid: Grid, before: datetime, artefact: str, dtype: np.dtype[Any], limit: int) -> list[PastPass]:
        """Passes of the same artefact and layout, strictly earlier than `before`, newest first."""
        rows = self._db.execute(
            "SELECT id, sensing_time, product_id, statistics FROM pass"
            " WHERE grid=? AND sensing_time<? AND artefact=? AND layout=?"
            " ORDER BY sensing_time DESC, product_id DESC LIMIT ?",
            (grid_key(grid), before.isoformat(), artefact, describe(dtype), limit),
        )
        return [PastPass(r[0], datetime.fromisoformat(r[1]), r[2], json.loads(r[3])) for r in rows.fetchall()]

    @marks_damage
    def artefacts(self, grid: Grid, before: datetime) -> list[str]:
        """Artefacts that a place is remembered with, strictly earlier than `before`, the one with the newest first."""
        rows = self._db.execute(
            "SELECT artefact FROM pass WHERE grid=? AND sensing_time<? GROUP BY artefact"
            " ORDER BY max(sensing_time) DESC, artefact",
            (grid_key(grid), before.isoformat()),
        )
        return [row[0] for row in rows.fetchall()]

    @marks_damage
    def write(self, pass_id: int, items: Sequence[tuple[Chunk, Records]]) -> None:
        """Remember the records (cells,) of a group of chunks in one transaction; the same cells are replaced."""
        with transaction(self._db, self.path):
            for chunk, records in items:
                grid = records.reshape(chunk.rows, chunk.cols)
                self._db.executemany(
                    "INSERT OR REPLACE INTO strip VALUES (?,?,?,?,?)",
                    ((pass_id, chunk.row + i, chunk.col, chunk.cols, grid[i].tobytes()) for i in range(chunk.rows)),
                )

    @marks_damage
    def live_bytes(self) -> int:
        """What is remembered, in bytes."""
        return live_bytes(self._db)

    @marks_damage
    def forget_least(self, artefact: str, keep: int) -> bool:
        """Drop the pass that is worth least; False where none may go.

        First those of other artefacts, which nothing reads any more; then the one with most newer passes over its own
        place. The `keep` newest of each place stay.
        """
        row = self._db.execute(
            "SELECT id FROM (SELECT id, artefact=? AS mine, sensing_time, row_number() OVER"
            " (PARTITION BY grid, artefact ORDER BY sensing_time DESC, product_id DESC) AS newer FROM pass)"
            " WHERE NOT mine OR newer>? ORDER BY mine, newer DESC, sensing_time, id LIMIT 1",
            (artefact, keep),
        ).fetchone()
        if row is None:
            return False
        with transaction(self._db, self.path):
            self._db.execute("DELETE FROM strip WHERE pass=?", row)
            self._db.execute("DELETE FROM pass WHERE id=?", row)
        return True

    @marks_damage
    def forget(self, grid: Grid, artefact: str, keep: int) -> int:
        """Drop the oldest passes of a place beyond `keep`; returns how many left."""
        rows = self._db.execute(
            "SELECT id FROM pass WHERE grid=? AND artefact=? ORDER BY sensing_time DESC, product_id DESC"
            " LIMIT -1 OFFSET ?",
            (grid_key(grid), artefact, keep),
        ).fetchall()
        with transaction(self._db, self.path):
            for (identity,) in rows:
                self._db.execute("DELETE FROM strip WHERE pass=?", (identity,))
                self._db.execute("DELETE FROM pass WHERE id=?", (identity,))
        return len(rows)


def grid_key(grid: Grid) -> str:
    """A grid's identity in the memory, which knows nothing of the state's ids."""
    return hashlib.sha256(json.dumps([grid.crs, list(grid.transform)]).encode()).hexdigest()
