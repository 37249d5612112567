"""What the ground has ordered: the contact plan, and queries of operators that are in force. Tables of the state.

A query makes products go first by their `priority` in the queue (0: nobody asked; see `queue`): those that wait already
when it is taken, those of later acquisitions when they are chosen (`downlink.asked`). A planner reads the same column.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from onboard.downlink.link.orders import Order, PassWindow, Plan, Query, tag_of
from onboard.sense.grid import Grid
from onboard.store.database import transaction

SCHEMA = """
CREATE TABLE pass_window (
  start INTEGER PRIMARY KEY, seconds INTEGER NOT NULL, size INTEGER NOT NULL, rate INTEGER NOT NULL);
CREATE TABLE query (
  tag TEXT PRIMARY KEY, issued INTEGER NOT NULL, expires INTEGER NOT NULL, priority INTEGER NOT NULL,
  lossless INTEGER NOT NULL, bands TEXT NOT NULL, ring TEXT NOT NULL);
"""

MAX_QUERIES = 64
"""In force; of more, the ones issued first are forgotten."""
PLAN_ISSUED = "plan_issued"
_SET = "INSERT INTO link VALUES (?,?) ON CONFLICT DO UPDATE SET value = excluded.value"

Touches = Callable[[Grid, Query, int, int], bool]
"""Whether a query touches the cell (row, column) of a grid."""


class Orders:
    """The orders' tables in the state database."""

    def __init__(self, db: sqlite3.Connection, where: Path) -> None:
        self._db, self._where = db, where

    def take(self, order: Order, counters: Mapping[str, int], now: float, touches: Touches) -> int:
        """Store an order with all its effects, and the counters that keep it from being taken twice, at once.

        A plan that is older than the one in force, and a query that is known or has expired, change nothing but those.

        Args:
            now: seconds since 1970-01-01 UTC.

        Returns:
            how many waiting products jumped the queue.
        """
        with transaction(self._db, self._where):
            jumped = self._take_plan(order) if isinstance(order, Plan) else self._take_query(order, now, touches)
            self._db.executemany(_SET, counters.items())
        return jumped

    def windows(self) -> list[PassWindow]:
        """The contact plan in force, by time."""
        rows = self._db.execute("SELECT start, seconds, size, rate FROM pass_window ORDER BY start")
        return [PassWindow(*row) for row in rows]

    def queries(self, now: float) -> list[Query]:
        """Those in force, the most urgent first."""
        rows = self._db.execute(
            "SELECT issued, expires, priority, lossless, bands, ring FROM query WHERE expires > ?"
            " ORDER BY priority DESC, issued, tag",
            (now,),
        )
        return [
            Query(r[0], r[1], r[2], bool(r[3]), tuple(json.loads(r[4])), tuple((x, y) for x, y in json.loads(r[5])))
            for r in rows
        ]

    def _take_plan(self, plan: Plan) -> int:
        row = self._db.execute("SELECT value FROM link WHERE name=?", (PLAN_ISSUED,)).fetchone()
        if row is None or plan.issued > row[0]:
            self._db.execute("DELETE FROM pass_window")
            self._db.executemany(
                "INSERT INTO pass_window VALUES (?,?,?,?)", ((w.start, w.seconds, w.size, w.rate) for w in plan.windows)
            )
            self._db.execute(_SET, (PLAN_ISSUED, plan.issued))
        return 0

    def _take_query(self, query: Query, now: float, touches: Touches) -> int:
        self._db.execute("DELETE FROM query WHERE expires <= ?", (now,))
        tag = tag_of(query).hex()
        if query.expires <= now or self._db.execute("SELECT 1 FROM query WHERE tag=?", (tag,)).fetchone():
            return 0
        self._db.execute(
            "INSERT INTO query VALUES (?,?,?,?,?,?,?)",
            (
                tag,
                query.issued,
                query.expires,
                query.priority,
                query.lossless,
                json.dumps(query.bands),
                json.dumps(query.ring),
            ),
        )
        self._db.execute(
            "DELETE FROM query WHERE tag NOT IN (SELECT tag FROM query ORDER BY issued DESC, tag LIMIT ?)",
            (MAX_QUERIES,),
        )
        rows = self._db.execute(
            "SELECT queue.id, queue.row, queue.col, crs, transform, width, height FROM queue"
            " JOIN acquisition ON acquisition.id = queue.acquisition JOIN grid ON grid.id = acquisition.grid"
            " WHERE NOT delivered AND priority < ?",
            (query.priority,),
        ).fetchall()
        grids: dict[tuple[str, ...], Grid] = {}
        jumping = []
        for identity, row, col, *place in rows:
            grid = grids.setdefault(tuple(map(str, place)), Grid(place[0], tuple(json.loads(place[1])), *place[2:]))
            if touches(grid, query, row, col):
                jumping.append((query.priority, identity))
        self._db.executemany("UPDATE queue SET priority=? WHERE id=?", jumping)
        return len(jumping)
