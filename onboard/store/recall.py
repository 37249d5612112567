"""A read-only view of a store, for questions asked beside a run: what is remembered, pass by pass and strip by strip.

It takes no lock and creates nothing: SQLite's write-ahead log lets it read a consistent past while a run is writing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from onboard.change.record import Records, damaged, describe
from onboard.errors import StoreError
from onboard.sense.grid import Grid
from onboard.store import MEMORY_FILE, STATE_FILE
from onboard.store.database import BUSY_TIMEOUT_S, CACHE_KIB, STORE_VERSION, as_store_error
from onboard.store.memory import grid_key


class KnownGrid(NamedTuple):
    """A grid as the state numbers it; `key` is its identity in the memory."""

    id: int
    grid: Grid
    key: str


class RememberedPass(NamedTuple):
    """A pass in the memory. `statistics` is what its pre-scan found of each band; `cells`, `strips` what is stored."""

    id: int
    grid: str
    sensing_time: datetime
    product_id: str
    statistics: list[list[float]]
    strips: int
    cells: int


class Recall:
    """What a store remembers of one model artefact. Use as a context manager.

    Args:
        folder: the store.

    Raises:
        StoreError: no store there, of another version, or unreadable.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._memory = _open(folder / MEMORY_FILE)
        try:
            self._state = _open(folder / STATE_FILE)
        except StoreError:
            self._memory.close()
            raise
        self._path = folder / MEMORY_FILE

    def __enter__(self) -> Recall:
        return self

    def __exit__(self, *exc: object) -> None:
        self._memory.close()
        self._state.close()

    def artefacts(self) -> list[str]:
        """SHA-256 of every artefact that anything is remembered of, the one with the newest pass first."""
        return [
            row[0]
            for row in self._rows("SELECT artefact FROM pass GROUP BY artefact ORDER BY max(sensing_time) DESC, 1")
        ]

    def grids(self) -> list[KnownGrid]:
        """Every grid of the state, oldest first."""
        try:
            rows = self._state.execute("SELECT id, crs, transform, width, height FROM grid ORDER BY id").fetchall()
        except sqlite3.Error as error:
            raise as_store_error(error, self._path.with_name(STATE_FILE)) from error
        grids = [(r[0], Grid(r[1], tuple(json.loads(r[2])), r[3], r[4])) for r in rows]
        return [KnownGrid(identity, grid, grid_key(grid)) for identity, grid in grids]

    def passes(self, artefact: str, dtype: np.dtype[Any]) -> list[RememberedPass]:
        """Passes of an artefact and record layout, by grid, the newest first."""
        rows = self._rows(
            "SELECT id, grid, sensing_time, product_id, statistics, count(row), coalesce(sum(cols), 0)"
            " FROM pass LEFT JOIN strip ON strip.pass = pass.id WHERE artefact=? AND layout=?"
            " GROUP BY id ORDER BY grid, sensing_time DESC, product_id DESC",
            artefact,
            describe(dtype),
        )
        return [
            RememberedPass(r[0], r[1], datetime.fromisoformat(r[2]), r[3], json.loads(r[4]), r[5], r[6]) for r in rows
        ]

    def strips(self, pass_id: int, dtype: np.dtype[Any], row: int | None = None) -> Iterator[tuple[int, int, Records]]:
        """(row, first column, records) of each strip of a pass, or of one row of it; damaged records come as zeros."""
        query = "SELECT row, col, cols, records FROM strip WHERE pass=?"
        rows = self._rows(query, pass_id) if row is None else self._rows(f"{query} AND row=?", pass_id, row)
        for at, col, cols, blob in rows:
            if len(blob) != cols * dtype.itemsize:
                continue
            records = np.frombuffer(blob, dtype=dtype)
            bad = damaged(records)
            if bad.any():
                records = records.copy()
                records[bad] = np.zeros(1, dtype=dtype)
            yield at, col, records

    def cell(self, pass_id: int, row: int, col: int, dtype: np.dtype[Any]) -> Records | None:
        """The record (1,) of a cell in a pass; None where nothing sound is remembered."""
        for _, first, records in self.strips(pass_id, dtype, row):
            if first <= col < first + len(records):
                found = records[col - first : col - first + 1]
                return found if found["format"][0] else None
        return None

    def _rows(self, query: str, *values: Any) -> Iterator[Any]:
        try:
            yield from self._memory.execute(query, values)
        except sqlite3.Error as error:
            raise as_store_error(error, self._path) from error


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"{path.parent}: no store here ({path.name} is missing)")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise as_store_error(error, path) from error
    if version != STORE_VERSION:
        db.close()
        raise StoreError(f"{path}: a store of version {version}, this software reads {STORE_VERSION}")
    return db
