"""Orders that wait to go up, in one SQLite file of the archive: written by commands, sent by `ground receive`.

An order goes up again and again while there is contact, until the spacecraft's receipt has come; a plan that a later
one replaces goes up no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.orders import Order, Plan, order_body, tag_of, unpack_order
from onboard.errors import StoreError
from onboard.store.database import open_database, transaction

OUTBOX_FILE = "outbox.sqlite"
SCHEMA = """
CREATE TABLE outgoing (
  tag BLOB PRIMARY KEY, body BLOB NOT NULL, made INTEGER NOT NULL, plan INTEGER NOT NULL, received INTEGER);
"""


@dataclass(frozen=True)
class Outgoing:
    """An order and what became of it: `received` is when its receipt came (seconds since 1970), None before."""

    order: Order
    made: int
    received: int | None


class Outbox:
    """The orders of one archive. Use as a context manager; several processes may have it open.

    Raises:
        StoreError, DiskFullError: the database.
    """

    def __init__(self, archive: Path) -> None:
        self._path = archive / OUTBOX_FILE
        try:
            archive.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{archive}: cannot hold an archive ({error.strerror})") from error
        self._db = open_database(self._path, SCHEMA, "FULL")

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()

    def put(self, order: Order, now: int) -> bytes:
        """Let an order go up from now on.

        Returns:
            its tag.

        Raises:
            ValueError: it does not fit a packet, or makes no sense.
        """
        body, tag = order_body(order, 0), tag_of(order)
        with transaction(self._db, self._path):
            if isinstance(order, Plan):
                self._db.execute("DELETE FROM outgoing WHERE plan AND received IS NULL")
            self._db.execute(
                "INSERT OR IGNORE INTO outgoing VALUES (?,?,?,?,NULL)", (tag, body, now, isinstance(order, Plan))
            )
        return tag

    def waiting(self, now: int) -> list[Order]:
        """Orders without a receipt that still make sense, oldest first."""
        found = [one.order for one in self.all() if one.received is None]
        return [order for order in found if isinstance(order, Plan) or order.expires > now]

    def received(self, tags: Iterable[bytes], now: int) -> int:
        """Orders of which the receipt has come.

        Returns:
            how many of them were waiting.
        """
        with transaction(self._db, self._path):
            cursor = self._db.executemany(
                "UPDATE outgoing SET received=? WHERE tag=? AND received IS NULL", [(now, tag) for tag in tags]
            )
        return max(0, cursor.rowcount)

    def all(self) -> list[Outgoing]:
        """Everything that was ever ordered, oldest first; a damaged row is left out."""
        found = []
        for body, made, received in self._db.execute("SELECT body, made, received FROM outgoing ORDER BY made, tag"):
            try:
                found.append(Outgoing(unpack_order(body)[0], made, received))
            except PacketError:
                continue
        return found
