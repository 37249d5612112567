"""What every message of the link keeps to: its size, and the error where it is refused. Needs no library of packets."""

from __future__ import annotations

from onboard.errors import OnboardError

MAX_BODY_BYTES = 1_100
"""Of a report or an order; what does not fit waits for the next."""


class PacketError(OnboardError):
    """A packet that is refused; `kind` is the counter it raises.

    Args:
        reason: in words.
        kind: e.g. `malformed`, `checksum`, `forged`, `replayed`.
    """

    def __init__(self, reason: str, kind: str = "malformed") -> None:
        super().__init__(reason)
        self.kind = kind
