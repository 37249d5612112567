"""The sending state machine by itself: what it sends next, and when it stops."""

import hashlib

from onboard.downlink.link.sender import LinkSettings, Sender, SendPrompt, SendSegment
from onboard.downlink.link.wire import EVERYTHING, SEGMENT_BYTES, SEGMENT_OVERHEAD, Report, Transfer

SHAS = [hashlib.sha256(bytes([i])).digest() for i in range(3)]
SIZE = 3 * SEGMENT_BYTES
PLENTY = 10**9


def sender(sent=(0, 0, 0), budget=PLENTY, acknowledged=True, number=0):
    products = [(sha, SIZE, n) for sha, n in zip(SHAS, sent, strict=True)]
    return Sender(products, number, budget, acknowledged, 0.0)


def segments(one, now=0.0):
    """What it sends now, without prompts: (place, index)."""
    found = []
    while (action := one.next(now)) is not None:
        if isinstance(action, SendSegment):
            found.append((action.place, action.index))
    return found


def nak(place, *ranges, seen):
    return Report(0, seen % 16_384, (), ((Transfer(SHAS[place][:8], SIZE), ranges),))


def ack(*places, seen=0):
    return Report(0, seen, tuple(SHAS[p] for p in places), ())


ALL = [(place, index) for place in range(3) for index in range(3)]


def test_best_first_each_segment_once():
    one = sender()
    assert segments(one) == ALL
    assert segments(one) == []
    assert not one.finished(0.5)


def test_it_is_over_when_all_is_confirmed():
    one = sender()
    segments(one)
    assert one.hear(ack(0, 2)) == [SHAS[0], SHAS[2]]
    assert one.hear(ack(0, 2)) == []
    assert not one.finished(0.1)
    one.hear(ack(1))
    assert one.finished(0.2)


def test_gaps_of_the_best_go_before_new_segments():
    one = sender()
    first = [one.next(0.0) for _ in range(5)]
    one.hear(nak(0, (1, 1), seen=first[-1].number))
    assert segments(one, 0.1)[0] == (0, 1)


def test_only_what_left_before_the_newest_packet_seen_is_sent_again():
    one = sender()
    sent = [one.next(0.0) for _ in range(3)]
    one.hear(nak(0, EVERYTHING, seen=sent[1].number))
    assert [one.next(0.1).index for _ in range(2)] == [0, 1]
    one.hear(nak(0, EVERYTHING, seen=sent[1].number))  # the same news again: both are on their way
    assert one.next(0.1).place == 1


def test_the_sequence_count_wraps():
    one = sender(number=16_384 * 3 - 1)
    sent = [one.next(0.0) for _ in range(3)]
    assert sent[-1].number == 16_384 * 3 + 1
    one.hear(nak(0, (0, 2), seen=sent[1].number))
    assert [one.next(0.1).index for _ in range(2)] == [0, 1]


def test_what_left_in_an_earlier_pass_is_asked_about_first():
    one = sender(sent=(3, 1, 0))
    prompt = one.next(0.0)
    assert isinstance(prompt, SendPrompt)
    assert [t.tag for t in prompt.transfers] == [SHAS[0][:8], SHAS[1][:8]]
    assert segments(one) == [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    one.hear(nak(0, (2, 2), seen=prompt.number))
    assert segments(one, 0.1) == [(0, 2)]


def test_the_bytes_of_the_pass_are_kept():
    budget = 4 * (SEGMENT_BYTES + SEGMENT_OVERHEAD) + 10
    one = sender(budget=budget)
    assert segments(one) == ALL[:4]
    assert one.spent_bytes <= budget
    settings = LinkSettings()
    assert not one.finished(settings.linger_s / 2)
    assert one.hear(ack(0)) == [SHAS[0]]
    assert one.finished(settings.linger_s)


def test_silence_ends_the_pass_but_not_while_there_is_something_to_send():
    one, now = sender(), 0.0
    one.next(0.0)
    for second in range(1, 30):
        one.next(float(second))  # prompts, unanswered
        assert not one.finished(second)
    while not one.finished(now):
        segments(one, now)
        now += 1.0
    assert now < 100


def test_without_a_key_everything_goes_once():
    one = sender(acknowledged=False)
    assert [type(one.next(0.0)) for _ in range(9)] == [SendSegment] * 9
    assert one.next(100.0) is None
    assert one.finished(0.0)


def test_naks_that_make_no_sense_change_nothing():
    one = sender()
    segments(one)
    one.hear(Report(0, 0, (bytes(32),), ((Transfer(b"unknown!", 5), (EVERYTHING,)),)))
    one.hear(nak(0, (2, 1), (60_000, 65_535), seen=10**6))
    assert segments(one) == []
