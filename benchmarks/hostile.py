"""What an adversary sends up: forged, replayed, damaged and shuffled reports and orders; all must be refused."""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.channel import corrupted
from onboard.downlink.link.orders import DEGREE, PassWindow, Plan, Query
from onboard.downlink.link.seal import MAC_BYTES, seal, seal_order
from onboard.downlink.link.wire import Report

HEADER = 6


def uplink(genuine: Sequence[bytes], target: bytes, rng: random.Random) -> bytes:
    """A packet that must not be taken, made from genuine reports that have been taken before.

    Args:
        target: SHA-256 of a product that the forgery claims to have been archived.
    """
    packet, other = rng.choice(genuine), rng.choice(genuine)
    kind = rng.randrange(6)
    if kind == 0:
        return _forged(rng.randbytes(32), target, rng)  # another key
    if kind == 1:
        return packet  # replayed
    if kind == 2:
        return corrupted(packet, rng)  # flipped or truncated
    if kind == 3:
        return rng.randbytes(rng.randrange(1500))
    if kind == 4:
        return packet[:-MAC_BYTES] + other[-MAC_BYTES:]  # the seal of another
    middle = list(packet[HEADER:-MAC_BYTES])
    rng.shuffle(middle)  # its bytes in another order
    return packet[:HEADER] + bytes(middle) + packet[-MAC_BYTES:]


def _forged(key: bytes, target: bytes, rng: random.Random) -> bytes:
    """An acknowledgement, a contact plan or a query under a key that is not the spacecraft's."""
    kind, counter = rng.randrange(3), rng.randrange(1 << 62)
    if kind == 0:
        return seal(key, Report(counter, 0, (target,), ()))
    issued = rng.randrange(1 << 32)
    if kind == 1:
        window = PassWindow(rng.randrange(1 << 31), rng.randrange(1, 1000), rng.randrange(1, 1 << 32), 1_000_000)
        return seal_order(key, Plan(issued, (window,)), counter)
    ring = tuple((rng.randrange(-DEGREE, DEGREE), rng.randrange(-DEGREE, DEGREE)) for _ in range(rng.randrange(3, 9)))
    return seal_order(key, Query(issued, (1 << 32) - 1, 255, True, (), ring), counter)
