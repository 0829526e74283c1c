"""The bytes of fragments: the published vectors, and what strangers may send."""

import random
from collections import deque

import pytest

from fastmix.client.fragments import Fragment, Kind, acknowledged, acknowledgement, chunk_size, parse
from fastmix.client.outbox import Outgoing
from fastmix.packet.geometry import GEOMETRIES, WAN


@pytest.fixture(scope="module")
def published(vectors):
    return vectors("fastmix/fragments.json")


def test_messages_are_split_as_published(published):
    for case in published["messages"]:
        geometry = GEOMETRIES[case["geometry"]]
        records = [bytes.fromhex(record) for record in case["reply_records"]]
        stream = memoryview(b"".join(records) + bytes.fromhex(case["data"]))
        message_id = bytes.fromhex(case["message_id"])
        message = Outgoing(message_id, stream, chunk_size(geometry), len(records), None, deque([b""] * 9), 1.0, 0.0)
        made = [message.take().fragment for _ in range(message.count)]
        made[-1] = made[-1].with_records(tuple(bytes.fromhex(record) for record in case["last_records"]))
        assert [fragment.encode().ljust(geometry.data_size, b"\0").hex() for fragment in made] == case["fragments"]
        assert [parse(bytes.fromhex(fragment)) for fragment in case["fragments"]] == made


def test_acknowledgements_are_those_published(published):
    for case in published["acknowledgements"]:
        arrived = bytearray(case["count"])
        for index in case["arrived"]:
            arrived[index] = 1
        ack = acknowledgement(bytes.fromhex(case["message_id"]), arrived)
        assert ack.encode().ljust(WAN.data_size, b"\0").hex() == case["fragment"]
        assert acknowledged(parse(bytes.fromhex(case["fragment"]))) == case["arrived"]


def test_malformed_fragments_are_refused(published):
    for case in published["malformed"]:
        assert parse(bytes.fromhex(case["fragment"])) is None, case["why"]


@pytest.mark.parametrize("size", [0, 1, 2, 9, 500, 1454])
def test_acknowledgements_say_what_arrived(size):
    draw = random.Random(size)
    for chance in (0.0, 0.3, 0.9, 1.0):
        arrived = bytearray(draw.random() < chance for _ in range(size or 1))
        ack = parse(acknowledgement(bytes(16), arrived).encode().ljust(WAN.data_size, b"\0"))
        assert acknowledged(ack) == [i for i, bit in enumerate(arrived) if bit]
        assert ack.complete == all(arrived)


def test_rubbish_is_refused_or_consistent():
    """Whatever parses says the same when written again, and obeys the rules that the rest relies on."""
    draw = random.Random(5)
    good = Fragment(Kind.DATA, bytes(16), 1, 3, 2 * chunk_size(WAN) + 5, 2, body=draw.randbytes(chunk_size(WAN)))
    text = good.encode()
    n_parsed = 0
    for trial in range(20_000):
        data = bytearray(text if trial % 2 else draw.randbytes(36) + bytes(WAN.data_size - 36))
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(40)] = draw.choice((0, 1, 2, 3, 255, draw.randrange(256)))
        fragment = parse(bytes(data))
        if fragment is not None:
            n_parsed += 1
            assert fragment.encode().ljust(WAN.data_size, b"\0") == data
            assert fragment.kind != Kind.DATA or fragment.index < fragment.count <= 1455
    assert n_parsed > 100
