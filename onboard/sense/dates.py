"""When was it taken? Dates from tags, names and `dates.txt`; the order of passes that carry none. Pure; no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

TAGS = ("sensing_time", "datetime", "acquisition_datetime", "acquisitiondatetime", "tifftag_datetime")
"""Tags that hold a sensing time, compared in lower case, the most specific first."""

_COMPACT = r"(?P<y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)(?:[T_]?(?P<t>[0-2]\d[0-5]\d[0-5]\d))?(?!\d)"
_DASHED = r"(?P<y>(?:19|20)\d\d)[-_.](?P<m>\d\d)[-_.](?P<d>\d\d)(?:[T_ ](?P<t>[0-2]\d[-:]?[0-5]\d[-:]?[0-5]\d))?(?!\d)"
_DATES = (re.compile(r"(?<!\d)" + _COMPACT), re.compile(r"(?<!\d)" + _DASHED))
_LINE = re.compile(r"^\s*date_(\d+)\s*[:=]\s*(\S.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_BEFORE = re.compile(r"(?:^|[^a-z])(?:pre|before)(?![a-z])|(?:^|[^a-z])pre(?:fire|event|flood)", re.IGNORECASE)
_AFTER = re.compile(r"(?:^|[^a-z])(?:post|after)(?![a-z])|(?:^|[^a-z])post(?:fire|event|flood)", re.IGNORECASE)


def parse_time(text: str) -> datetime | None:
    """ISO 8601 or TIFF's `YYYY:MM:DD HH:MM:SS`, UTC where no zone is given; None for anything else."""
    text = text.strip()
    text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return date_in_name(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def date_in_name(name: str) -> datetime | None:
    """The first YYYYMMDD[THHMMSS] or YYYY-MM-DD in a name, UTC (a Sentinel-2 product's first date is its sensing)."""
    hits = sorted((hit for pattern in _DATES for hit in pattern.finditer(name)), key=lambda hit: hit.start())
    for hit in hits:
        clock = re.sub(r"\D", "", hit["t"] or "") or "000000"
        try:
            return datetime.strptime(f"{hit['y']}{hit['m']}{hit['d']}{clock}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def date_in_tags(tags: Mapping[str, str]) -> datetime | None:
    """The sensing time that a dataset's tags state, UTC."""
    lower = {key.lower(): value for key, value in tags.items()}
    times = (parse_time(lower[tag]) for tag in TAGS if tag in lower)
    return next((time for time in times if time is not None), None)


def parse_dates_file(text: str) -> dict[int, datetime]:
    """`date_1: 20160120` lines -> {1: 2016-01-20}; other lines and unreadable dates are passed over."""
    found = ((int(number), parse_time(value)) for number, value in _LINE.findall(text))
    return {number: time for number, time in found if time is not None}


def in_name_order(names: Iterable[str]) -> list[str]:
    """Passes in the order their names tell: pre before anything before post, and t2 before t10."""
    return sorted(names, key=_rank)


def trailing_number(name: str) -> int | None:
    """2 for `t2`."""
    match = re.search(r"(\d+)$", name)
    return int(match.group(1)) if match else None


def _rank(name: str) -> tuple[int, list[tuple[int, str]], str]:
    side = 0 if _BEFORE.search(name) else 2 if _AFTER.search(name) else 1
    parts = re.findall(r"\d+|\D+", name.lower())
    return side, [(int(part), "") if part.isdigit() else (-1, part) for part in parts], name
