"""Damage for the fuzzer: inputs mutated, then mended so that they get past lengths, checksums and seals. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import zlib
from collections.abc import Sequence
from typing import Any

from spacepackets.ccsds.spacepacket import SequenceFlags

from onboard.downlink.link.packet import frame
from onboard.downlink.link.seal import _PURPOSE
from onboard.downlink.link.wire import MAC_BYTES
from onboard.downlink.product import _DICTIONARY, _TAIL, HEAD, MAX_HEADER_BYTES

KEY = bytes(range(32))
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF)


def mutated(data: bytes, corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """An input with some bytes flipped, set to edges, cut out, doubled, or taken from another one."""
    out = bytearray(data)
    for _ in range(1 << rng.randrange(4)):
        if not out:
            return rng.randbytes(rng.randrange(64))
        kind, at = rng.randrange(8), rng.randrange(len(out))
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice(EDGES)
        elif kind == 2:
            out[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", rng.randbytes(4)))
        elif kind == 3:
            del out[at : at + rng.randrange(1, 32)]
        elif kind == 4:
            out[at:at] = out[at : at + rng.randrange(1, 32)]
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            other = rng.choice(corpus)
            start = rng.randrange(len(other)) if other else 0
            out[at : at + 16] = other[start : start + rng.randrange(1, 64)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 8))
    return bytes(out)


def mend_packet(data: bytes, rng: random.Random) -> bytes:
    """Length and CRC-32 that fit, mostly."""
    if len(data) < 12 or rng.random() < 0.1:
        return data
    header = data[:4] + (len(data) - 7).to_bytes(2, "big", signed=False) if len(data) < 65_000 else data[:6]
    return with_crc(header + data[6:])


def mend_product(data: bytes, rng: random.Random) -> bytes:
    """Checksums that fit; now and then the header's own text is mutated and packed again."""
    if rng.random() < 0.1 or len(data) < HEAD.size + _TAIL:
        return data
    head, start = data[: HEAD.size], HEAD.size + int.from_bytes(data[HEAD.size - 2 : HEAD.size], "big")
    if rng.random() < 0.6:
        try:
            text = zlib.decompressobj(zdict=_DICTIONARY).decompress(data[HEAD.size : start], MAX_HEADER_BYTES)
        except zlib.error:
            return with_checksums(data[:-_TAIL])
        data = with_text(head, _header(text, rng)) + data[start:]
    return with_checksums(data[:-_TAIL])


def with_text(head: bytes, text: bytes) -> bytes:
    """A product's fixed header with another text behind it, packed, and the length of that."""
    packer = zlib.compressobj(1, zdict=_DICTIONARY)
    packed = packer.compress(text) + packer.flush()
    return head[:-2] + min(len(packed), 0xFFFF).to_bytes(2, "big") + packed


def with_checksums(body: bytes) -> bytes:
    """A product with the SHA-256 and CRC-32 that fit."""
    body += hashlib.sha256(body).digest()
    return body + zlib.crc32(body).to_bytes(4, "big")


def _header(text: bytes, rng: random.Random) -> bytes:
    """A header in which one value is another, or whose text is damaged."""
    values: tuple[object, ...] = (
        0,
        -1,
        1,
        31,
        4097,
        1 << 31,
        1 << 70,
        1e308,
        -0.5,
        "",
        "x",
        "EPSG:0",
        None,
        [],
        {},
        True,
        [[]],
    )
    try:
        header = json.loads(text)
        place: Any = header
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
                place = place[key]
                continue
            place[key] = rng.choice(values)
            return json.dumps(header).encode()
    except (ValueError, IndexError, TypeError, RecursionError):
        return mutated(text, [text], rng)


def sealed(body: bytes) -> bytes:
    """The packet of a body that comes up, under the genuine key `KEY`."""
    covered = frame(False, 1, SequenceFlags.UNSEGMENTED, body[:1300] or b"\0", MAC_BYTES)
    return covered + hmac.digest(KEY, _PURPOSE + covered, "sha256")


def with_crc(data: bytes) -> bytes:
    """With a CRC-32 that fits in its last four bytes."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")
