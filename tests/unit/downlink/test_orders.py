"""Orders as bytes: they come out as they went in, or not at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.downlink.link.bounds import PacketError
from onboard.downlink.link.orders import (
    DEGREE,
    MAX_VERTICES,
    MAX_WINDOWS,
    PassWindow,
    Plan,
    Query,
    order_body,
    tag_of,
    unpack_order,
)
from onboard.downlink.link.packet import MAX_PACKET_BYTES
from onboard.downlink.link.seal import Window, is_genuine, seal_order, seal_receipt, unseal
from onboard.downlink.link.window import no_window, present
from onboard.downlink.link.wire import MAX_RECEIPTS, Receipt, receipt_bytes, unpack_down

KEY = bytes(range(32))
U32 = st.integers(0, (1 << 32) - 1)
VERTEX = st.tuples(st.integers(-180 * DEGREE, 180 * DEGREE), st.integers(-90 * DEGREE, 90 * DEGREE))
QUERIES = st.builds(
    Query, U32, U32, st.integers(1, 255), st.booleans(),
    st.lists(st.sampled_from(["B02", "B8A", "B12"]), max_size=8).map(tuple),
    st.lists(VERTEX, min_size=3, max_size=MAX_VERTICES).map(tuple),
)  # fmt: skip


@st.composite
def plans(draw):
    at, windows = draw(st.integers(0, 1 << 31)), []
    for _ in range(draw(st.integers(0, MAX_WINDOWS))):
        at += draw(st.integers(0, 10_000))
        windows.append(
            PassWindow(at, draw(st.integers(1, 1000)), draw(st.integers(1, 1 << 31)), draw(st.integers(1, 1 << 31)))
        )
        at = windows[-1].end
    return Plan(draw(U32), tuple(windows))


@settings(max_examples=60, deadline=None)
@given(st.one_of(plans(), QUERIES), st.integers(0, (1 << 63) - 1))
def test_an_order_comes_out_as_it_went_in(order, counter):
    packet = seal_order(KEY, order, counter)
    assert len(packet) <= MAX_PACKET_BYTES
    found, window = unseal(KEY, packet, Window())
    assert found == order and window.highest == counter
    assert tag_of(found) == tag_of(order)
    with pytest.raises(PacketError, match="has been taken"):
        unseal(KEY, packet, window)
    with pytest.raises(PacketError, match="not authentic"):
        unseal(bytes(32), packet, Window())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1200))
def test_no_bytes_make_anything_but_an_order_or_a_refusal(body):
    for head in (b"\x14", b"\x15", b""):
        try:
            order, counter = unpack_order(head + body)
        except PacketError:
            continue
        assert order_body(order, counter) == head + body  # one form for one meaning


QUERY = Query(1, 2, 1, True, (), ((0, 0), (9, 0), (0, 9)))


def test_every_cut_and_every_flipped_bit_is_refused():
    for order in (QUERY, Plan(3, (PassWindow(5, 6, 7, 8),))):
        packet = seal_order(KEY, order, 1)
        for length in range(len(packet)):
            with pytest.raises(PacketError):
                unseal(KEY, packet[:length], Window())
        for bit in range(8 * len(packet)):
            damaged = bytearray(packet)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(PacketError):
                unseal(KEY, bytes(damaged), Window())


@pytest.mark.parametrize(
    "order",
    [
        Plan(1, (PassWindow(10, 5, 1, 1), PassWindow(14, 5, 1, 1))),
        Plan(1, (PassWindow(10, 0, 1, 1),)),
        Plan(1, (PassWindow(10, 5, 0, 1),)),
        Plan(1, (PassWindow((1 << 32) - 2, 5, 1, 1),)),
        Plan(1, tuple(PassWindow(10 * n, 5, 1, 1) for n in range(MAX_WINDOWS + 1))),
        Query(1, 2, 0, True, (), QUERY.ring),
        Query(1, 2, 256, True, (), QUERY.ring),
        Query(1, 2, 1, True, (), QUERY.ring[:2]),
        Query(1, 2, 1, True, (), ((0, 0),) * (MAX_VERTICES + 1)),
        Query(1, 2, 1, True, (), ((0, 0), (9, 0), (0, 91 * DEGREE))),
        Query(1, 2, 1, True, ("B-2",), QUERY.ring),
        Query(1 << 32, 2, 1, True, (), QUERY.ring),
    ],
)
def test_what_makes_no_sense_is_not_sent(order):
    with pytest.raises(ValueError):
        order_body(order, 0)


def test_the_tag_is_of_the_order_and_not_of_its_packet():
    assert unseal(KEY, seal_order(KEY, QUERY, 1), Window())[0] == unseal(KEY, seal_order(KEY, QUERY, 2), Window())[0]
    assert tag_of(QUERY) != tag_of(Query(2, 2, 1, True, (), QUERY.ring))


def test_a_receipt_is_sealed():
    tags = [bytes([n]) * 8 for n in range(MAX_RECEIPTS)]
    packet = seal_receipt(KEY, 7, tags)
    receipt = unpack_down(packet)
    assert isinstance(receipt, Receipt) and receipt.tags == tuple(tags) and receipt.count == 7
    assert len(packet) == receipt_bytes(MAX_RECEIPTS)
    assert is_genuine(KEY, receipt) and not is_genuine(bytes(32), receipt)


def test_the_window_of_now():
    windows = [PassWindow(100, 50, 1000, 8), PassWindow(200, 10, 77, 8)]
    assert present(windows, 99.9) is None and present(windows, 150) is None
    assert present(windows, 100) == windows[0] and present(windows, 209.9) == windows[1]
    assert (
        windows[0].left(90) == (1000, 50.0) and windows[0].left(125) == (500, 25.0) and windows[0].left(151) == (0, 0.0)
    )
    assert "1970-01-01T00:03:20Z" in no_window(windows, 160)
    assert "is over" in no_window(windows, 300) and "has come up" in no_window([], 0)
