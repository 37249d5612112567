"""One pass: the store, the sender and the wire put together. No socket, no clock; bad packets are refused and counted.

Whoever owns the link calls `transmit` whenever the link is free, `receive` with what comes up, and `close` at the end.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from datetime import UTC, datetime

from onboard.downlink.asked import touches_cell
from onboard.downlink.ladder import WORTH
from onboard.downlink.link import seal
from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.orders import tag_of
from onboard.downlink.link.sender import LinkSettings, Sender, SendPrompt
from onboard.downlink.link.wire import (
    MAX_PRODUCT_BYTES,
    MAX_RECEIPTS,
    SEGMENT_BYTES,
    Report,
    pack_prompt,
    pack_segment,
    prompt_bytes,
    receipt_bytes,
)
from onboard.downlink.plan import Offer, PlanSettings, plan
from onboard.store import Store
from onboard.store.rows import QueueRow

COMMIT_PACKETS = 256
"""Packets between two commits of the progress; after a crash so many may be sent again."""
NUMBER_BLOCK = 1024
"""Packet numbers reserved by one commit, so that none is used twice after a crash."""
CACHE_BYTES = 8_000_000
"""Products at hand while they are sent; gaps of older ones are read again."""


class Session:
    """The spacecraft's side of one pass.

    Args:
        store: open; its queue is what goes down.
        budget_bytes: of all packets of the pass together.
        key: shared with the ground; without one nothing that comes up is taken.
        now: seconds, of any clock that only goes forward.
        settings: how long the sender waits.
        planning: how the planner weighs.
        utc: the same instant in seconds since 1970-01-01 UTC; a query that has expired by then is not taken.

    Attributes:
        faults: refused packets and unreadable products, by kind.
        orders: how many orders came up, also again.
        due: products that this pass tries to bring down.
        delivered: how many of them the ground has confirmed.
    """

    def __init__(
        self,
        store: Store,
        budget_bytes: int,
        key: bytes | None,
        now: float,
        settings: LinkSettings | None = None,
        planning: PlanSettings | None = None,
        utc: float = 0.0,
    ) -> None:
        self._queue, self._transfers, self._key = store.queue, store.state.transfers, key
        self._orders, self._utc = store.state.orders, utc - now
        self._settings, self._planning = settings or LinkSettings(), planning or PlanSettings()
        self._window = seal.Window(self._transfers.counter("highest", -1), self._transfers.counter("taken", 0))
        self._reserved = self._transfers.counter("number", 0)
        self._uncommitted = 0
        self._dirty: set[int] = set()
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._receipts: OrderedDict[bytes, None] = OrderedDict()
        self._hail_until, self._next_beacon = now + self._settings.hail_s, now
        self.faults: Counter[str] = Counter()
        self.delivered = self.orders = self._spent_before = self._closed_before = 0
        self._plan(self._reserved, budget_bytes, now)

    def _plan(self, number: int, budget_bytes: int, now: float) -> None:
        """Choose what goes down, from the queue as it is now."""
        sent = self._transfers.sent()
        self._items = choose(self._queue.items(), sent, budget_bytes, self._planning)
        self._sender = Sender(
            [(bytes.fromhex(item.sha256), item.size, sent.get(item.sha256, 0)) for item in self._items],
            number, budget_bytes, self._key is not None, now, self._settings,
        )  # fmt: skip
        self._cache.clear()
        self._cached_bytes = 0
        self.due = self._closed_before + len(self._items)

    @property
    def spent_bytes(self) -> int:
        """What the packets of this pass took so far."""
        return self._spent_before + self._sender.spent_bytes

    @property
    def sent(self) -> int:
        """Products of this pass of which every segment has left at least once."""
        return self._closed_before + self._sender.all_sent

    @property
    def packets(self) -> int:
        """How many packets ever left with this store."""
        return self._sender.number

    def transmit(self, now: float) -> bytes | None:
        """The next packet to send, or None when there is nothing to send now."""
        if self._uncommitted >= COMMIT_PACKETS or self._sender.number >= self._reserved:
            self._reserved = self._sender.number + NUMBER_BLOCK
            self._commit(self._reserved)
        if self._receipts and (packet := self._receipt(now)) is not None:
            return packet
        packet = self._product(now)
        if packet is not None:
            self._next_beacon = now + self._settings.beacon_s
        elif self._key is not None and self._next_beacon <= now < self._hail_until:
            self._next_beacon = now + self._settings.beacon_s
            number = self._sender.other(prompt_bytes(0), now)
            packet = None if number is None else pack_prompt(number, ())
        return packet

    def _product(self, now: float) -> bytes | None:
        """The next packet of the sender."""
        while (action := self._sender.next(now)) is not None:
            self._uncommitted += 1
            if isinstance(action, SendPrompt):
                return pack_prompt(action.number, action.transfers)
            payload = self._payload(action.place)
            if payload is None:
                self.faults["damaged-product"] += 1
                self._sender.drop(action.place)
                continue
            self._dirty.add(action.place)
            start = action.index * SEGMENT_BYTES
            data = payload[start : start + SEGMENT_BYTES]
            return pack_segment(action.number, self._sender.transfer(action.place), action.index, data)
        return None

    def receive(self, packet: bytes, now: float) -> None:
        """Take what came up. A packet that is not authentic and new is counted and changes nothing."""
        if self._key is None:
            self.faults["no-key"] += 1
            return
        try:
            message, window = seal.unseal(self._key, packet, self._window)
        except PacketError as error:
            self.faults[error.kind] += 1
            return
        counters = {"highest": window.highest, "taken": window.taken}
        if not isinstance(message, Report):
            jumped = self._orders.take(message, counters, self._utc + now, touches_cell())
            self._window = window
            self._ordered(tag_of(message), jumped, now)
            return
        # all acknowledgements count, also of products that this pass does not send; the window moves with them
        self._transfers.confirm([ack.hex() for ack in message.acks], counters)
        self._window = window
        self.delivered += len(self._sender.hear(message))

    def finished(self, now: float) -> bool:
        """Whether the pass is over."""
        if not self._sender.finished(now):
            return False
        if self._receipts and self._sender.left_bytes >= receipt_bytes(1):
            return False
        return self._key is None or now >= self._hail_until or self._sender.left_bytes < prompt_bytes(0)

    def close(self) -> None:
        """Store how far it came; the next pass goes on from there."""
        self._commit(self._sender.number)

    def _ordered(self, tag: bytes, jumped: int, now: float) -> None:
        """An order is stored: say so, and begin with what it lets go first."""
        self.orders += 1
        self._receipts[tag] = None
        while len(self._receipts) > MAX_RECEIPTS:
            self._receipts.popitem(last=False)
        if jumped:
            self._commit(self._sender.number)
            self._reserved = self._sender.number
            self._spent_before += self._sender.spent_bytes
            self._closed_before = self.delivered
            self._plan(self._sender.number, self._sender.left_bytes, now)

    def _receipt(self, now: float) -> bytes | None:
        tags = list(self._receipts)
        number = self._sender.other(receipt_bytes(len(tags)), now)
        self._receipts.clear()  # lost ones are asked for again, with the order itself
        return None if number is None or self._key is None else seal.seal_receipt(self._key, number, tags)

    def _commit(self, number: int) -> None:
        sent = {self._items[place].sha256: self._sender.sent(place) for place in self._dirty}
        self._transfers.progress(sent, {"number": number})
        self._dirty.clear()
        self._uncommitted = 0

    def _payload(self, place: int) -> bytes | None:
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        payload = self._queue.payload(self._items[place].id)
        if payload is not None:
            self._cache[place] = payload
            self._cached_bytes += len(payload)
            while len(self._cache) > 1 and self._cached_bytes > CACHE_BYTES:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return payload


def choose(items: list[QueueRow], sent: dict[str, int], budget_bytes: int, settings: PlanSettings) -> list[QueueRow]:
    """The coded products that the planner sends in this pass, first to be sent first.

    Args:
        items: the queue, best first.
        sent: segments that left in earlier passes, by SHA-256; only the rest of a product counts.
    """
    ready: dict[str, QueueRow] = {}
    for item in items:
        if item.coded and 0 < item.size <= MAX_PRODUCT_BYTES:
            ready.setdefault(item.sha256, item)
    offers = [
        Offer(
            key=sha, worth=item.value * WORTH[item.rung],
            left=max(1, item.size - sent.get(sha, 0) * SEGMENT_BYTES), scene=item.acquisition, time=_utc(item),
            priority=item.priority,
        )
        for sha, item in ready.items()
    ]  # fmt: skip
    return [ready[key] for key in plan(offers, budget_bytes, settings).order]


def _utc(item: QueueRow) -> datetime:
    time = item.sensing_time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
