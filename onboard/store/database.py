"""Opening a database of this software's version, and transactions that fail as typed errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onboard.errors import DiskFullError, OnboardError, StoreError

STORE_VERSION = 4
BUSY_TIMEOUT_S = 5.0
PAGE_BYTES = 32_768
"""Strips and products are 5 to 170 kB: pages of 4 kB would chain dozens of them."""
CACHE_KIB = 1024
"""Of each connection. The access pattern is sequential: a larger page cache buys nothing."""
READ_CACHE_KIB = 256
"""Of one that only reads strips."""


class OtherVersionError(StoreError):
    """The database was written by software of another store version; it is left untouched."""


def open_database(path: Path, schema: str, synchronous: str) -> sqlite3.Connection:
    """Open or create a database.

    Args:
        path: its file.
        schema: SQL that creates its tables.
        synchronous: SQLite's setting: FULL where a commit must survive power loss, NORMAL where it may be lost.

    Raises:
        OtherVersionError: of another store version.
        StoreError: damaged or unreadable.
        DiskFullError: no space left.
    """
    try:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")  # of a new database; an old one keeps its own
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            db.executescript(f"BEGIN; {schema} PRAGMA user_version={STORE_VERSION}; COMMIT;")
        elif version != STORE_VERSION:
            db.close()
            raise OtherVersionError(
                f"{path}: a store of version {version}, this software reads {STORE_VERSION}; use another --store"
            )
    except sqlite3.Error as error:
        raise as_store_error(error, path) from error
    return db


def open_to_read(path: Path) -> sqlite3.Connection:
    """Another connection to a database that is open already; it cannot write.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA query_only=1")
        db.execute(f"PRAGMA cache_size=-{READ_CACHE_KIB}")
    except sqlite3.Error as error:
        raise as_store_error(error, path) from error
    return db


def live_bytes(db: sqlite3.Connection) -> int:
    """What a database holds; pages that were freed are used again before its file grows."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * size)


@contextmanager
def transaction(db: sqlite3.Connection, where: Path) -> Iterator[None]:
    """All or nothing. SQLite's faults come out as StoreError or DiskFullError, with everything rolled back."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise as_store_error(error, where) from error
        raise


def as_store_error(error: sqlite3.Error, where: Path) -> OnboardError:
    """The typed form of a SQLite fault."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
        return DiskFullError(f"{where}: no space left; what was committed before is kept")
    return StoreError(f"{where}: damaged or unreadable ({error})")
