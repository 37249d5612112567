"""What comes up is authentic and new: HMAC-SHA256 (RFC 2104) over the packet, a counter in a window (RFC 4303, 3.4.3).

Both ends share one key of 32 bytes, a key for each spacecraft. All that comes up is sealed, and the receipts of orders
that go down: a product proves itself by the SHA-256 that the report names and the spacecraft knows.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spacepackets.ccsds.spacepacket import SequenceFlags

from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.orders import PLAN, QUERY, Order, order_body, unpack_order
from onboard.downlink.link.packet import frame, unframe
from onboard.downlink.link.wire import (
    MAC_BYTES,
    Receipt,
    Report,
    pack_receipt,
    receipt_body,
    report_body,
    unpack_report,
)
from onboard.errors import UsageError

KEY_BYTES = 32
WINDOW = 32
"""Reports that may overtake one another; an older one is refused."""
_PURPOSE = b"onboard-downlink report 1\0"
_RECEIPT_PURPOSE = b"onboard-downlink receipt 1\0"


def load_key(path: Path) -> bytes:
    """The key in a file: 64 hexadecimal digits, which only its owner and group may read (`openssl rand -hex 32`).

    Raises:
        UsageError: not there, readable by everyone, or not a key.
    """
    try:
        if path.stat().st_mode & 0o007:
            raise UsageError(f"{path}: everyone may read or change this key (chmod 600)")
        with path.open("rb") as file:
            key = bytes.fromhex(file.read(4 * KEY_BYTES).decode("ascii").strip())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a key of {2 * KEY_BYTES} hexadecimal digits") from error
    if len(key) != KEY_BYTES:
        raise UsageError(f"{path}: not a key of {2 * KEY_BYTES} hexadecimal digits")
    return key


@dataclass(frozen=True)
class Window:
    """Which counters have been taken.

    Attributes:
        highest: the highest one, -1 before the first.
        taken: bit i: `highest - i` has been taken, for i < `WINDOW`.
    """

    highest: int = -1
    taken: int = 0

    def accept(self, counter: int) -> Window:
        """The window after a counter.

        Raises:
            PacketError: taken before, or too old to tell.
        """
        ahead = counter - self.highest
        if ahead > 0:
            shifted = self.taken << ahead if ahead < WINDOW else 0
            return Window(counter, (shifted | 1) & ((1 << WINDOW) - 1))
        if -ahead >= WINDOW or self.taken >> -ahead & 1:
            raise PacketError(f"counter {counter} has been taken or is too old", "replayed")
        return Window(self.highest, self.taken | 1 << -ahead)


def seal(key: bytes, report: Report) -> bytes:
    """The packet of a report."""
    return _seal(key, report_body(report), report.counter)


def seal_order(key: bytes, order: Order, counter: int) -> bytes:
    """The packet of an order.

    Raises:
        ValueError: as `order_body`.
    """
    return _seal(key, order_body(order, counter), counter)


def unseal(key: bytes, packet: bytes, window: Window) -> tuple[Report | Order, Window]:
    """The report or order in a packet, and the window that must be stored together with its effects.

    Raises:
        PacketError: malformed, forged or replayed; nothing of it may be used.
    """
    parts = unframe(packet, False, MAC_BYTES)
    if not hmac.compare_digest(hmac.digest(key, _PURPOSE + parts.covered, "sha256"), parts.trailer):
        raise PacketError("not authentic", "forged")
    if parts.body[0] in (PLAN, QUERY):
        order, counter = unpack_order(parts.body)
        return order, window.accept(counter)
    report = unpack_report(parts.body)
    return report, window.accept(report.counter)


def seal_receipt(key: bytes, count: int, tags: Sequence[bytes]) -> bytes:
    """The packet that says which orders are stored; it goes down."""
    body = receipt_body(tags)
    return pack_receipt(count, body, hmac.digest(key, _RECEIPT_PURPOSE + body, "sha256"))


def is_genuine(key: bytes, receipt: Receipt) -> bool:
    """Whether a receipt comes from the spacecraft."""
    return hmac.compare_digest(hmac.digest(key, _RECEIPT_PURPOSE + receipt.covered, "sha256"), receipt.mac)


def _seal(key: bytes, body: bytes, counter: int) -> bytes:
    covered = frame(False, counter, SequenceFlags.UNSEGMENTED, body, MAC_BYTES)
    return covered + hmac.digest(key, _PURPOSE + covered, "sha256")
