"""One pass: the store, the sender and the wire put together. No socket, no clock; bad packets are refused and counted.

Whoever owns the link calls `transmit` whenever the link is free, `receive` with what comes up, and `close` at the end.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from datetime import UTC, datetime

from onboard.downlink.ladder import WORTH
from onboard.downlink.link import seal
from onboard.downlink.link.packet import PacketError
from onboard.downlink.link.sender import LinkSettings, Sender, SendPrompt
from onboard.downlink.link.wire import MAX_PRODUCT_BYTES, SEGMENT_BYTES, pack_prompt, pack_segment
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

    Attributes:
        faults: refused packets and unreadable products, by kind.
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
    ) -> None:
        self._queue, self._transfers, self._key = store.queue, store.state.transfers, key
        sent = self._transfers.sent()
        self._items = choose(self._queue.items(), sent, budget_bytes, planning or PlanSettings())
        self._window = seal.Window(self._transfers.counter("highest", -1), self._transfers.counter("taken", 0))
        number = self._reserved = self._transfers.counter("number", 0)
        self._sender = Sender(
            [(bytes.fromhex(item.sha256), item.size, sent.get(item.sha256, 0)) for item in self._items],
            number, budget_bytes, key is not None, now, settings,
        )  # fmt: skip
        self._dirty: set[int] = set()
        self._uncommitted = 0
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self.faults: Counter[str] = Counter()
        self.due, self.delivered = len(self._items), 0

    @property
    def spent_bytes(self) -> int:
        """What the packets of this pass took so far."""
        return self._sender.spent_bytes

    @property
    def sent(self) -> int:
        """Products of this pass of which every segment has left at least once."""
        return self._sender.all_sent

    @property
    def packets(self) -> int:
        """How many packets ever left with this store."""
        return self._sender.number

    def transmit(self, now: float) -> bytes | None:
        """The next packet to send, or None when there is nothing to send now."""
        if self._uncommitted >= COMMIT_PACKETS or self._sender.number >= self._reserved:
            self._reserved = self._sender.number + NUMBER_BLOCK
            self._commit(self._reserved)
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
        """Take what came up. A packet that is not an authentic, new report is counted and changes nothing."""
        if self._key is None:
            self.faults["no-key"] += 1
            return
        try:
            report, window = seal.unseal(self._key, packet, self._window)
        except PacketError as error:
            self.faults[error.kind] += 1
            return
        # all acknowledgements count, also of products that this pass does not send; the window moves with them
        self._transfers.confirm([ack.hex() for ack in report.acks], {"highest": window.highest, "taken": window.taken})
        self._window = window
        self.delivered += len(self._sender.hear(report))

    def finished(self, now: float) -> bool:
        """Whether the pass is over."""
        return self._sender.finished(now)

    def close(self) -> None:
        """Store how far it came; the next pass goes on from there."""
        self._commit(self._sender.number)

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
        )
        for sha, item in ready.items()
    ]  # fmt: skip
    return [ready[key] for key in plan(offers, budget_bytes, settings).order]


def _utc(item: QueueRow) -> datetime:
    time = item.sensing_time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
