"""The link's messages as bytes: what is packed comes back, and anything else is refused in words."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.packet import MAX_PACKET_BYTES
from onboard.downlink.link.seal import WINDOW, Window, load_key, seal, unseal
from onboard.downlink.link.wire import (
    MAX_PRODUCT_BYTES,
    SEGMENT_BYTES,
    SEGMENT_OVERHEAD,
    Prompt,
    Report,
    Segment,
    Transfer,
    pack_prompt,
    pack_segment,
    prompt_bytes,
    report_body,
    unpack_down,
    unpack_report,
)
from onboard.errors import UsageError

KEY = bytes(range(32))
tags = st.binary(min_size=8, max_size=8)
transfers = st.builds(Transfer, tags, st.integers(1, MAX_PRODUCT_BYTES))
u16 = st.integers(0, 65_535)
reports = st.builds(
    Report,
    st.integers(0, 2**63 - 1),
    st.integers(0, 16_383),
    st.lists(st.binary(min_size=32, max_size=32), max_size=8).map(tuple),
    st.lists(st.tuples(transfers, st.lists(st.tuples(u16, u16), max_size=9).map(tuple)), max_size=9).map(tuple),
)


@settings(deadline=None)
@given(tag=tags, payload=st.binary(min_size=1, max_size=5 * SEGMENT_BYTES), count=st.integers(0, 10**9), data=st.data())
def test_a_product_is_the_sum_of_its_segments_in_any_order(tag, payload, count, data):
    transfer = Transfer(tag, len(payload))
    packets = [
        pack_segment(count + i, transfer, i, payload[i * SEGMENT_BYTES : (i + 1) * SEGMENT_BYTES])
        for i in range(transfer.segments)
    ]
    assert sum(map(len, packets)) == len(payload) + SEGMENT_OVERHEAD * len(packets)
    assert max(map(len, packets)) <= MAX_PACKET_BYTES
    out = bytearray(len(payload))
    for packet in data.draw(st.permutations(packets)):
        segment = unpack_down(packet)
        assert isinstance(segment, Segment) and segment.transfer == transfer
        start = segment.index * SEGMENT_BYTES
        out[start : start + len(segment.data)] = segment.data
        assert segment.count == (count + segment.index) % 16_384
    assert bytes(out) == payload


@settings(deadline=None)
@given(st.lists(transfers, max_size=64), st.integers(0, 10**6))
def test_a_prompt_comes_back(asked, count):
    packet = pack_prompt(count, asked)
    assert len(packet) == prompt_bytes(len(asked))
    assert unpack_down(packet) == Prompt(count % 16_384, tuple(asked))


@settings(deadline=None)
@given(reports)
def test_a_report_comes_back_once(report):
    packet = seal(KEY, report)
    found, window = unseal(KEY, packet, Window())
    assert found == report
    with pytest.raises(PacketError) as refused:
        unseal(KEY, packet, window)
    assert refused.value.kind == "replayed"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_packet_are_refused(junk):
    with pytest.raises(PacketError):
        unpack_down(junk)
    with pytest.raises(PacketError):
        unseal(KEY, junk, Window())


@settings(deadline=None)
@given(st.binary(max_size=200).map(lambda junk: b"\x13" + junk))
def test_a_body_is_a_report_or_is_refused(junk):
    try:
        report = unpack_report(junk)
    except PacketError:
        return
    assert report_body(report) == junk


@settings(deadline=None)
@given(st.integers(0, 8 * 200 - 1))
def test_every_flipped_bit_is_noticed(bit):
    packet = bytearray(pack_segment(7, Transfer(b"12345678", 300), 0, bytes(300)))
    packet[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PacketError):
        unpack_down(bytes(packet))


@pytest.mark.parametrize("size", [0, MAX_PRODUCT_BYTES + 1])
def test_a_size_that_no_product_has_is_refused(size):
    body = b"\x12\x01" + b"12345678" + size.to_bytes(4, "big")
    covered = b"\x02\xa0\xc0\x00" + (len(body) + 3).to_bytes(2, "big") + body
    with pytest.raises(PacketError, match="a product of"):
        unpack_down(covered + zlib.crc32(covered).to_bytes(4, "big"))


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=60))
def test_the_window_takes_each_counter_once_and_none_that_is_too_old(counters):
    window, taken = Window(), set()
    for counter in counters:
        wanted = counter not in taken and counter > max(taken, default=-1) - WINDOW
        try:
            window = window.accept(counter)
            accepted = True
        except PacketError:
            accepted = False
        assert accepted == wanted
        if accepted:
            taken.add(counter)
    assert window.taken < 1 << WINDOW


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("ab" * 31, 0o600, "not a key"),
        ("x" * 64, 0o600, "not a key"),
        ("ab" * 4000, 0o600, "not a key"),
        ("ab" * 32, 0o644, "everyone"),
    ],
)
def test_a_bad_key_file_is_one_clear_line(tmp_path, text, mode, said):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(UsageError, match=said):
        load_key(path)


def test_a_key_is_read(tmp_path):
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    (tmp_path / "key").chmod(0o600)
    assert load_key(tmp_path / "key") == KEY
    with pytest.raises(UsageError, match="cannot be read"):
        load_key(tmp_path / "absent")
