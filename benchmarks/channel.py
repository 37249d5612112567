"""A link in memory: two directions with loss, duplication, reordering, corruption and delay, in simulated time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from ground.receive.receiver import Receiver
from onboard.downlink.link.session import Session

TICK_S = 0.01
"""How often either side looks again when it has nothing to send."""


@dataclass(frozen=True)
class Faults:
    """What happens to packets, each in either direction, as shares 0..1.

    Attributes:
        reorder: packets that are held back by up to `held_s`.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    held_s: float = 0.3


class Channel:
    """The way between a session and a receiver.

    Args:
        rate: of the way down, bit/s; the way up is not limited.
        delay_s: one way.
    """

    def __init__(self, rng: random.Random, faults: Faults, rate: float = 1e6, delay_s: float = 0.01) -> None:
        self._rng, self._faults, self._rate, self._delay = rng, faults, rate, delay_s
        self.now = 0.0
        self._flying: list[tuple[float, int, bool, bytes]] = []
        self._number = 0
        self.uplink: list[bytes] = []
        """Every packet that was sent up, for those who want to send it again."""

    def run(self, session: Session, receiver: Receiver, cut_bytes: float = float("inf"), most_s: float = 1e5) -> bool:
        """One pass, until the session has finished, or the signal is lost after `cut_bytes`.

        Returns:
            whether the session finished by itself.
        """
        end = self.now + most_s
        while not session.finished(self.now):
            if session.spent_bytes >= cut_bytes or self.now > end:
                self._flying.clear()
                return False
            packet = session.transmit(self.now)
            if packet is not None:
                self._launch(packet, down=True)
            self.now += TICK_S if packet is None else len(packet) * 8 / self._rate
            self._land(session, receiver, self.now)
            for report in receiver.poll(self.now):
                self.uplink.append(report)
                self._launch(report, down=False)
        self._land(session, receiver, float("inf"))
        return True

    def _land(self, session: Session, receiver: Receiver, until: float) -> None:
        while self._flying and self._flying[0][0] <= until:
            _, _, down, arrived = heapq.heappop(self._flying)
            if down:
                receiver.feed(arrived)
            else:
                session.receive(arrived, self.now)

    def _launch(self, packet: bytes, down: bool) -> None:
        rng, faults = self._rng, self._faults
        for _ in range(2 if rng.random() < faults.duplicate else 1):
            if rng.random() < faults.loss:
                continue
            arrived = packet
            if rng.random() < faults.corrupt:
                arrived = corrupted(packet, rng)
            held = rng.random() * faults.held_s if rng.random() < faults.reorder else 0.0
            self._number += 1
            heapq.heappush(self._flying, (self.now + self._delay + held, self._number, down, arrived))


class MemoryArchive:
    """An archive that forgets nothing but a power loss, and remembers who came twice."""

    def __init__(self) -> None:
        self.products: dict[str, bytes] = {}
        self.again = 0

    def find(self, tag: bytes, size: int) -> str | None:
        return next((sha for sha, d in self.products.items() if sha.startswith(tag.hex()) and len(d) == size), None)

    def put(self, sha256: str, data: bytes) -> str:
        if sha256 in self.products:
            self.again += 1
            return "known"
        self.products[sha256] = data
        return "products"


def corrupted(packet: bytes, rng: random.Random) -> bytes:
    """The packet with a few bits flipped, or cut short."""
    if rng.random() < 0.2:
        return packet[: rng.randrange(len(packet))]
    damaged = bytearray(packet)
    for _ in range(rng.randrange(1, 4)):
        bit = rng.randrange(len(damaged) * 8)
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
