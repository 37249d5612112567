"""Space Packets (CCSDS 133.0-B-2): primary header and data field, through `spacepackets`. Pure functions on bytes.

A data field ends in a trailer that the caller computes over everything before it: a CRC-32 on the way down, an HMAC on
the way up. There is no secondary header.
"""

from __future__ import annotations

from dataclasses import dataclass

from spacepackets.ccsds.spacepacket import PacketType, SequenceFlags, SpacePacketHeader

from onboard.downlink.link.bounds import PacketError

HEADER_BYTES = 6
MAX_PACKET_BYTES = 1_400
"""Of a packet that is taken: below the 1,500 bytes that any network passes on unbroken."""
SEQUENCE_MODULO = 1 << 14
TM_APID = 0x2A0
"""Application process of products going down."""
TC_APID = 0x2A1
"""Application process of reports coming up."""


@dataclass(frozen=True)
class Packet:
    """A Space Packet taken apart.

    Attributes:
        count: packet sequence count, 0..16383.
        body: data field without its trailer.
        covered: what the trailer was computed over: everything before it.
        trailer: the last bytes of the data field.
    """

    count: int
    body: bytes
    covered: bytes
    trailer: bytes


def frame(down: bool, count: int, flags: SequenceFlags, body: bytes, trailer_bytes: int) -> bytes:
    """Primary header and body; the caller appends a trailer of exactly `trailer_bytes`.

    Args:
        down: telemetry (space to ground) or telecommand.
        count: any whole number; its remainder by 16384 is sent.
        flags: first, continuation or last segment, or unsegmented.
        body: at least one byte.
    """
    header = SpacePacketHeader(
        packet_type=PacketType.TM if down else PacketType.TC,
        apid=TM_APID if down else TC_APID,
        seq_count=count % SEQUENCE_MODULO,
        data_len=len(body) + trailer_bytes - 1,
        seq_flags=flags,
    )
    return bytes(header.pack()) + body


def unframe(packet: bytes, down: bool, trailer_bytes: int) -> Packet:
    """Take a packet apart; the trailer is not checked here.

    Raises:
        PacketError: too long or short, not of the length it states, of another version, direction or process.
    """
    if not HEADER_BYTES + trailer_bytes < len(packet) <= MAX_PACKET_BYTES:
        raise PacketError(f"{len(packet)} bytes are no packet of this link")
    header = SpacePacketHeader.unpack(packet)
    if header.ccsds_version != 0 or header.sec_header_flag:
        raise PacketError("not a packet of version 1 without secondary header")
    if header.packet_len != len(packet):
        raise PacketError(f"states {header.packet_len} bytes and has {len(packet)}")
    if header.packet_type != (PacketType.TM if down else PacketType.TC) or header.apid != (
        TM_APID if down else TC_APID
    ):
        raise PacketError(f"of another application process ({header.apid:#x})")
    covered, trailer = packet[:-trailer_bytes], packet[-trailer_bytes:]
    return Packet(header.seq_count, covered[HEADER_BYTES:], covered, trailer)
