"""Clients follow the slots that descriptors list; what no key is published for waits, and it is said which node's is missing."""

import asyncio
import logging
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastmix import BatchTimeout, NetworkFailure
from fastmix.cli.main import main
from fastmix.client import Address, Client
from fastmix.client.draw import Draw
from fastmix.client.events import TimedOut
from fastmix.client.node_keys import FixedKeys, SlotKeys
from fastmix.client.session import Session
from fastmix.descriptor import NOBODY, Descriptor, write_descriptor
from fastmix.errors import ConfigError
from fastmix.keys.slots import SlotTimes
from fastmix.plan import NetworkPlan, plan_network, public_of

S = 1_000_000_000
TIMES = SlotTimes(10 * S, 2 * S, 8 * S)
NOW = 10_013 * S
"""3 s into slot 1001: packets are built for it and for the one before."""


@pytest.fixture
def plan(tmp_path: Path) -> NetworkPlan:
    """Two nodes a layer, whose descriptors list slots 1000 to 1004."""
    layers = [[(f"127.0.0.1{layer}", 9 + at) for at in range(2)] for layer in (1, 2, 3)]
    made = plan_network(layers, rotates=True, entropy=random.Random(1).randbytes).write(tmp_path / "network")
    publish(made, range(6))
    return made


def publish(plan: NetworkPlan, numbers: Iterable[int], first: int = 1000, n: int = 5, times: SlotTimes = TIMES) -> None:
    for number in numbers:
        publics = tuple(public_of(bytes([number + 1, slot % 256]) * 16) for slot in range(first, first + n))
        descriptor = Descriptor(number, times, first, publics, 4_000_000_000 * S)
        path = plan.network.path.parent / plan.network.node(number).descriptor
        write_descriptor(path, descriptor, plan.identities[number])


def public(number: int, slot: int) -> bytes:
    return public_of(bytes([number + 1, slot % 256]) * 16)


class Wall:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = NOW

    def __call__(self) -> int:
        return self.now_ns


def session_of(plan: NetworkPlan, wall: Wall, at: int = 0) -> Session:
    client = plan.network.clients[at]
    draw, keys = Draw(random.Random(3).randbytes), SlotKeys(plan.network, wall)
    return Session(plan.network, client.peer_id, plan.secrets[client.peer_id], send_rate=100.0, draw=draw, keys=keys)


def address_of(plan: NetworkPlan, at: int) -> Address:
    client = plan.network.clients[at]
    return Address(client.peer_id, client.sphinx_public, client.exit)


def leaving(session: Session, begin_s: float, seconds: float = 1.0) -> list[int]:
    """Key slots of what leaves in so many ticks of 50 ms."""
    ticks = [session.leave(begin_s + at / 20) for at in range(int(seconds * 20) + 1)]
    return [key_slot for tick in ticks for key_slot in tick.key_slots.tolist()]


def test_slots_are_never_ahead_of_the_clock_and_at_most_half_the_late_grace_behind(plan: NetworkPlan) -> None:
    wall = Wall()
    keys, draw = SlotKeys(plan.network, wall), Draw(random.Random(2).randbytes)
    drawn = keys.slots(draw, 4000)
    assert set(drawn.tolist()) == {1000, 1001}
    assert 900 < (drawn == 1000).sum() < 1100, "the clock less U(0, 4 s) is in slot 1000 for a quarter of the draws"
    assert keys.surb_slot() == 1001
    assert keys.publics(1001)[2].tobytes() == public(2, 1001)
    assert [keys.accepts(slot) for slot in (999, 1000, 1001, 1002)] == [False, True, True, False]
    wall.now_ns += 3 * S
    assert keys.accepts(1002), "it opens at 18 s, and who built for it may be ahead by the early grace of 2 s"
    wall.now_ns -= 3 * S
    assert keys.accepts_byte(1000 & 0xFF)
    assert not keys.accepts_byte(0)
    wall.now_ns = 10_018 * S
    keys.look()
    assert set(keys.slots(draw, 300).tolist()) == {1001}
    assert [keys.accepts(slot) for slot in (1000, 1001, 1002)] == [False, True, True]


def test_packets_of_one_tick_have_slots_of_their_own(plan: NetworkPlan) -> None:
    """So that a first hop cannot tell by them which are of one kind."""
    session = session_of(plan, Wall())
    session.send(0.0, address_of(plan, 1), bytes(20_000), 60.0)
    seen = leaving(session, 0.0, 2.0)
    assert session.counters.covers_sent
    assert set(seen) == {1000 & 0xFF, 1001 & 0xFF}


def test_what_is_published_anew_is_read(plan: NetworkPlan) -> None:
    wall = Wall()
    keys = SlotKeys(plan.network, wall)
    publish(plan, range(6), 1008)
    wall.now_ns = 10_099 * S
    keys.look()
    assert not keys.lacking
    assert keys.publics(1009)[1].tobytes() == public(1, 1009)


def test_a_slot_whose_pair_was_lost_has_no_key(plan: NetworkPlan) -> None:
    descriptor = Descriptor(0, TIMES, 1000, (public(0, 1000), NOBODY, public(0, 1002)), 0)
    assert [descriptor.public(slot) for slot in range(1000, 1003)] == [public(0, 1000), None, public(0, 1002)]


def test_routes_go_around_a_node_whose_keys_have_run_out(plan: NetworkPlan, caplog: pytest.LogCaptureFixture) -> None:
    wall = Wall()
    session = session_of(plan, wall)
    publish(plan, {0, 1, 3, 4, 5}, n=100)
    wall.now_ns = 10_099 * S
    with caplog.at_level(logging.INFO):
        firsts = {node for at in range(40) for node in session.leave(at / 20).nodes.tolist()}
    assert "node 2 has published no key of slot 1009" in caplog.text
    assert firsts == {0, 1, 4}, "both of layer 1, and the exit"
    assert not session.problem
    session.send(2.0, address_of(plan, 1), b"x", 60.0)
    publish(plan, {2}, n=100)
    wall.now_ns += 2 * S
    with caplog.at_level(logging.INFO):
        session.leave(3.0)
    assert "node 2 has keys again" in caplog.text


@pytest.mark.parametrize("gone", [{2, 3}, {0, 1}, {4}])
def test_without_a_way_back_nothing_leaves_and_messages_wait(plan: NetworkPlan, gone: set[int]) -> None:
    wall = Wall()
    session = session_of(plan, wall)
    session.send(0.0, address_of(plan, 1), b"waits", 1000.0)
    publish(plan, set(range(6)) - gone, n=100)
    wall.now_ns = 10_099 * S
    assert not leaving(session, 0.0, 5.0)
    wanted = rf"no route to node [45] can be used: .*node-{min(gone)}: node {min(gone)} has published no key .* descriptor anew"
    with pytest.raises(NetworkFailure, match=wanted):
        session.send(5.0, address_of(plan, 1), b"another", 60.0)
    assert session.counters.originated == 0
    publish(plan, gone, n=100)
    wall.now_ns += 2 * S
    n_covers = session.counters.covers_sent
    sent = leaving(session, 6.0, 2.0)
    assert len(sent) == session.counters.covers_sent - n_covers + 1
    assert session.counters.surbs_made == 1, "the message has left, with the SURB of its acknowledgement"


def test_one_exit_without_keys_holds_up_only_its_own(plan: NetworkPlan) -> None:
    """Client 1 is at node 5: what is for it waits, what is for client 0 itself, at node 4, leaves; then the deadline says why."""
    wall = Wall()
    session = session_of(plan, wall)
    session.send(0.0, address_of(plan, 1), b"waits", 20.0)
    session.send(0.0, address_of(plan, 0), b"leaves", 1000.0)
    publish(plan, {0, 1, 2, 3, 4}, n=100)
    wall.now_ns = 10_099 * S
    leaving(session, 0.0, 2.0)
    assert session.counters.surbs_made == 1
    with pytest.raises(NetworkFailure, match="node 5 has published no key"):
        session.send(5.0, address_of(plan, 1), b"", 60.0)
    session.leave(20.5)
    (late,) = [event for event in session.events() if isinstance(event, TimedOut)]
    assert (late.n_acknowledged, late.n_retransmitted) == (0, 0)
    assert "node 5 has published no key" in late.why


def test_a_descriptor_that_cannot_be_used_leaves_the_one_before(plan: NetworkPlan, caplog: pytest.LogCaptureFixture) -> None:
    wall = Wall()
    keys = SlotKeys(plan.network, wall)
    path = plan.network.path.parent / plan.network.node(1).descriptor
    path.write_bytes(b"rubbish")
    for _ in range(3):
        wall.now_ns += 2 * S
        keys.look()
    assert caplog.text.count("what node 1 published before is used on") == 1
    assert not keys.lacking
    publish(plan, {1}, times=replace(TIMES, late_ns=9 * S), n=100)
    wall.now_ns += 2 * S
    keys.look()
    assert "slots of another length" in keys.lacking[1]


def test_nodes_that_do_not_agree(plan: NetworkPlan) -> None:
    publish(plan, {1}, times=SlotTimes(20 * S, S, 8 * S))
    told = "nodes 0, 2, 3, 4, 5: slot 10s, early 2s, late 8s; node 1: slot 20s, early 1s, late 8s: give all the same"
    with pytest.raises(ConfigError, match=f"slots of different lengths: {told}"):
        SlotKeys(plan.network, Wall())


def test_the_check_of_a_network_sees_it(plan: NetworkPlan, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where some have published nothing."""
    publish(plan, {1}, times=SlotTimes(20 * S, S, 8 * S))
    for number in (2, 3, 4, 5):
        (plan.network.path.parent / plan.network.node(number).descriptor).unlink()
    assert main(["network", "check", str(plan.network.path)]) == 2
    assert "node 0: slot 10s, early 2s, late 8s; node 1: slot 20s" in capsys.readouterr().err
    publish(plan, {1})
    assert main(["network", "check", str(plan.network.path)]) == 0


async def test_a_client_says_whose_keys_are_missing(plan: NetworkPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmix.client.node_keys.REREAD_NS", 0)
    now = TIMES.number(time.time_ns())
    publish(plan, range(6), now - 2, 20)
    client, secret = plan.network.clients[0], plan.secrets[plan.network.clients[0].peer_id]
    async with Client(plan.network, client.peer_id, secret, bind=("127.0.0.1", 0)) as one:
        sending = [asyncio.create_task(act(address_of(plan, 1), b"x", timeout=1.0)) for act in (one.send, one.request)]
        await asyncio.sleep(0)
        publish(plan, range(6), 1000)
        for act in (one.send, one.request):
            with pytest.raises(NetworkFailure, match="has published no key of slot"):
                await act(address_of(plan, 1), b"x")
        for task, words in zip(sending, ("not acknowledged", "not answered"), strict=True):
            with pytest.raises(BatchTimeout, match=f"{words} within 1 s: .*has published no key of slot"):
                await task


def test_keys_without_an_end() -> None:
    fixed = FixedKeys(plan_network([[("10.0.0.1", 9)], [("10.0.0.2", 9)], [("10.0.0.3", 9)]]).network)
    assert fixed.slots(Draw(), 3).tolist() == [0, 0, 0]
    assert fixed.surb_slot() == 0
    assert fixed.accepts(0)
    assert not fixed.accepts(1)
    assert np.array_equal(fixed.publics(0)[1], np.frombuffer(fixed.network.node(1).sphinx_public, np.uint8))
