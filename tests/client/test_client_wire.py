"""Links of a client: every bad datagram has its verdict, and counters go on after a restart."""

import os
import random
import resource
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from fake_network import make_network

from fastmix.client.counters import ClientCounters
from fastmix.client.packets import Departures
from fastmix.client.session import Session
from fastmix.client.wire import Wire
from fastmix.errors import ConfigError, CryptoError, ResourceExhausted
from fastmix.links.channel import Channel
from fastmix.links.reservations import BLOCK, counter_files
from fastmix.links.static import StaticLinkRoots
from fastmix.packet.geometry import BATCH_MAX
from fastmix.packet.verdict import Verdict
from fastmix.plan import plan_network
from fastmix.udp._rings import MemoryIo
from fastmix.udp.address import address_pair, pack_address

FROM = pack_address("127.0.0.1", 9)


@pytest.fixture
def plan(tmp_path):
    places = [("127.0.0.1", 4000 + i) for i in range(6)]
    return plan_network([places[:2], places[2:4], places[4:]], 1).write(tmp_path / "network")


@pytest.fixture
def peer_id(plan):
    return plan.network.clients[0].peer_id


def wire_of(plan, tmp_path, geometry=None):
    counters = ClientCounters()
    return Wire(plan.network, plan.network.clients[0].peer_id, counters), counters


def node_end(plan, number):
    """The node's end of its link to the client."""
    roots = StaticLinkRoots(plan.network, number).roots(0)
    root = next(root for root in roots if root.address is None)
    return Channel(root.recv_root, root.send_root, root.receiver_index_in, root.receiver_index_out, plan.network.geometry)


def departures(nodes, key_slot=0):
    packets = np.frombuffer(random.Random(len(nodes)).randbytes(1200 * len(nodes)), np.uint8).reshape(-1, 1200)
    return Departures(np.array(nodes), packets, np.full(len(nodes), key_slot, np.uint8))


def test_frames_reach_the_node_that_the_packet_names(plan, tmp_path):
    wire, counters = wire_of(plan, tmp_path)
    io = MemoryIo(1000, 1300)
    nodes = [0, 1, 4, 1, 0, 2, 77] * 50
    leaving = departures(nodes, key_slot=3)
    wire.send(io, leaving)
    assert counters.sent == 250
    assert counters.dropped == {Verdict.DROP_NO_LINK: 100}
    ends = {number: node_end(plan, number) for number in (0, 1, 4)}
    frames = io.pop_sent()
    wanted = [(node, packet) for node, packet in zip(nodes, leaving.packets, strict=True) if node in ends]
    for (address, frame), (node, packet) in zip(frames, wanted, strict=True):
        assert address_pair(address) == plan.network.node(node).address
        verdict, key_slots, opened = ends[node].open(np.frombuffer(frame, np.uint8)[np.newaxis])
        assert (verdict[0], key_slots[0]) == (Verdict.OK, 3)
        assert (opened[0] == packet).all()


def test_every_bad_datagram_has_its_verdict(plan, tmp_path):
    wire, counters = wire_of(plan, tmp_path)
    exit_ = node_end(plan, plan.network.clients[0].exit)
    packets = departures([0] * 2).packets
    good, other_slot = exit_.seal(packets)[0].tobytes(), exit_.seal(packets, 9)[0].tobytes()
    flipped = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in (4, 11, 12, 600, 1231)]
    bad = {
        Verdict.DROP_LENGTH: [b"", b"x", good[:-1], good + b"x", bytes(1300)],
        Verdict.DROP_OTHER_GEOMETRY: [bytes(2284)],
        Verdict.DROP_UNKNOWN_INDEX: [random.Random(1).randbytes(1232), bytes([good[0] ^ 1]) + good[1:]],
        Verdict.DROP_LINK_AUTH: flipped,
        Verdict.DROP_LINK_REPLAY: [good, good],
        Verdict.DROP_KEY_SLOT: [other_slot],
    }
    io = MemoryIo(100, 2300)
    assert wire.receive(io) is None
    for datagram in [good, *(datagram for each in bad.values() for datagram in each)]:
        assert io.push(datagram, FROM)
    opened = wire.receive(io)
    assert opened.tolist() == packets[:1].tolist()
    # A flipped counter may also unmask to one beyond the root's end.
    auth = counters.dropped.pop(Verdict.DROP_LINK_EXHAUSTED, 0) + counters.dropped[Verdict.DROP_LINK_AUTH]
    counters.dropped[Verdict.DROP_LINK_AUTH] = auth
    assert counters.dropped == {verdict: len(each) for verdict, each in bad.items()}
    assert counters.received == 1 + counters.dropped.total()


def test_more_than_a_batch_waits_for_the_next_call(plan, tmp_path):
    wire, counters = wire_of(plan, tmp_path)
    io = MemoryIo(1000, 1300)
    for frame in node_end(plan, 0).seal(departures([0] * (BATCH_MAX + 5)).packets):
        io.push(frame, FROM)
    assert [len(wire.receive(io)), len(wire.receive(io)), wire.receive(io)] == [BATCH_MAX, 5, None]
    assert counters.received == BATCH_MAX + 5


def test_counters_never_come_again_after_a_restart(plan, tmp_path):
    seen = set()
    end = node_end(plan, 0)
    for _ in range(3):
        wire, _ = wire_of(plan, tmp_path)
        io = MemoryIo(100, 1300)
        wire.send(io, departures([0] * 5))
        wire.close()
        frames = np.stack([np.frombuffer(frame, np.uint8) for _, frame in io.pop_sent()])
        verdicts, steps, seqs = end.counters(frames)
        assert not verdicts.any()
        pairs = set(zip(steps.tolist(), seqs.tolist(), strict=True))
        assert not pairs & seen
        seen |= pairs
    assert {seq for _, seq in seen} == set(range(15)), "an end in order wastes none"


def test_a_fork_that_closes_settles_nothing(plan, tmp_path):
    wire, _ = wire_of(plan, tmp_path)
    files = counter_files(plan.network, plan.network.clients[0].peer_id)
    before = [path.read_bytes() for path in files]
    child = os.fork()
    if child == 0:
        wire.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert [path.read_bytes() for path in files] == before
    with pytest.raises(ConfigError, match="is in use"):
        wire_of(plan, tmp_path)
    wire.close()
    assert [path.read_bytes() for path in files] != before


def test_a_start_that_fails_holds_nothing(plan, tmp_path):
    files = counter_files(plan.network, plan.network.clients[0].peer_id)
    wire_of(plan, tmp_path)[0].close()
    good = files[-1].read_bytes()
    files[-1].write_bytes(b"rubbish")
    with pytest.raises(CryptoError, match="damaged"):
        wire_of(plan, tmp_path)
    files[-1].write_bytes(good)
    with no_room_on_disk(), pytest.raises(ResourceExhausted):
        wire_of(plan, tmp_path)
    wire_of(plan, tmp_path)[0].close()


@contextmanager
def no_room_on_disk():
    """No file of this process can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_what_is_reserved(plan, tmp_path):
    wire, counters = wire_of(plan, tmp_path)
    channel = wire._neighbours[0].channel
    channel.next_step = channel.next_seq = BLOCK + 5

    io = MemoryIo(100, 1300)
    with no_room_on_disk():
        wire.send(io, departures([0] * 5))
        assert counters.sent == 5
        channel.next_seq = 2 * BLOCK - 3
        wire.send(io, departures([0] * 3))
        wire.send(io, departures([0] * 3))
        assert (counters.sent, counters.dropped) == (8, {Verdict.DROP_LINK_STALLED: 3})
    wire.send(io, departures([0] * 3))
    assert counters.sent == 11
    wire.close()


def test_one_client_at_a_time(plan, tmp_path):
    wire, _ = wire_of(plan, tmp_path)
    with pytest.raises(ConfigError, match="another node or client runs"):
        wire_of(plan, tmp_path)
    wire.close()
    wire_of(plan, tmp_path)[0].close()


def test_a_client_needs_its_exit(tmp_path):
    network, _, secrets = make_network()
    me = network.clients[0]
    without = replace(network, links=tuple(link for link in network.links if link.b != me.exit or link.a != me.peer_id))
    with pytest.raises(ConfigError, match="no link to its exit, node 4"):
        Session(without, me.peer_id, secrets[0])
    with pytest.raises(ConfigError, match="does not belong"):
        Session(network, me.peer_id, secrets[1])
    lonely = replace(network, links=tuple(link for link in network.links if link.a != 0 and link.a != 1))
    with pytest.raises(ConfigError, match="no route"):
        Session(lonely, me.peer_id, secrets[0])
