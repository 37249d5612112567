"""Reading the memory database: records of past passes over a chunk, from strips of one row of cells."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import Records, damaged
from onboard.errors import StoreError
from onboard.sense.chunks import Chunk
from onboard.store.database import as_store_error

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


def marks_damage(method: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
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

    @marks_damage
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
