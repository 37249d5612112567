"""Which window of the contact plan it is now. On board the plan is only read: no orbit is known here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from onboard.downlink.link.orders import PassWindow


def present(windows: Sequence[PassWindow], now: float) -> PassWindow | None:
    """The window that `now` lies in (seconds since 1970-01-01 UTC)."""
    return next((window for window in windows if window.start <= now < window.end), None)


def no_window(windows: Sequence[PassWindow], now: float) -> str:
    """Why there is none, in words."""
    if not windows:
        return "no contact plan has come up yet"
    later = [window.start for window in windows if window.start > now]
    if not later:
        return "the contact plan is over"
    return (
        f"no contact now by the plan; the next begins at {datetime.fromtimestamp(min(later), UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
