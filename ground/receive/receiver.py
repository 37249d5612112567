"""The ground's side of the link: packets in, products into the archive, reports out. No socket, no clock.

    unknown --segment--> open --last missing segment--> checked --archive on the disk--> acknowledged

Bytes that do not match the name they came under are forgotten, counted, and asked for again. A prompt is answered from
the archive and the inbox alone, so that nothing has to be remembered about reports that got lost.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from ground.receive.inbox import Inbox
from onboard.downlink.link import seal
from onboard.downlink.link.bounds import MAX_BODY_BYTES, PacketError
from onboard.downlink.link.orders import Order
from onboard.downlink.link.wire import (
    EVERYTHING,
    REPORT_BYTES,
    SHA_BYTES,
    Prompt,
    Ranges,
    Receipt,
    Report,
    Segment,
    Transfer,
    nak_bytes,
    unpack_down,
)

REPORT_S = 0.25
"""Seconds between reports that nobody asked for."""
MAX_WAITING = 4096
"""Transfers that a report is due on, and archived ones known by heart; of more, a later prompt reminds."""
MAX_RANGES = 120
"""Of one NAK; the rest is asked for in the next report."""
ORDER_S = 0.5
"""Between two times that an order goes up."""
CONTACT_S = 3.0
"""Silence after which nobody is there to take an order."""
MAX_ORDERS = 8
"""That go up at a time."""
MAX_REPORTS = 8
"""Packets of one report."""


class ProductArchive(Protocol):
    """What the receiver needs of an archive; `put` returns once the product is on the disk."""

    def find(self, tag: bytes, size: int) -> str | None:
        """SHA-256 of an archived product, or None."""

    def put(self, sha256: str, data: bytes) -> str:
        """Archive a product; what became of it: "refused" means that it is not kept."""


class OrderBook(Protocol):
    """What the receiver needs of an outbox; times are seconds since 1970-01-01 UTC."""

    def waiting(self, now: int) -> list[Order]:
        """Orders without a receipt, oldest first."""

    def received(self, tags: Iterable[bytes], now: int) -> int:
        """Orders of which the receipt has come; how many of them were waiting."""


class Receiver:
    """The receiving side.

    Args:
        inbox: unfinished products.
        archive: finished ones.
        key: shared with the spacecraft; without one nothing is reported.
        orders: that go up while there is contact, until their receipt has come.
        utc: seconds since 1970-01-01 UTC.

    Attributes:
        counts: packets and products by what became of them.
    """

    def __init__(
        self,
        inbox: Inbox,
        archive: ProductArchive,
        key: bytes | None,
        orders: OrderBook | None = None,
        utc: Callable[[], int] = lambda: 0,
    ) -> None:
        self._inbox, self._archive, self._key, self._orders, self._utc = inbox, archive, key, orders, utc
        self._heard, self._contact_until, self._next_order, self._first_order = False, -1.0, 0.0, 0
        self._last_seen = 0
        self._archived: OrderedDict[Transfer, bytes] = OrderedDict()
        self._acks: OrderedDict[bytes, None] = OrderedDict()
        self._naks: OrderedDict[Transfer, None] = OrderedDict()
        self._asked = False
        self._next_report = 0.0
        self.counts: Counter[str] = Counter()
        for transfer in inbox.transfers():  # a crash between the last segment and the archive
            self._finish(transfer)

    def feed(self, packet: bytes) -> bool:
        """Take a packet that came down.

        Returns:
            whether it was one of this link, undamaged.

        Raises:
            DiskFullError, StoreError: the archive or the inbox cannot be written; nothing is acknowledged by then.
        """
        try:
            message = unpack_down(packet)
        except PacketError as error:
            self.counts[error.kind] += 1
            return False
        self._last_seen, self._heard = message.count, True
        if isinstance(message, Prompt):
            self._prompted(message)
        elif isinstance(message, Receipt):
            self._receipt(message)
        else:
            self._segment(message)
        return True

    def poll(self, now: float) -> list[bytes]:
        """The reports and orders that are due, as packets.

        Args:
            now: seconds, of any clock that only goes forward.
        """
        return [*self._report_packets(now), *self._order_packets(now)]

    def _report_packets(self, now: float) -> list[bytes]:
        if not (self._asked or now >= self._next_report) or not (self._acks or self._naks):
            return []
        self._asked, self._next_report = False, now + REPORT_S
        self._inbox.flush()
        if self._key is None:
            self._acks.clear()
            self._naks.clear()
            return []
        return [seal.seal(self._key, report) for report in self._reports()]

    def _order_packets(self, now: float) -> list[bytes]:
        if self._heard:
            self._heard, self._contact_until = False, now + CONTACT_S
        if self._key is None or self._orders is None or now < self._next_order or now > self._contact_until:
            return []
        self._next_order = now + ORDER_S
        waiting = self._orders.waiting(self._utc())
        start = self._first_order % len(waiting) if len(waiting) > MAX_ORDERS else 0
        self._first_order = start + MAX_ORDERS
        chosen = (waiting[start:] + waiting[:start])[:MAX_ORDERS]
        self.counts["orders"] += len(chosen)
        return [seal.seal_order(self._key, order, self._inbox.next_counter()) for order in chosen]

    def _receipt(self, receipt: Receipt) -> None:
        if self._key is None or self._orders is None or not seal.is_genuine(self._key, receipt):
            self.counts["forged"] += 1
            return
        self.counts["receipts"] += self._orders.received(receipt.tags, self._utc())

    def _segment(self, segment: Segment) -> None:
        self.counts["segments"] += 1
        transfer = segment.transfer
        if self._inbox.held(transfer) is None and self._is_archived(transfer):
            self.counts["repeated"] += 1
            self._due(self._acks, self._archived[transfer])
            return
        if not self._inbox.add(segment):
            self.counts["repeated"] += 1
        if not self._finish(transfer):
            held = self._inbox.held(transfer)
            if held and len(held) <= segment.index:  # something before it is missing
                self._due(self._naks, transfer)

    def _prompted(self, prompt: Prompt) -> None:
        self.counts["prompts"] += 1
        self._asked = True
        for transfer in prompt.transfers:
            if self._is_archived(transfer):
                self._due(self._acks, self._archived[transfer])
            else:
                self._due(self._naks, transfer)

    def _finish(self, transfer: Transfer) -> bool:
        """Archive a product once all its segments are here."""
        held = self._inbox.held(transfer)
        if held is None or len(held) < transfer.segments:
            return False
        data = self._inbox.whole(transfer)
        sha = hashlib.sha256(data).digest()
        if sha[: len(transfer.tag)] != transfer.tag:
            self.counts["mismatched"] += 1
            self._inbox.forget(transfer)
            self._due(self._naks, transfer)
            return True
        outcome = self._archive.put(sha.hex(), data)
        self.counts[outcome] += 1
        self._inbox.forget(transfer)  # after the archive: a crash in between archives it twice, which is once
        self._naks.pop(transfer, None)
        if outcome != "refused":
            self._remember(transfer, sha)
            self._due(self._acks, sha)
        return True

    def _is_archived(self, transfer: Transfer) -> bool:
        if transfer not in self._archived:
            found = self._archive.find(*transfer)
            if found is None:
                return False
            self._remember(transfer, bytes.fromhex(found))
        return True

    def _remember(self, transfer: Transfer, sha: bytes) -> None:
        self._archived[transfer] = sha
        if len(self._archived) > MAX_WAITING:
            self._archived.popitem(last=False)

    @staticmethod
    def _due(what: OrderedDict, item: bytes | Transfer) -> None:  # type: ignore[type-arg]
        if len(what) < MAX_WAITING:
            what[item] = None

    def _reports(self) -> list[Report]:
        """As many as are due, each within `MAX_BODY_BYTES`; what is left waits for the next call."""
        reports: list[Report] = []
        while (self._acks or self._naks) and len(reports) < MAX_REPORTS:
            room = MAX_BODY_BYTES - REPORT_BYTES
            acks: list[bytes] = []
            naks: list[tuple[Transfer, Ranges]] = []
            while self._acks and room >= SHA_BYTES:
                acks.append(self._acks.popitem(last=False)[0])
                room -= SHA_BYTES
            while self._naks and room >= nak_bytes(1) and len(naks) < 255:
                transfer = self._naks.popitem(last=False)[0]
                most = min(MAX_RANGES, (room - nak_bytes(0)) // (nak_bytes(1) - nak_bytes(0)))
                ranges = missing(self._inbox.held(transfer), transfer, most)
                if ranges:
                    naks.append((transfer, ranges))
                    room -= nak_bytes(len(ranges))
            reports.append(Report(self._inbox.next_counter(), self._last_seen, tuple(acks), tuple(naks)))
        return reports


def missing(held: set[int] | None, transfer: Transfer, most: int) -> Ranges:
    """The first `most` ranges (first, last) of segments that are not held; `EVERYTHING` where nothing is."""
    if not held:
        return (EVERYTHING,)
    ranges: list[tuple[int, int]] = []
    expected = 0
    for index in (*sorted(held), transfer.segments):
        if index > expected:
            ranges.append((expected, index - 1))
            if len(ranges) == most:
                break
        expected = index + 1
    return tuple(ranges)
