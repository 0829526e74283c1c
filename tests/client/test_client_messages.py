"""Messages between sessions over real packets, a virtual clock and a seed: exactly once, byte for byte, or a timeout."""

import random
from collections import deque

import pytest
from fake_network import FakeNetwork

from fastmix.client.events import Message, Sent, TimedOut
from fastmix.client.fragments import MESSAGE_LIMIT
from fastmix.client.outbox import RESENDS_MAX
from fastmix.errors import ConfigError
from fastmix.packet.verdict import Verdict


def send_all(net, sizes, seconds=300.0, surbs=0):
    """Sends messages of these sizes from client 0 to client 1; returns the contents by message id."""
    draw = random.Random(net.seed)
    contents = {}
    for size in sizes:
        data = draw.randbytes(size)
        contents[net.sessions[0].send(net.now, net.sessions[1].address, data, net.now + seconds, surbs)] = data
    assert net.run(seconds, lambda: len(net.of(0, Sent)) == len(sizes)), net.sessions[0].counters
    return contents


def check_exactly_once(net, contents):
    received = net.of(1, Message)
    assert {message.id: message.data for message in received} == contents
    assert len(received) == len(contents)
    for session in net.sessions:
        assert session.counters.difference() == 0


@pytest.mark.parametrize(
    ("geometry", "sizes"),
    [
        ("wan", [0, 1, 733, 734, 735, 959, 960, 961, 995, 996, 997, 1920, 1921, 5000, 65536]),
        ("jumbo", [0, 1, 1785, 1786, 1787, 2012, 2013, 2048, 2049, 4024, 65536]),
    ],
)
def test_every_size_arrives_once_and_nothing_is_resent(geometry, sizes):
    net = FakeNetwork(geometry=geometry)
    contents = send_all(net, sizes)
    check_exactly_once(net, contents)
    assert net.sessions[0].counters.fragments_retransmitted == 0
    for session in net.sessions:
        assert not session.counters.dropped


def test_the_largest_message():
    net = FakeNetwork(send_rate=2000.0)
    check_exactly_once(net, send_all(net, [MESSAGE_LIMIT]))
    assert net.sessions[0].counters.fragments_retransmitted == 0
    with pytest.raises(ValueError, match="1048576 bytes"):
        net.sessions[0].send(net.now, net.sessions[1].address, bytes(MESSAGE_LIMIT + 1), net.now + 1)


@pytest.mark.parametrize("seed", range(4))
def test_losses_and_duplicates(seed):
    net = FakeNetwork(seed=seed, loss=0.08, duplicate=0.1, mean_delay=0.01, send_rate=200.0)
    contents = send_all(net, [0, 1, 700, 1500, 8000, 30000])
    net.run(1.0)
    check_exactly_once(net, contents)
    assert net.lost > 0
    assert net.sessions[0].counters.fragments_retransmitted > 0
    assert all(sent.n_retransmitted <= RESENDS_MAX * sent.n_fragments for sent in net.of(0, Sent))
    drops = [session.counters.dropped for session in net.sessions]
    assert sum(drop[Verdict.DROP_REPLAY] for drop in drops) > 0
    assert set(drops[0]) | set(drops[1]) <= {Verdict.DROP_REPLAY, Verdict.DROP_UNKNOWN_SURB}


def test_a_dead_network_times_out():
    net = FakeNetwork(loss=1.0, mean_delay=0.005, send_rate=100.0)
    net.sessions[0].send(net.now, net.sessions[1].address, bytes(2000), net.now + 30)
    assert net.run(31.0, lambda: bool(net.of(0, TimedOut)))
    (late,) = net.of(0, TimedOut)
    assert (late.n_fragments, late.n_acknowledged) == (3, 0)
    assert late.n_retransmitted == RESENDS_MAX * 3
    assert not net.events[1]


def test_both_ways_and_between_three():
    net = FakeNetwork(clients=3)
    contents = {}
    for i in range(12):
        a, b = net.sessions[i % 3], net.sessions[(i + 1) % 3]
        data = random.Random(i).randbytes(300 * i)
        contents[a.send(net.now, b.address, data, net.now + 60)] = data
    assert net.run(60, lambda: sum(len(net.of(i, Sent)) for i in range(3)) == 12)
    received = [message for i in range(3) for message in net.of(i, Message)]
    assert {message.id: message.data for message in received} == contents


@pytest.mark.parametrize(("loss", "size"), [(0.0, 10), (0.0, 20000), (0.08, 10), (0.08, 20000)])
def test_answers_arrive_once_and_leave_no_trace_of_the_asker(loss, size):
    net = FakeNetwork(seed=7, loss=loss, mean_delay=0.01, send_rate=200.0)
    asker, answerer = net.sessions
    asked = asker.send(net.now, answerer.address, b"what?", net.now + 200, asker.surbs_for(size))
    assert net.run(100, lambda: bool(net.of(1, Message)))
    (message,) = net.of(1, Message)
    assert message.data == b"what?"
    assert message.n_surbs == asker.surbs_for(size)
    assert message.in_reply_to is None
    assert asker.address.peer_id not in repr(message).encode()
    data = random.Random(size).randbytes(size)
    answer = answerer.reply(net.now, message, data, net.now + 100)
    assert net.run(100, lambda: bool(net.of(1, Sent)))
    (back,) = net.of(0, Message)
    assert (back.id, back.data, back.in_reply_to) == (answer, data, asked)
    if not loss:
        assert answerer.counters.fragments_retransmitted == 0


def test_a_message_is_answered_once():
    net = FakeNetwork(send_rate=50.0, mean_delay=0.01)
    asker, answerer = net.sessions
    asker.send(net.now, answerer.address, b"?", net.now + 20, 8)
    assert net.run(20, lambda: bool(net.of(1, Message)))
    (message,) = net.of(1, Message)
    more = Message(b"", message.id, None, deque(list(message.surbs)[4:]))
    answerer.reply(net.now, message, b"one", net.now + 20)
    with pytest.raises(ValueError, match="needs 1 SURBs and the message has 0 left"):
        answerer.reply(net.now, message, b"two", net.now + 20)
    answerer.reply(net.now, more, b"three", net.now + 5)
    net.run(6)
    assert len(net.of(0, Message)) == 1
    assert len(net.of(1, Sent)) == 1
    assert asker.counters.dropped[Verdict.DROP_MESSAGE_FORMAT] > 0


def test_a_message_without_surbs_cannot_be_answered():
    net = FakeNetwork()
    net.sessions[0].send(net.now, net.sessions[1].address, b"", net.now + 20)
    assert net.run(20, lambda: bool(net.of(1, Message)))
    with pytest.raises(ValueError, match="surbs=1 or more"):
        net.sessions[1].reply(net.now, net.of(1, Message)[0], b"", net.now + 20)


def test_priority_classes_are_indices_of_the_route():
    net = FakeNetwork(classes=4)
    for class_ in range(4):
        net.sessions[0].send(net.now, net.sessions[1].address, bytes([class_]), net.now + 20, class_=class_)
    assert net.run(20, lambda: len(net.of(1, Message)) == 4)
    with pytest.raises(ConfigError, match="classes 0 to 3"):
        net.sessions[0].send(net.now, net.sessions[1].address, b"", net.now + 20, class_=4)


def test_the_same_seed_is_the_same_run():
    def trace(seed):
        net = FakeNetwork(seed=seed, loss=0.05, mean_delay=0.01, send_rate=200.0)
        contents = send_all(net, [10, 4000])
        return net.now, contents, [session.counters.as_dict() for session in net.sessions]

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)
