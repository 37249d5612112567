"""Numbers as a person reads them: sizes, shares, scores, dates, positions. Units are always said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

DASH = "\u2013"


def size(count: float) -> str:
    """Bytes, SI: `812 B`, `41.3 kB`, `2.05 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000.0
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.{2 if count < 10 else 1 if count < 100 else 0}f} {unit}"


def score(value: float) -> str:
    """Three significant digits, whatever the scale of the score rule."""
    if not math.isfinite(value):
        return DASH
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def share(part: float, whole: float = 1.0) -> str:
    """Per cent with as many digits as it deserves; a dash for 0 of 0."""
    if not whole or not math.isfinite(part / whole):
        return DASH
    percent = 100.0 * part / whole
    if percent and percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.{0 if percent >= 10 or percent == 0 else 1 if percent >= 1 else 2}f} %"


def seconds(value: float) -> str:
    """`840 ms`, `3.2 s`, `12 min 05 s`."""
    if value < 1.0:
        return f"{value * 1e3:.3g} ms"
    if value < 120.0:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60):02d} s"


def number(value: float) -> str:
    """Thousands separated by commas; no decimals from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 cell`, `2 cells`, `1,204 passes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def utc(time: datetime) -> datetime:
    """The same instant in UTC; a naive time is taken as UTC."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def date(time: datetime) -> str:
    """`2024-05-03`."""
    return utc(time).strftime("%Y-%m-%d")


def moment(time: datetime) -> str:
    """`2024-05-03 10:06 UTC`."""
    return utc(time).strftime("%Y-%m-%d %H:%M UTC")


def period(times: Sequence[datetime]) -> str:
    """First to last day, or the only one; a dash without any."""
    if not times:
        return DASH
    first, last = date(min(times, key=utc)), date(max(times, key=utc))
    return first if first == last else f"{first} to {last}"


def position(longitude: float, latitude: float) -> str:
    """`44.4321\u00b0 N 26.1044\u00b0 E` (WGS84)."""
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.4f}\u00b0 {north} {abs(longitude):.4f}\u00b0 {east}"
