"""What the spacecraft sends next: best product first, gaps before new segments, prompts. Pure: no I/O, no clock.

    queued --all segments sent--> waiting --NAK--> queued ... --authentic ack--> confirmed
       \\--damaged in the store--> dropped

The pass is over (`finished`) when every transfer is confirmed or dropped, when the bytes of the pass are used and
`linger_s` have gone by, or when `patience` prompts in a row had no answer. Without acknowledgements every segment is
sent once, and that is all.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from onboard.downlink.link.packet import SEQUENCE_MODULO
from onboard.downlink.link.wire import MAX_PROMPTED, SEGMENT_OVERHEAD, Report, Transfer, prompt_bytes


@dataclass(frozen=True)
class LinkSettings:
    """How long the sender waits.

    Attributes:
        prompt_s: between two prompts, seconds; more than the way down and up.
        patience: prompts in a row without an answer before the pass is given up.
        linger_s: seconds that reports are awaited once the bytes of the pass are used.
        hail_s: seconds that a pass lasts at least where orders can come up, though nothing waits to go down.
        beacon_s: between two packets in that time, so that the ground knows where to answer.
    """

    prompt_s: float = 1.0
    patience: int = 10
    linger_s: float = 3.0
    hail_s: float = 1.0
    beacon_s: float = 0.3


@dataclass(frozen=True)
class SendSegment:
    """Send one segment under this number (its sequence count is the remainder by 16384)."""

    number: int
    place: int
    index: int


@dataclass(frozen=True)
class SendPrompt:
    """Ask how these transfers stand."""

    number: int
    transfers: tuple[Transfer, ...]


@dataclass
class _Progress:
    transfer: Transfer
    sha256: bytes
    sent: int
    over: bool = False
    at_work: bool = False
    resend: list[int] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)
    """Number of the packet in which a segment left last; of earlier passes nothing is known."""


class Sender:
    """The sending side of one pass.

    Args:
        transfers: (SHA-256, size in bytes, segments sent in earlier passes), best first, each product once.
        number: of the first packet.
        budget_bytes: of all packets of the pass together.
        acknowledged: whether reports can be understood (a key is at hand).
        now: seconds, of any clock that only goes forward.
    """

    def __init__(
        self,
        transfers: Sequence[tuple[bytes, int, int]],
        number: int,
        budget_bytes: int,
        acknowledged: bool,
        now: float,
        settings: LinkSettings | None = None,
    ) -> None:
        self._settings = settings or LinkSettings()
        self._all = [
            _Progress(Transfer(sha[:8], size), sha, min(sent, Transfer(sha[:8], size).segments))
            for sha, size, sent in transfers
        ]
        self._place = {one.transfer: place for place, one in enumerate(self._all)}
        self._by_sha = {one.sha256: place for place, one in enumerate(self._all)}
        self._work: list[int] = []
        for place, one in enumerate(self._all):
            if one.sent < one.transfer.segments:
                self._to_work(place)
        self._open = len(self._all)
        self.number = number
        self.spent_bytes = 0
        self._left_bytes = budget_bytes
        self._acknowledged = acknowledged
        self._unanswered = 0
        self._exhausted: float | None = None
        self._next_prompt = now if any(one.sent for one in self._all) else now + self._settings.prompt_s
        self._prompt_from = 0
        self._idle_prompt = False

    def next(self, now: float) -> SendSegment | SendPrompt | None:
        """The next packet, counted as sent; None when there is nothing to send now."""
        if self._acknowledged and now >= self._next_prompt:
            prompt = self._prompt(now)
            if prompt is not None:
                return prompt
        while self._work:
            place = self._work[0]
            one = self._all[place]
            if one.over or not (one.resend or one.sent < one.transfer.segments):
                heapq.heappop(self._work)
                one.at_work = False
                continue
            index = one.resend[0] if one.resend else one.sent
            if not self._spend(SEGMENT_OVERHEAD + one.transfer.length(index), now):
                return None
            if one.resend:
                heapq.heappop(one.resend)
            else:
                one.sent += 1
            one.left[index] = self.number
            self._idle_prompt = False
            return SendSegment(self._count(), place, index)
        if self._acknowledged and not self._idle_prompt:
            self._idle_prompt = True  # the last segment has just left: ask at once, then every `prompt_s`
            return self._prompt(now)
        return None

    def hear(self, report: Report) -> list[bytes]:
        """Take an authentic report.

        Returns:
            SHA-256 of the transfers that it confirms.
        """
        self._unanswered = 0
        confirmed = []
        for sha in report.acks:
            place = self._by_sha.get(sha, -1)
            if place >= 0 and not self._all[place].over:
                self._close(place)
                confirmed.append(sha)
        # the newest packet that the ground has seen: nothing later can be called missing
        seen = self.number - 1 - (self.number - 1 - report.last_seen) % SEQUENCE_MODULO
        for transfer, ranges in report.naks:
            place = self._place.get(transfer, -1)
            if place >= 0 and not self._all[place].over:
                self._missing(place, ranges, seen)
        return confirmed

    def other(self, size: int, now: float) -> int | None:
        """Number of a packet of another kind, counted as sent; None when the bytes of the pass do not hold it."""
        return self._count() if self._spend(size, now) else None

    @property
    def left_bytes(self) -> int:
        """Of the pass."""
        return self._left_bytes

    def drop(self, place: int) -> None:
        """Give a transfer up: its product cannot be read."""
        self._close(place)

    def sent(self, place: int) -> int:
        """Segments of a transfer that have left at least once, in this pass or before."""
        return self._all[place].sent

    @property
    def all_sent(self) -> int:
        """Transfers of which every segment has left at least once."""
        return sum(one.sent == one.transfer.segments for one in self._all)

    def transfer(self, place: int) -> Transfer:
        """The transfer at a place of the list."""
        return self._all[place].transfer

    def finished(self, now: float) -> bool:
        """Whether the pass is over."""
        if not self._open:
            return True
        if not self._acknowledged:
            return self._exhausted is not None or not self._work
        if self._exhausted is not None:
            return now - self._exhausted >= self._settings.linger_s
        return not self._work and self._unanswered >= self._settings.patience and now >= self._next_prompt

    def _missing(self, place: int, ranges: Sequence[tuple[int, int]], seen: int) -> None:
        one = self._all[place]
        again = set(one.resend)
        for first, last in ranges:
            again.update(i for i in range(first, min(last + 1, one.sent)) if one.left.get(i, -1) <= seen)
        if again:
            one.resend = sorted(again)  # sorted is a heap
            self._to_work(place)

    def _to_work(self, place: int) -> None:
        if not self._all[place].at_work:
            self._all[place].at_work = True
            heapq.heappush(self._work, place)

    def _prompt(self, now: float) -> SendPrompt | None:
        """Ask for what has been sent and is not confirmed, a different part of it each time."""
        self._next_prompt = now + self._settings.prompt_s
        waiting = [one.transfer for one in self._all if not one.over and one.sent and not one.resend]
        if not waiting:
            return None
        start = self._prompt_from % len(waiting) if len(waiting) > MAX_PROMPTED else 0
        asked = tuple((waiting[start:] + waiting[:start])[:MAX_PROMPTED])
        if not self._spend(prompt_bytes(len(asked)), now):
            return None
        self._prompt_from = start + len(asked)
        self._unanswered += 1
        return SendPrompt(self._count(), asked)

    def _close(self, place: int) -> None:
        one = self._all[place]
        self._open -= not one.over
        one.over, one.resend, one.left = True, [], {}

    def _spend(self, size: int, now: float) -> bool:
        if size > self._left_bytes:
            self._exhausted = now if self._exhausted is None else self._exhausted
            return False
        self._left_bytes -= size
        self.spent_bytes += size
        return True

    def _count(self) -> int:
        self.number += 1
        return self.number - 1
