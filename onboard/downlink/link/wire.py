"""The messages of the link as bytes: segment, prompt and receipt go down, report comes up. Pure; big-endian; version 1.

    segment  u8 0x11, transfer (12), u16 index, data      CRC-32 behind it
    prompt   u8 0x12, u8 n, n transfers (12 each)         CRC-32 behind it
    receipt  u8 0x16, u8 n, n tags of orders (8 each), HMAC-SHA256 (`seal`)      CRC-32 behind it
    report   u8 0x13, u64 counter, u16 last sequence count, u8 acks, acks SHA-256 (32 each),
             u8 naks, naks of: transfer (12), u8 n, n ranges (u16 first, u16 last)     HMAC-SHA256 behind it (`seal`)

A transfer is named by the first 8 bytes of the product's SHA-256 and its size (u32). The CRC is over the whole packet;
32 bits, because a damaged segment that passes costs the whole product. The terms are those of CFDP (CCSDS
727.0-B-5). Orders, which come up too, are in `orders`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spacepackets.ccsds.spacepacket import SequenceFlags

from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.packet import HEADER_BYTES, Packet, frame, unframe

SEGMENT_BYTES = 1_024
MAX_SEGMENTS = 65_535
MAX_PRODUCT_BYTES = SEGMENT_BYTES * MAX_SEGMENTS
TAG_BYTES = 8
SHA_BYTES = 32
MAX_PROMPTED = 64

_SEGMENT, _PROMPT, _REPORT, _RECEIPT = 0x11, 0x12, 0x13, 0x16
MAX_RECEIPTS = 64
MAC_BYTES = 32
"""Of an HMAC-SHA256."""
_CRC = struct.Struct(">I")
_TRANSFER = struct.Struct(f">{TAG_BYTES}sI")
_SEGMENT_HEAD = struct.Struct(f">B{TAG_BYTES}sIH")
_REPORT_HEAD = struct.Struct(">BQHB")
_RANGE = struct.Struct(">HH")
SEGMENT_OVERHEAD = HEADER_BYTES + _SEGMENT_HEAD.size + _CRC.size
EVERYTHING = (0, MAX_SEGMENTS)
"""The range that asks for all segments."""


class Transfer(NamedTuple):
    """The name of a product on the link.

    Attributes:
        tag: first 8 bytes of its SHA-256.
        size: bytes, 1..`MAX_PRODUCT_BYTES`.
    """

    tag: bytes
    size: int

    @property
    def segments(self) -> int:
        """Into how many segments it is cut."""
        return -(-self.size // SEGMENT_BYTES)

    def length(self, place: int) -> int:
        """Bytes of a segment; all but the last are `SEGMENT_BYTES` long."""
        return min(SEGMENT_BYTES, self.size - place * SEGMENT_BYTES)


@dataclass(frozen=True)
class Segment:
    """One part of a product; `count` is the sequence count of its packet."""

    count: int
    transfer: Transfer
    index: int
    data: bytes


@dataclass(frozen=True)
class Prompt:
    """The sender asks how these transfers stand."""

    count: int
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True)
class Receipt:
    """The spacecraft has stored these orders.

    Attributes:
        tags: of the orders.
        covered: what the seal is over.
        mac: the seal, not yet checked.
    """

    count: int
    tags: tuple[bytes, ...]
    covered: bytes
    mac: bytes


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Report:
    """What the ground says.

    Attributes:
        counter: against replay, 0..2**63-1, strictly rising.
        last_seen: sequence count of the newest packet that arrived, 0..16383.
        acks: SHA-256 of products that lie in the archive.
        naks: ranges of segments (first, last; both included) that are missing.
    """

    counter: int
    last_seen: int
    acks: tuple[bytes, ...]
    naks: tuple[tuple[Transfer, Ranges], ...]


def pack_segment(count: int, transfer: Transfer, index: int, data: bytes) -> bytes:
    """The packet of one segment."""
    first, last = index == 0, index == transfer.segments - 1
    flags = (
        SequenceFlags.UNSEGMENTED if first and last
        else SequenceFlags.FIRST_SEGMENT if first
        else SequenceFlags.LAST_SEGMENT if last
        else SequenceFlags.CONTINUATION_SEGMENT
    )  # fmt: skip
    return _with_crc(frame(True, count, flags, _SEGMENT_HEAD.pack(_SEGMENT, *transfer, index) + data, _CRC.size))


def pack_prompt(count: int, transfers: Sequence[Transfer]) -> bytes:
    """The packet that asks for a report; at most `MAX_PROMPTED` transfers."""
    body = bytes((_PROMPT, len(transfers))) + b"".join(_TRANSFER.pack(*t) for t in transfers)
    return _with_crc(frame(True, count, SequenceFlags.UNSEGMENTED, body, _CRC.size))


def prompt_bytes(transfers: int) -> int:
    """Length of a prompt's packet."""
    return HEADER_BYTES + 2 + transfers * _TRANSFER.size + _CRC.size


def receipt_body(tags: Sequence[bytes]) -> bytes:
    """A receipt without its seal; at most `MAX_RECEIPTS` tags."""
    return bytes((_RECEIPT, len(tags))) + b"".join(tags)


def receipt_bytes(tags: int) -> int:
    """Length of a receipt's packet."""
    return HEADER_BYTES + 2 + tags * TAG_BYTES + MAC_BYTES + _CRC.size


def pack_receipt(count: int, body: bytes, mac: bytes) -> bytes:
    """The packet of a sealed receipt."""
    return _with_crc(frame(True, count, SequenceFlags.UNSEGMENTED, body + mac, _CRC.size))


def unpack_down(packet: bytes) -> Segment | Prompt | Receipt:
    """What came down.

    Raises:
        PacketError: damaged, or not of this link.
    """
    parts = unframe(packet, True, _CRC.size)
    if _CRC.pack(zlib.crc32(parts.covered)) != parts.trailer:
        raise PacketError("checksum differs", "checksum")
    if parts.body[0] == _SEGMENT:
        return _segment(parts)
    if parts.body[0] == _PROMPT:
        return _prompt(parts)
    if parts.body[0] == _RECEIPT:
        return _receipt(parts)
    raise PacketError(f"message {parts.body[0]:#x} is not known")


def report_body(report: Report) -> bytes:
    """A report without its seal; `ack_bytes` and `nak_bytes` tell what fits `MAX_BODY_BYTES`."""
    return b"".join(
        (
            _REPORT_HEAD.pack(_REPORT, report.counter, report.last_seen, len(report.acks)),
            *report.acks,
            bytes((len(report.naks),)),
            *(
                _TRANSFER.pack(*transfer) + bytes((len(ranges),)) + b"".join(_RANGE.pack(*r) for r in ranges)
                for transfer, ranges in report.naks
            ),
        )
    )


REPORT_BYTES = _REPORT_HEAD.size + 1
"""Of a report that says nothing."""


def nak_bytes(ranges: int) -> int:
    """Bytes of one NAK with so many ranges (1..255)."""
    return _TRANSFER.size + 1 + ranges * _RANGE.size


def unpack_report(body: bytes) -> Report:
    """A report whose seal has been checked.

    Raises:
        PacketError: not a report, or not of the lengths it states.
    """
    try:
        kind, counter, last_seen, n_acks = _REPORT_HEAD.unpack_from(body)
        if kind != _REPORT or counter >= 1 << 63:
            raise PacketError("not a report")
        at = _REPORT_HEAD.size
        acks = tuple(body[at + i * SHA_BYTES : at + (i + 1) * SHA_BYTES] for i in range(n_acks))
        at += n_acks * SHA_BYTES
        naks = []
        n_naks, at = body[at], at + 1
        for _ in range(n_naks):
            transfer = _transfer(*_TRANSFER.unpack_from(body, at))
            n, at = body[at + _TRANSFER.size], at + _TRANSFER.size + 1
            naks.append((transfer, tuple(_RANGE.unpack_from(body, at + i * _RANGE.size) for i in range(n))))
            at += n * _RANGE.size
    except (struct.error, IndexError) as error:
        raise PacketError("a report that ends early") from error
    if at != len(body):
        raise PacketError("a report with bytes behind it")
    return Report(counter, last_seen, acks, tuple(naks))


def _segment(parts: Packet) -> Segment:
    if len(parts.body) <= _SEGMENT_HEAD.size:
        raise PacketError("a segment without data")
    _, tag, size, index = _SEGMENT_HEAD.unpack_from(parts.body)
    transfer, data = _transfer(tag, size), parts.body[_SEGMENT_HEAD.size :]
    if index >= transfer.segments or len(data) != transfer.length(index):
        raise PacketError(f"segment {index} of {len(data)} bytes does not belong to {size} bytes")
    return Segment(parts.count, transfer, index, data)


def _prompt(parts: Packet) -> Prompt:
    if len(parts.body) < 2 or len(parts.body) != 2 + parts.body[1] * _TRANSFER.size:
        raise PacketError("a prompt that is not of the length it states")
    return Prompt(parts.count, tuple(_transfer(*item) for item in _TRANSFER.iter_unpack(parts.body[2:])))


def _receipt(parts: Packet) -> Receipt:
    if len(parts.body) < 2 or len(parts.body) != 2 + parts.body[1] * TAG_BYTES + MAC_BYTES:
        raise PacketError("a receipt that is not of the length it states")
    covered, mac = parts.body[:-MAC_BYTES], parts.body[-MAC_BYTES:]
    tags = tuple(covered[at : at + TAG_BYTES] for at in range(2, len(covered), TAG_BYTES))
    return Receipt(parts.count, tags, covered, mac)


def _transfer(tag: bytes, size: int) -> Transfer:
    if not 0 < size <= MAX_PRODUCT_BYTES:
        raise PacketError(f"a product of {size} bytes")
    return Transfer(tag, size)


def _with_crc(covered: bytes) -> bytes:
    return covered + _CRC.pack(zlib.crc32(covered))
