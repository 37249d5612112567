"""The memory database: one record per cell and past pass, in strips of one row of cells. Disposable by design."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import Records, damaged, describe
from onboard.errors import StoreError
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store.database import (
    OtherVersionError,
    as_store_error,
    live_bytes,
    open_database,
    open_to_read,
    transaction,
)

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
STRIPS = """
WITH RECURSIVE line(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM line WHERE n + 1 < ?2), which(id) AS (VALUES {ids})
SELECT {found} FROM which CROSS JOIN line CROSS JOIN strip ON pass = id AND row = n AND col < ?4 AND col >= ifnull(
  (SELECT max(col) FROM strip WHERE pass = id AND row = n AND col <= ?3), 0)
"""
"""Of passes ?5, ?6, ..., in rows from ?1 to before ?2, that reach into columns ?3 to before ?4: by the index alone."""
SINGLE = STRIPS.format(ids="(?5)", found="row, col, cols, records")
TOGETHER = (
    "count(*), min(col), max(col), min(cols), max(cols), group_concat(row), CAST(group_concat(records, '') AS BLOB)"
)
"""All in one answer: SQLite lets go of the interpreter's lock, and has to get it back, for each."""


@cache
def _together(passes: int) -> str:
    return STRIPS.format(ids=", ".join(f"(?{5 + i})" for i in range(passes)), found=TOGETHER)


P = ParamSpec("P")
R = TypeVar("R", bound="MemoryReader")
T = TypeVar("T")

MARK = ".damaged"
"""Appended to the file's name: a marker that it was found damaged, so that the next run begins anew."""


def _marks_damage(method: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """Where the database proves damaged, leave the marker: what is disposable must not stop every run to come."""

    @wraps(method)
    def guarded(self: R, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except (sqlite3.Error, StoreError) as error:
            cause = error if isinstance(error, sqlite3.Error) else error.__cause__
            if getattr(cause, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise as_store_error(error, self.path) if isinstance(error, sqlite3.Error) else error from error
            self.path.with_name(self.path.name + MARK).touch()
            raise StoreError(f"{self.path}: damaged ({cause}); the next run begins a new memory") from error

    return cast("Callable[Concatenate[R, P], T]", guarded)


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


class MemoryReader:
    """Reads records over a connection of its own, for one thread at a time. Use as a context manager."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self.path = db, path
        self._others: set[int] = set()  # passes that were read in other chunks, as far as is known

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def read(self, pass_id: int, chunk: Chunk, dtype: np.dtype[Any]) -> tuple[Records, int]:
        """Of one pass: records (cells,), and how many failed their checksum; see `read_all`."""
        records, bad = self.read_all((pass_id,), chunk, dtype)
        return records[0], bad

    @_marks_damage
    def read_all(self, passes: Sequence[int], chunk: Chunk, dtype: np.dtype[Any]) -> tuple[Records, int]:
        """Records of some past passes over a chunk's cells.

        Returns:
            Records (passes, cells), all zero where nothing is remembered, and how many failed their checksum (zeroed).
        """
        alike = [one for one in passes if one not in self._others]
        if passes and len(alike) == len(passes):
            blob = self._answer(passes, chunk, dtype)
            if blob is not None:
                return _sound(np.frombuffer(blob, dtype=dtype), (len(passes), chunk.cells))
        out = np.zeros((len(passes), chunk.rows, chunk.cols), dtype=_item(dtype))
        for one, place in zip(passes, out, strict=True):
            blob = self._answer((one,), chunk, dtype) if len(passes) > 1 and one in alike else None
            if blob is not None:
                place[...] = np.frombuffer(blob, dtype=place.dtype).reshape(place.shape)
            elif self._fill(place, one, chunk):
                self._others.add(one)
        return _sound(out.reshape(-1).view(dtype), (len(passes), chunk.cells))

    def _answer(self, passes: Sequence[int], chunk: Chunk, dtype: np.dtype[Any]) -> bytes | None:
        """Records of passes that were read in the same chunks, one after the other: the usual case; None else."""
        where = (chunk.row, chunk.row + chunk.rows, chunk.col, chunk.col + chunk.cols)
        *found, order, blob = self._db.execute(_together(len(passes)), (*where, *passes)).fetchone()
        rows = ",".join([str(row) for _ in passes for row in range(*where[:2])])
        alike = found == [len(passes) * chunk.rows, chunk.col, chunk.col, chunk.cols, chunk.cols] and order == rows
        return blob if alike and len(blob) == len(passes) * chunk.cells * dtype.itemsize else None

    def _fill(self, out: NDArray[np.void], one: int, chunk: Chunk) -> bool:
        """What is remembered of a pass, strip by strip, into (rows, cols); whether there is anything."""
        end, some = chunk.col + chunk.cols, False
        for row, col, cols, blob in self._db.execute(SINGLE, (chunk.row, chunk.row + chunk.rows, chunk.col, end, one)):
            if len(blob) != cols * out.itemsize or col + cols <= chunk.col:
                continue
            strip, some = np.frombuffer(blob, dtype=out.dtype), True
            first, last = max(col, chunk.col), min(col + cols, end)
            out[row - chunk.row, first - chunk.col : last - chunk.col] = strip[first - col : last - col]
        return some


def _item(dtype: np.dtype[Any]) -> np.dtype[np.void]:
    """A record to be copied as it is; its fields would be copied one by one."""
    return np.dtype((np.void, dtype.itemsize))


def _sound(records: Records, shape: tuple[int, int]) -> tuple[Records, int]:
    """Records (N,) in their shape, those that fail their checksum zeroed, and how many did."""
    bad = damaged(records)
    if bad.any():
        records = records.copy()
        records[bad] = np.zeros(1, dtype=records.dtype)
    return records.reshape(shape), int(bad.sum())


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

    @_marks_damage
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

    @_marks_damage
    def past(self, grid: Grid, before: datetime, artefact: str, dtype: np.dtype[Any], limit: int) -> list[PastPass]:
        """Passes of the same artefact and layout, strictly earlier than `before`, newest first."""
        rows = self._db.execute(
            "SELECT id, sensing_time, product_id, statistics FROM pass"
            " WHERE grid=? AND sensing_time<? AND artefact=? AND layout=?"
            " ORDER BY sensing_time DESC, product_id DESC LIMIT ?",
            (grid_key(grid), before.isoformat(), artefact, describe(dtype), limit),
        )
        return [PastPass(r[0], datetime.fromisoformat(r[1]), r[2], json.loads(r[3])) for r in rows.fetchall()]

    @_marks_damage
    def artefacts(self, grid: Grid, before: datetime) -> list[str]:
        """Artefacts that a place is remembered with, strictly earlier than `before`, the one with the newest first."""
        rows = self._db.execute(
            "SELECT artefact FROM pass WHERE grid=? AND sensing_time<? GROUP BY artefact"
            " ORDER BY max(sensing_time) DESC, artefact",
            (grid_key(grid), before.isoformat()),
        )
        return [row[0] for row in rows.fetchall()]

    @_marks_damage
    def write(self, pass_id: int, items: Sequence[tuple[Chunk, Records]]) -> None:
        """Remember the records (cells,) of a group of chunks in one transaction; the same cells are replaced."""
        with transaction(self._db, self.path):
            for chunk, records in items:
                grid = records.reshape(chunk.rows, chunk.cols)
                self._db.executemany(
                    "INSERT OR REPLACE INTO strip VALUES (?,?,?,?,?)",
                    ((pass_id, chunk.row + i, chunk.col, chunk.cols, grid[i].tobytes()) for i in range(chunk.rows)),
                )

    @_marks_damage
    def live_bytes(self) -> int:
        """What is remembered, in bytes."""
        return live_bytes(self._db)

    @_marks_damage
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

    @_marks_damage
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
