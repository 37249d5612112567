"""The ground's end over UDP: packets to the receiver, reports back to where the last good packet came from."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from time import monotonic

from ground.receive.receiver import Receiver
from onboard.downlink.link.address import resolve
from onboard.downlink.link.packet import MAX_PACKET_BYTES
from onboard.errors import UsageError

IDLE_S = 0.05
REST_S = 1.0
"""Silence after which there is time for other things."""
BUFFER_BYTES = 4_000_000
"""Asked of the kernel: a burst that arrives while a product is brought onto the disk."""
MAX_READ = 256
"""Packets taken before reports are looked at."""


def listen(text: str) -> socket.socket:
    """A UDP socket bound to `HOST:PORT`.

    Raises:
        UsageError: the address cannot be used.
    """
    family, address = resolve(text, "--listen")
    one = socket.socket(family, socket.SOCK_DGRAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        one.setblocking(False)
        one.bind(address)
    except OSError as error:
        one.close()
        raise UsageError(f"--listen {text}: {error.strerror}") from error
    return one


def serve(
    one: socket.socket,
    receiver: Receiver,
    stop: Callable[[], bool],
    idle_s: float = 0.0,
    rest: Callable[[], None] = lambda: None,
) -> None:
    """Receive until `stop` says so, or nothing has come for `idle_s` seconds (0: wait for ever).

    Args:
        rest: called now and then while nothing comes.

    Raises:
        DiskFullError, StoreError: the archive cannot be written; what came is asked for again.
    """
    peer, heard = None, monotonic()
    while not stop() and not (idle_s and monotonic() - heard > idle_s):
        if select.select([one], [], [], IDLE_S)[0]:
            for _ in range(MAX_READ):
                try:
                    packet, source = one.recvfrom(MAX_PACKET_BYTES + 1)
                except BlockingIOError:
                    break
                except OSError:  # a report that found nobody comes back as a fault of this socket
                    receiver.counts["unreachable"] += 1
                    break
                heard = monotonic()
                if receiver.feed(packet):
                    peer = source
        elif monotonic() - heard > REST_S:
            rest()
        for report in receiver.poll(monotonic()):
            try:
                if peer is not None:
                    one.sendto(report, peer)
            except OSError:  # lost, as packets are: a prompt will ask again
                receiver.counts["not-sent"] += 1
