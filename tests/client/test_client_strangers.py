"""Strangers, and those whom we asked, fill neither table nor queue, and learn and keep nothing beyond their share."""

import os
from collections import deque

import numpy as np
import pytest
from fake_network import make_network

from fastmix import sphinx
from fastmix.client.address import Address
from fastmix.client.events import Message
from fastmix.client.fragments import RECORD_SIZE, Fragment, Kind, acknowledgement
from fastmix.client.inbox import Inbox, InboxLimits
from fastmix.client.outbox import ACKS_WAITING, Order, Outbox, Outgoing
from fastmix.client.session import Session
from fastmix.packet.verdict import Verdict

CHUNK, MEAN = 960, 0.05
SOMEBODY = Address(b"p" * 32, b"k" * 32, 4)
RECORD = bytes(RECORD_SIZE)
ASKED = b"q" * 16
OK, FULL = Verdict.OK, Verdict.DROP_SINK_FULL


def data(index=0, count=1, message_id=b"i" * 16, records=()):
    size = 10 if index == count - 1 else CHUNK
    return Fragment(Kind.DATA, message_id, index, count, (count - 1) * CHUNK + 10, records=tuple(records), body=b"d" * size)


def poll(message_id=b"i" * 16, count=2):
    return Fragment(Kind.POLL, message_id, 0, count, (count - 1) * CHUNK + 10, records=(RECORD,))


def ids(n, begin=0):
    return [i.to_bytes(16, "little") for i in range(begin, begin + n)]


def message(size=10, message_id=b"m" * 16, to=SOMEBODY):
    return Outgoing(message_id, memoryview(bytes(size)), CHUNK, 0, to, None, 1e9, 0.0)


def test_polls_of_unknown_messages_take_no_room_of_messages():
    inbox = Inbox(MEAN, CHUNK, InboxLimits(incomplete=4, polled=8))
    for message_id in ids(100):
        assert inbox.fragment(poll(message_id), 0.0) is OK
    assert len(inbox._polled) == 8
    assert not inbox._strangers.incoming
    assert inbox.fragment(data(), 0.1, ASKED, SOMEBODY) is OK
    assert len(inbox.whole) == 1


def test_a_poll_that_overtakes_its_message_is_answered():
    for count in (1, 2):
        inbox = Inbox(MEAN, CHUNK)
        inbox.fragment(poll(count=count), 0.0)
        for index in range(count):
            inbox.fragment(data(index, count), 0.1)
        (order,) = inbox.orders
        assert (order.record, order.fragment.complete) == (RECORD, True)
    inbox.fragment(poll(b"j" * 16), 0.0)
    inbox.fragment(data(0, 2, b"j" * 16), 0.1)
    inbox.expire(1.0)
    assert not inbox.orders[-1].fragment.complete


def test_the_oldest_of_a_stranger_gives_way():
    inbox = Inbox(MEAN, CHUNK, InboxLimits(incomplete=2, size=3 * CHUNK))
    first, second, third = ids(3)
    for message_id in (first, second, third):
        assert inbox.fragment(data(0, 3, message_id), 0.0) is OK
    assert [key[1] for key in inbox._strangers.incoming] == [second, third]
    for index in (1, 2):
        assert inbox.fragment(data(index, 3, third), 0.0) is OK
    assert [whole.key[1] for whole in inbox.whole] == [third]
    assert not inbox._strangers.incoming
    assert inbox._strangers.size == 2 * CHUNK + 10


def test_what_strangers_fill_does_not_hinder_answers():
    inbox = Inbox(MEAN, CHUNK, InboxLimits(waiting=3, size=4 * CHUNK))
    assert [inbox.fragment(data(message_id=message_id), 0.0) for message_id in ids(5)] == [OK] * 3 + [FULL] * 2
    assert inbox.fragment(data(), 0.0, ASKED, SOMEBODY) is OK
    inbox.taken(inbox.whole[0].key)
    inbox.taken(inbox.whole[0].key)
    assert [inbox.fragment(data(message_id=message_id), 0.0) for message_id in ids(2, 9)] == [OK, FULL]


def test_reply_records_are_accounted_until_they_are_taken():
    n = 20
    total = n * RECORD_SIZE
    inbox = Inbox(MEAN, CHUNK, InboxLimits(size=2 * total))
    count = -(-total // CHUNK)
    verdicts = []
    for message_id in ids(3):
        for index in range(count):
            body = bytes(min(CHUNK, total - index * CHUNK))
            verdicts.append(inbox.fragment(Fragment(Kind.DATA, message_id, index, count, total, n, body=body), 0.0))
    assert len(inbox.whole) == 2
    assert FULL in verdicts
    inbox.taken(inbox.whole[0].key)
    assert inbox._strangers.size == total


def test_one_acknowledgement_a_message_waits_and_all_are_bounded():
    outbox = Outbox(MEAN)
    for message_id in ids(ACKS_WAITING + 50):
        for record in (b"old", b"new"):
            outbox.add_ack(Order(acknowledgement(message_id, bytearray(b"\1")), record=record))
    assert outbox.n_acks == ACKS_WAITING
    assert next(outbox.take(1, 0.0)).record == b"new"


def test_acknowledgements_take_every_other_slot():
    outbox = Outbox(MEAN)
    outbox.add(message(8000))
    for message_id in ids(50):
        outbox.add_ack(Order(acknowledgement(message_id, bytearray(b"\1")), record=RECORD))
    kinds = [order.fragment.kind for order in outbox.take(12, 0.0)]
    assert kinds == [Kind.ACK, Kind.DATA] * 6


def test_a_recipient_poisons_its_own_round_trip_only():
    outbox = Outbox(MEAN)
    other = Address(b"o" * 32, b"k" * 32, 4)
    outbox.add(message(message_id=b"a" * 16))
    outbox.add(message(message_id=b"b" * 16, to=other))
    for _ in range(20):
        outbox.sample(b"a" * 16, 3500.0)
        outbox.sample(b"unknown", 3500.0)
    assert len(list(outbox.take(2, 0.0))) == 2
    outbox.expire(60 * MEAN)
    assert [order.about for order in outbox.take(9, 4.0)] == [b"b" * 16]
    outbox.expire(600 * MEAN)
    assert b"a" * 16 in [order.about for order in outbox.take(9, 40.0)]


def test_a_hostile_answerer_gets_no_more_surbs_than_its_answer_has_fragments():
    inbox = Inbox(MEAN, CHUNK)
    now, count = 0.0, 40
    for index in range(count - 1):
        inbox.fragment(data(index, count), now, ASKED, SOMEBODY)
        for _ in range(40):
            now += 0.5
            inbox.expire(now)
    assert 0 < sum(order.n_fresh for order in inbox.orders) <= count


def test_fresh_surbs_of_an_answer_are_bounded():
    answer = Outgoing(b"a" * 16, memoryview(bytes(3000)), CHUNK, 0, None, deque([RECORD]), 1e9, 0.0)
    for _ in range(100):
        answer.refill((RECORD,) * 4)
    assert len(answer.records) == 9


@pytest.mark.parametrize(("index", "slot", "verdict"), [(1, 0, None), (2, 0, True), (1, 7, True), (999, 0, True)])
def test_surbs_that_begin_elsewhere_than_in_layer_1_are_refused(index, slot, verdict):
    network, _, secrets = make_network()
    me = network.clients[0]
    session = Session(network, me.peer_id, secrets[0])
    record = slot.to_bytes(4, "little") + index.to_bytes(2, "little") + bytes(220)

    def arrive(fragment):
        text = np.frombuffer(fragment.encode().ljust(network.geometry.data_size, b"\0"), np.uint8)[np.newaxis]
        public = np.frombuffer(me.sphinx_public, np.uint8).reshape(1, 1, 32)
        session.arrive(0.0, sphinx.build_requests(text, public, np.zeros((1, 0), np.uint16)))

    arrive(Fragment(Kind.DATA, os.urandom(16), 0, 1, 5, records=(record,), body=b"hello"))
    assert session.counters.dropped == ({Verdict.DROP_MESSAGE_FORMAT: 1} if verdict else {})
    session.events()
    arrive(Fragment(Kind.DATA, os.urandom(16), 0, 1, 5 + RECORD_SIZE, 1, body=record + b"hello"))
    (came,) = session.events()
    assert (came.data, came.n_surbs) == (b"hello", 0 if verdict else 1)


def test_reprs_show_neither_content_nor_surbs():
    secret = b"secret-content"
    fragment = Fragment(Kind.DATA, b"i" * 16, 0, 1, len(secret), records=(secret,), body=secret)
    inbox = Inbox(MEAN, CHUNK)
    inbox.fragment(fragment, 0.0)
    shown = [fragment, Order(fragment, record=secret), inbox.whole[0], Message(secret, b"i" * 16), message()]
    shown.append(Outgoing(b"a" * 16, memoryview(secret), CHUNK, 0, None, deque([secret]), 1e9, 0.0))
    for each in shown:
        assert "secret" not in repr(each)
        assert "memory" not in repr(each)
