"""What the ground orders, as bytes: the contact plan and the operator's queries. Pure; big-endian; one packet each.

    plan     u8 0x14, u64 counter, u32 issued, u8 n, n windows: u32 start, u16 seconds, u32 bytes, u32 bit/s
    query    u8 0x15, u64 counter, u32 issued, u32 expires, u8 priority (1..255), u8 flags (1: lossless),
             u8 bands (0: all of them), bands of 3 ASCII letters, u8 n, n vertices: i32 longitude, i32 latitude (1e-7
             degrees WGS84)

Times are seconds since 1970-01-01 UTC. An order is known by its tag, the first 8 bytes of the SHA-256 of its kind and
everything behind the counter: sent again under another counter it is the same order. The HMAC behind it is that of a
report (`seal`).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from itertools import pairwise

from onboard.downlink.link.bounds import MAX_BODY_BYTES, PacketError

PLAN, QUERY = 0x14, 0x15
TAG_BYTES = 8
DEGREE = 10_000_000
"""Units of a coordinate in a degree."""
_COUNTER = struct.Struct(">BQ")
_PLAN_HEAD = struct.Struct(">IB")
_WINDOW = struct.Struct(">IHII")
_QUERY_HEAD = struct.Struct(">IIBBB")
_BAND = struct.Struct(">3s")
_VERTEX = struct.Struct(">ii")
MAX_WINDOWS = (MAX_BODY_BYTES - _COUNTER.size - _PLAN_HEAD.size) // _WINDOW.size
MAX_VERTICES = 100
MAX_BANDS = 32
_TIMES = 1 << 32
_COUNTERS = 1 << 63


@dataclass(frozen=True)
class PassWindow:
    """One contact: when it begins, how long it lasts, what it carries.

    Attributes:
        start: seconds since 1970-01-01 UTC.
        seconds: 1..65535.
        size: bytes of packets, at least 1.
        rate: of the link, bit/s, at least 1.
    """

    start: int
    seconds: int
    size: int
    rate: int

    @property
    def end(self) -> int:
        """When it is over."""
        return self.start + self.seconds

    def left(self, now: float) -> tuple[int, float]:
        """(bytes, seconds) of it that are left; all of them before it begins."""
        seconds = min(float(self.seconds), max(0.0, self.end - now))
        return round(self.size * seconds / self.seconds), seconds


@dataclass(frozen=True)
class Plan:
    """The contact plan; a later one (`issued`) replaces it. Windows follow one another without overlap."""

    issued: int
    windows: tuple[PassWindow, ...]


@dataclass(frozen=True)
class Query:
    """An operator wants these pixels.

    Attributes:
        expires: seconds since 1970-01-01 UTC; later it is forgotten.
        priority: 1..255; the greater goes first, and before everything that nobody asked for.
        lossless: whether nothing less will do.
        bands: names; empty for all.
        ring: (longitude, latitude) of at least three vertices in 1e-7 degrees, closed by itself.
    """

    issued: int
    expires: int
    priority: int
    lossless: bool
    bands: tuple[str, ...]
    ring: tuple[tuple[int, int], ...]


Order = Plan | Query


def order_body(order: Order, counter: int) -> bytes:
    """An order without its seal.

    Raises:
        ValueError: it does not fit a packet, or a value does not fit its field.
    """
    kind = PLAN if isinstance(order, Plan) else QUERY
    body = _COUNTER.pack(kind, counter) + _content(order)
    try:
        unpack_order(body)  # what would be refused on board is not sent
    except PacketError as error:
        raise ValueError(str(error)) from error
    return body


def tag_of(order: Order) -> bytes:
    """What the order is known by."""
    kind = PLAN if isinstance(order, Plan) else QUERY
    return hashlib.sha256(bytes((kind,)) + _content(order)).digest()[:TAG_BYTES]


def unpack_order(body: bytes) -> tuple[Order, int]:
    """An order whose seal has been checked, and its counter.

    Raises:
        PacketError: not an order, not of the lengths it states, or one that makes no sense.
    """
    if len(body) > MAX_BODY_BYTES:
        raise PacketError(f"an order of {len(body)} bytes")
    try:
        kind, counter = _COUNTER.unpack_from(body)
        if counter >= _COUNTERS:
            raise PacketError("a counter out of range")
        if kind == PLAN:
            return _plan(body), counter
        if kind == QUERY:
            return _query(body), counter
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise PacketError("an order that ends early") from error
    raise PacketError(f"order {kind:#x} is not known")


def _content(order: Order) -> bytes:
    try:
        if isinstance(order, Plan):
            windows = (_WINDOW.pack(w.start, w.seconds, w.size, w.rate) for w in order.windows)
            return _PLAN_HEAD.pack(order.issued, len(order.windows)) + b"".join(windows)
        head = _QUERY_HEAD.pack(order.issued, order.expires, order.priority, order.lossless, len(order.bands))
        bands = (_BAND.pack(name.encode("ascii")) for name in order.bands)
        ring = (_VERTEX.pack(*vertex) for vertex in order.ring)
        return head + b"".join(bands) + bytes((len(order.ring),)) + b"".join(ring)
    except struct.error as error:
        raise ValueError(f"a value out of range ({error})") from error


def _plan(body: bytes) -> Plan:
    issued, n = _PLAN_HEAD.unpack_from(body, _COUNTER.size)
    at = _COUNTER.size + _PLAN_HEAD.size
    if len(body) != at + n * _WINDOW.size:
        raise PacketError("a plan that is not of the length it states")
    windows = tuple(PassWindow(*item) for item in _WINDOW.iter_unpack(body[at:]))
    if any(not (w.seconds and w.size and w.rate) or w.end >= _TIMES for w in windows):
        raise PacketError("a plan with an empty window")
    if any(before.end > after.start for before, after in pairwise(windows)):
        raise PacketError("a plan whose windows overlap or are out of order")
    return Plan(issued, windows)


def _query(body: bytes) -> Query:
    at = _COUNTER.size + _QUERY_HEAD.size
    issued, expires, priority, flags, n_bands = _QUERY_HEAD.unpack_from(body, _COUNTER.size)
    bands = tuple(body[at + i * 3 : at + i * 3 + 3].decode("ascii") for i in range(n_bands))
    at += n_bands * _BAND.size
    n, at = body[at], at + 1
    if len(body) != at + n * _VERTEX.size:
        raise PacketError("a query that is not of the length it states")
    ring = tuple((lon, lat) for lon, lat in _VERTEX.iter_unpack(body[at:]))
    if not 3 <= n <= MAX_VERTICES or n_bands > MAX_BANDS or not priority or flags > 1:
        raise PacketError("a query with too few or too many vertices or bands, or without priority")
    if any(abs(lon) > 180 * DEGREE or abs(lat) > 90 * DEGREE for lon, lat in ring):
        raise PacketError("a query beyond the Earth")
    if any(not name.isalnum() for name in bands):
        raise PacketError("a query for something that is no band")
    return Query(issued, expires, priority, bool(flags), bands, ring)
