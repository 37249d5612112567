"""The queue as files by CFDP class 1 (CCSDS 727.0-B-5, unacknowledged), for stations that speak it.

A product is one transaction: metadata, file data, EOF with CRC-32, each PDU with its own CRC, one PDU a datagram;
`spacepackets` makes them. Class 1 has no way back: a lost PDU costs the file, nothing is marked as delivered, and no
order comes up. A product that has left whole is not sent again; one that does not fit what is left of the pass waits.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator

from spacepackets.cfdp import ChecksumType, CrcFlag, TransmissionMode
from spacepackets.cfdp.conf import PduConfig
from spacepackets.cfdp.pdu import EofPdu, FileDataPdu, MetadataParams, MetadataPdu
from spacepackets.cfdp.pdu.file_data import FileDataParams
from spacepackets.util import ByteFieldU16, ByteFieldU32

from onboard.downlink.link.wire import MAX_PRODUCT_BYTES, SEGMENT_BYTES, Transfer
from onboard.store import Store
from onboard.store.rows import QueueRow

NUMBER = "cfdp_transaction"
"""The link's counter that transactions are numbered by."""
NUMBERS = 1 << 32


def pdus(name: str, payload: bytes, number: int, entities: tuple[int, int]) -> Iterator[bytes]:
    """The PDUs of one file.

    Args:
        name: of the file, for the receiver.
        number: of the transaction.
        entities: ids of the spacecraft and of the station, 16 bits each.
    """
    source, destination = (ByteFieldU16(entity) for entity in entities)
    conf = PduConfig(
        source_entity_id=source, dest_entity_id=destination, transaction_seq_num=ByteFieldU32(number % NUMBERS),
        trans_mode=TransmissionMode.UNACKNOWLEDGED, crc_flag=CrcFlag.WITH_CRC,
    )  # fmt: skip
    params = MetadataParams(
        closure_requested=False, checksum_type=ChecksumType.CRC_32, file_size=len(payload), source_file_name=name,
        dest_file_name=name,
    )  # fmt: skip
    yield bytes(MetadataPdu(conf, params).pack())
    for start in range(0, len(payload), SEGMENT_BYTES):
        yield bytes(FileDataPdu(conf, FileDataParams(payload[start : start + SEGMENT_BYTES], start)).pack())
    yield bytes(EofPdu(conf, zlib.crc32(payload).to_bytes(4, "big"), len(payload)).pack())


class CfdpSession:
    """One pass; it is driven as a `Session` is.

    Args:
        store: open; its queue is what goes down.
        budget_bytes: of all PDUs of the pass together.
        entities: as for `pdus`.

    Attributes:
        faults: unreadable products, by kind.
        due: products that have not left yet.
        sent: how many of them have left whole.
    """

    def __init__(self, store: Store, budget_bytes: int, entities: tuple[int, int]) -> None:
        self._queue, self._transfers, self._entities = store.queue, store.state.transfers, entities
        before = self._transfers.sent()
        self._items = [
            item
            for item in store.queue.items()
            if item.coded and 0 < item.size <= MAX_PRODUCT_BYTES and before.get(item.sha256, 0) < _segments(item)
        ]
        self._left, self.spent_bytes = budget_bytes, 0
        self.faults: Counter[str] = Counter()
        self.due, self.sent = len(self._items), 0
        self._pdus = self._all()
        self._over = False

    def transmit(self, now: float) -> bytes | None:
        """The next PDU, or None at the end."""
        pdu = next(self._pdus, None)
        self._over = pdu is None
        if pdu is not None:
            self.spent_bytes += len(pdu)
        return pdu

    def receive(self, packet: bytes, now: float) -> None:
        """Nothing comes up in class 1: it is counted and not looked at."""
        self.faults["unexpected"] += 1

    def finished(self, now: float) -> bool:
        """Whether everything that fits has left."""
        return self._over

    def close(self) -> None:
        """What left is stored already."""

    def _all(self) -> Iterator[bytes]:
        for item in self._items:
            payload = self._queue.payload(item.id)
            if payload is None:
                self.faults["damaged-product"] += 1
                continue
            number = self._transfers.counter(NUMBER, 0)
            file = list(pdus(f"{item.sha256}.obp", payload, number, self._entities))
            if sum(map(len, file)) > self._left:
                continue
            self._left -= sum(map(len, file))
            self._transfers.progress({}, {NUMBER: number + 1})  # before it leaves: no number is used twice
            yield from file
            self._transfers.progress({item.sha256: _segments(item)}, {})
            self.sent += 1


def _segments(item: QueueRow) -> int:
    return Transfer(b"", item.size).segments
