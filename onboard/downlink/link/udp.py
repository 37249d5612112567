"""The spacecraft's end over UDP: one pass, no faster than the link. The only socket on board, and its clock."""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from onboard.downlink.link.address import resolve
from onboard.downlink.link.packet import MAX_PACKET_BYTES
from onboard.errors import UsageError

IDLE_S = 0.05
"""How long it sleeps at most: timers and signals are looked at so often."""
BURST_S = 0.005
"""What the link may be behind by after a sleep that took too long, and catches up with."""
MAX_READ = 64
"""Packets from below that are taken before the next one is sent."""


class Talker(Protocol):
    """What the link carries: a `Session`, or a `CfdpSession`; all times are seconds of one clock."""

    faults: Counter[str]

    def transmit(self, now: float) -> bytes | None:
        """The next packet to send, or None when there is nothing to send now."""

    def receive(self, packet: bytes, now: float) -> None:
        """Take what came up."""

    def finished(self, now: float) -> bool:
        """Whether the pass is over."""


class UdpLink:
    """A connected UDP socket: the kernel drops what comes from elsewhere.

    Args:
        to: `HOST:PORT` of the ground.
        rate: bit/s of Space Packets (the headers of UDP and IP are not part of the link).

    Raises:
        UsageError: no such address.
    """

    def __init__(self, to: str, rate: float) -> None:
        family, address = resolve(to, "--to")
        self._rate = rate
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise UsageError(f"--to {to}: {error.strerror}") from error

    def __enter__(self) -> UdpLink:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def run(self, session: Talker, seconds: float, stop: Callable[[], bool]) -> bool:
        """Send and listen until the session has finished, `seconds` are over, or `stop` says so.

        Returns:
            whether the session finished by itself.
        """
        start = free = now = monotonic()
        while not session.finished(now):
            if now - start > seconds or stop():
                return False
            packet = session.transmit(now) if now >= free else None
            if packet is not None:
                self._send(session, packet)
                free = max(free, now - BURST_S) + len(packet) * 8 / self._rate
            wait = IDLE_S if now >= free and packet is None else min(IDLE_S, max(0.0, free - monotonic()))
            if select.select([self._socket], [], [], wait)[0]:
                self._read(session)
            now = monotonic()
        return True

    def _send(self, session: Talker, packet: bytes) -> None:
        try:
            self._socket.send(packet)
        except OSError:  # nobody listens, no route, no buffer: the packet is lost, as packets are
            session.faults["not-sent"] += 1

    def _read(self, session: Talker) -> None:
        for _ in range(MAX_READ):
            try:
                packet = self._socket.recv(MAX_PACKET_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:  # the other side's "port unreachable" comes back here
                session.faults["unreachable"] += 1
                return
            session.receive(packet, monotonic())
