"""What comes up is authentic and new: HMAC-SHA256 (RFC 2104) over the packet, a counter in a window (RFC 4303, 3.4.3).

Both ends share one key of 32 bytes, a key for each spacecraft. Only reports are sealed: a product proves itself by the
SHA-256 that the report names and the spacecraft knows.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from pathlib import Path

from spacepackets.ccsds.spacepacket import SequenceFlags

from onboard.downlink.link.packet import PacketError, frame, unframe
from onboard.downlink.link.wire import Report, report_body, unpack_report
from onboard.errors import UsageError

KEY_BYTES = 32
MAC_BYTES = 32
WINDOW = 32
"""Reports that may overtake one another; an older one is refused."""
_PURPOSE = b"onboard-downlink report 1\0"


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
    covered = frame(False, report.counter, SequenceFlags.UNSEGMENTED, report_body(report), MAC_BYTES)
    return covered + hmac.digest(key, _PURPOSE + covered, "sha256")


def unseal(key: bytes, packet: bytes, window: Window) -> tuple[Report, Window]:
    """The report in a packet, and the window that must be stored together with its effects.

    Raises:
        PacketError: malformed, forged or replayed; nothing of it may be used.
    """
    parts = unframe(packet, False, MAC_BYTES)
    if not hmac.compare_digest(hmac.digest(key, _PURPOSE + parts.covered, "sha256"), parts.trailer):
        raise PacketError("not authentic", "forged")
    report = unpack_report(parts.body)
    return report, window.accept(report.counter)
