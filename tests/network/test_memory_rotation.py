"""Clients and nodes of a network in memory, over many slots: nothing is lost, nothing is misrejected, every sum closes."""

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from fastmix.client.events import Message, Sent
from fastmix.config import MixingConfig
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.plan import plan_network
from fastmix.testing import UNIX_NS, MemoryClient, MemoryNetwork

S = 1_000_000_000
LAYERS = [[(f"10.0.0.{2 * layer + at}", 9) for at in range(2)] for layer in range(3)]
POLICY = KeyRotationPolicy(
    interval=timedelta(seconds=6), overlap_period=timedelta(seconds=2), backup_keys=1,
    slot=timedelta(seconds=2), early=timedelta(milliseconds=600), late=timedelta(milliseconds=3200),
)  # fmt: skip
MEAN_NS = 10_000_000
MIXING = MixingConfig(max_latency=timedelta(milliseconds=100))
EVERY_NS = 300_000_000
"""Between two messages of a client."""


def network_of(folder: Path, seed: int) -> MemoryNetwork:
    POLICY.check(3, MEAN_NS, 100_000_000)
    plan = plan_network(LAYERS, 2, mean_delay_ns=MEAN_NS, rotates=True, entropy=random.Random(seed).randbytes)
    return MemoryNetwork(
        plan.write(folder / "network"), seed=seed, mixing=MIXING, policy=POLICY, node_options={"replay_capacity": 2000}
    )


def talk(network: MemoryNetwork, clients: list[MemoryClient], until_ns: int) -> int:
    """Each client writes to the other again and again; how many messages."""
    n = 0
    while network.now_ns < until_ns:
        for one, other in (clients, clients[::-1]):
            now = network.now_ns / 1e9
            one.session.send(now, other.session.address, random.Random(n).randbytes(1500), now + 30)
            n += 1
        network.run(network.now_ns + EVERY_NS)
    return n


def run(folder: Path, seed: int, skews_ns: tuple[int, int], slots: int) -> tuple[MemoryNetwork, list[MemoryClient], int]:
    """A run over so many slots, hushed and drained at its end."""
    network = network_of(folder, seed)
    places = [("10.1.0.1", 11), ("10.1.0.2", 12)]
    members = zip(network.plan.network.clients, places, skews_ns, strict=True)
    clients = [network.join(member.peer_id, place, skew_ns=skew, send_rate=50.0) for member, place, skew in members]
    n = talk(network, clients, network.now_ns + slots * 2 * S)
    network.run(network.now_ns + 2 * S)
    for client in clients:
        client.session.hush()
    network.run(network.now_ns + 2 * S)
    return network, clients, n


def check_nothing_lost(network: MemoryNetwork, clients: list[MemoryClient], n: int) -> None:
    """Every message and acknowledgement came at once; what each layer let go is what the next received."""
    events = [event for client in clients for event in client.events]
    assert sum(isinstance(event, Sent) for event in events) == n
    assert sum(isinstance(event, Message) for event in events) == n
    assert len({event.id for event in events if isinstance(event, Message)}) == n
    metrics = [network.node(number).metrics() for number in range(6)]
    for each in metrics:
        assert each.conservation == 0
        assert each.dropped_total == 0, each.dropped
        assert (each.pooled, each.in_stage) == (0, 0)
    for client in clients:
        counters = client.session.counters
        assert counters.difference() == 0
        assert not counters.dropped
    left = sum(client.session.counters.sent for client in clients)
    assert sum(each.received for each in metrics) == left + sum(each.forwarded for each in metrics[:4])
    assert sum(each.forwarded for each in metrics[4:]) == sum(client.session.counters.received for client in clients)


def check_many_slots(folder: Path, skews_ns: tuple[int, int], slots: int) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    network, clients, n = run(folder, seed, skews_ns, slots)
    check_nothing_lost(network, clients, n)
    for node in network.nodes.values():
        assert node.keys is not None
        assert node.keys.rotation.chain.slot > POLICY.times.number(UNIX_NS + network.now_ns)


def test_many_slots_lose_nothing(tmp_path: Path) -> None:
    """With one client's clock that is ahead by half the early grace, and one that is behind."""
    check_many_slots(tmp_path, (300_000_000, -700_000_000), 4)


@pytest.mark.long
@pytest.mark.parametrize("skews_ms", [(0, 0), (300, -700)])
def test_a_hundred_slots_lose_nothing(tmp_path: Path, skews_ms: tuple[int, int]) -> None:
    check_many_slots(tmp_path, (skews_ms[0] * 1_000_000, skews_ms[1] * 1_000_000), 100)
