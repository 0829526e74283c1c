"""The rules of senders and recipients, and the bounds of what strangers can make a client keep."""

from collections import deque
from dataclasses import replace

import pytest

from fastmix.client.address import Address
from fastmix.client.fragments import RECORD_SIZE, Fragment, Kind, acknowledgement
from fastmix.client.inbox import Inbox
from fastmix.client.outbox import POLL_EVERY, Outbox, Outgoing, RoundTrip
from fastmix.client.surbs import Surb, SurbBook, Use
from fastmix.packet.verdict import Verdict

CHUNK, MEAN = 960, 0.05
SOMEBODY = Address(b"p" * 32, b"k" * 32, 4)
RECORD = b"r" * RECORD_SIZE


def message(size, message_id=b"m" * 16, deadline=1e9):
    return Outgoing(message_id, memoryview(bytes(size)), CHUNK, 0, SOMEBODY, None, deadline, 0.0)


def outbox_with(*messages):
    outbox = Outbox(MEAN)
    for each in messages:
        outbox.add(each)
    return outbox


def data(index=0, count=1, message_id=b"i" * 16, records=(), last=10):
    total = (count - 1) * CHUNK + last
    size = last if index == count - 1 else CHUNK
    return Fragment(Kind.DATA, message_id, index, count, total, records=tuple(records), body=b"d" * size)


@pytest.mark.parametrize(
    ("size", "kinds"),
    [
        (0, "D1"),
        (CHUNK - RECORD_SIZE, "D1"),
        (CHUNK - RECORD_SIZE + 1, "D0 P1"),
        (CHUNK + 1, "D0 D1"),
        (POLL_EVERY * CHUNK, " ".join(["D0"] * POLL_EVERY + ["P1"])),
        (POLL_EVERY * CHUNK + 1, " ".join(["D0"] * POLL_EVERY + ["P1", "D1"])),
    ],
)
def test_where_acknowledgement_surbs_travel(size, kinds):
    orders = list(outbox_with(message(size)).take(100, 0.0))
    assert " ".join(f"{order.fragment.kind.name[0]}{order.n_ack}" for order in orders) == kinds


def test_messages_take_turns():
    outbox = outbox_with(message(5000, b"a" * 16), message(5000, b"b" * 16))
    assert [order.about[:1] for order in outbox.take(6, 0.0)] == [b"a", b"b"] * 3


def test_only_what_is_not_acknowledged_is_resent():
    sent = message(4 * CHUNK)
    outbox = outbox_with(sent)
    list(outbox.take(100, 0.0))
    outbox.acknowledge(acknowledgement(sent.message_id, bytearray(b"\1\0\1\1")), answer=False)
    assert outbox.expire(2.99) == ([], 0)
    assert outbox.expire(3.0) == ([], 1)
    assert [(order.fragment.kind, order.fragment.index) for order in outbox.take(9, 3.0)] == [(Kind.DATA, 1), (Kind.POLL, 0)]
    assert outbox.acknowledge(acknowledgement(sent.message_id, bytearray(b"\1\1\1\1")), answer=True) is None
    assert outbox.acknowledge(acknowledgement(sent.message_id, bytearray(b"\1\1\1\1")), answer=False) is sent
    assert len(outbox) == 0


def test_an_acknowledgement_of_another_count_changes_nothing():
    sent = message(4 * CHUNK)
    outbox = outbox_with(sent)
    for count in (3, 5, 2**32 - 1):
        ack = Fragment(Kind.ACK, sent.message_id, count, count, complete=True)
        assert outbox.acknowledge(ack, answer=False) is None
    assert not any(sent.acked)


def test_the_retransmission_time_follows_the_round_trip_and_grows():
    round_trip = RoundTrip(MEAN)
    assert round_trip.timeout(0) == pytest.approx(60 * MEAN)
    assert round_trip.timeout(2) == pytest.approx(60 * MEAN * 2.25)
    for _ in range(50):
        round_trip.sample(8.0)
    assert 9.0 <= round_trip.timeout(0) < 9.2
    round_trip.sample(3500.0)
    assert round_trip.timeout(0) == 600 * MEAN


def test_an_answer_waits_for_fresh_surbs():
    answer = Outgoing(b"a" * 16, memoryview(bytes(3000)), CHUNK, 0, None, deque([RECORD] * 4), 1e9, 0.0)
    outbox = outbox_with(answer)
    assert len(list(outbox.take(9, 0.0))) == 4
    outbox.expire(100.0)
    assert not list(outbox.take(9, 100.0))
    part = replace(acknowledgement(answer.message_id, bytearray(b"\1\0\1\0")), records=(RECORD, RECORD))
    outbox.acknowledge(part, answer=True)
    assert [order.fragment.index for order in outbox.take(9, 100.0)] == [1, 3]


def test_a_message_is_whole_once_and_acknowledged_each_time():
    inbox = Inbox(MEAN, CHUNK)
    for index in (2, 0, 0, 1):
        assert inbox.fragment(data(index, 3, records=[RECORD] * (index == 2)), 0.0) is Verdict.OK
    assert [whole.data for whole in inbox.whole] == [b"d" * (2 * CHUNK + 10)]
    inbox.fragment(data(1, 3), 0.0)
    inbox.fragment(data(2, 3, records=[RECORD]), 0.0)
    assert len(inbox.whole) == 1
    assert [(order.record, order.fragment.complete) for order in inbox.orders] == [(RECORD, True)] * 2


def test_a_partial_acknowledgement_after_the_wait():
    inbox = Inbox(MEAN, CHUNK)
    inbox.fragment(data(2, 3, records=[RECORD]), 10.0)
    inbox.expire(10.9)
    assert not inbox.orders
    inbox.expire(11.0)
    inbox.expire(12.0)
    (order,) = inbox.orders
    assert (order.fragment.index, order.fragment.body, order.record) == (0, b"\4", RECORD)


def test_an_answer_is_pressed_for_with_fresh_surbs():
    inbox = Inbox(MEAN, CHUNK)
    inbox.fragment(data(1, 4), 0.0, b"q" * 16, SOMEBODY)
    now, orders = 0.0, 0
    while now < 100.0:
        now += 0.5
        inbox.expire(now)
    orders = inbox.orders
    assert [order.n_fresh for order in orders] == [3, 1, 0, 0, 0, 0, 0, 0]
    assert all((order.to, order.about) == (SOMEBODY, b"q" * 16) for order in orders)


def test_fragments_that_contradict_each_other():
    inbox = Inbox(MEAN, CHUNK)
    inbox.fragment(data(0, 3), 0.0)
    assert inbox.fragment(data(0, 4), 0.0) is Verdict.DROP_MESSAGE_FORMAT


def test_surbs_serve_once_and_expire():
    book = SurbBook(kept=2, life=10.0)
    for i in range(3):
        book.add(bytes([i]), Surb(None, Use.ACK, b"m", float(i)))
    assert book.take(b"\0") is None
    assert book.take(b"\1").made == 1.0
    assert book.take(b"\1") is None
    book.expire(12.0)
    assert len(book) == 0
