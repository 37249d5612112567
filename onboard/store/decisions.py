"""What the governor did with each strip: a table of the state, absent in stores of before it and added when opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from onboard.governor import Decision, Step
from onboard.store.database import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS decision (
  acquisition INTEGER NOT NULL, strip INTEGER NOT NULL, row INTEGER NOT NULL, rows INTEGER NOT NULL,
  level INTEGER NOT NULL, looked INTEGER NOT NULL, seconds REAL NOT NULL, deadline_s REAL NOT NULL,
  PRIMARY KEY (acquisition, strip, row)) WITHOUT ROWID;
"""


def add(db: sqlite3.Connection, where: Path) -> None:
    """Make the table where it is missing; software of before does not look at it."""
    with transaction(db, where):
        db.execute(SCHEMA)


def write(db: sqlite3.Connection, acquisition: int, decided: Iterable[Decision]) -> None:
    """Inside the state's transaction. What is left of a strip that was broken off is decided anew, from its own row."""
    db.executemany(
        "INSERT OR REPLACE INTO decision VALUES (?,?,?,?,?,?,?,?)",
        ((acquisition, d.strip, d.row, d.rows, int(d.level), d.looked, d.seconds, d.deadline_s) for d in decided),
    )


def read(db: sqlite3.Connection, acquisition: int) -> list[Decision]:
    """Of an acquisition, by strip."""
    rows = db.execute(
        "SELECT strip, row, rows, level, looked, seconds, deadline_s FROM decision WHERE acquisition=?"
        " ORDER BY strip, row",
        (acquisition,),
    )
    return [Decision(r[0], r[1], r[2], Step(r[3]), bool(r[4]), r[5], r[6]) for r in rows]
