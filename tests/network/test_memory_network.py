"""A whole network in memory: the nodes' own compiled road under a virtual clock. A seed decides all of it."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fastmix import sphinx
from fastmix.config import ClassConfig, MixingConfig
from fastmix.links.channel import Channel
from fastmix.network import link_id
from fastmix.packet.geometry import JUMBO, WAN, Geometry
from fastmix.packet.verdict import Verdict
from fastmix.plan import NetworkPlan, plan_network
from fastmix.testing import MemoryNetwork, roots_of

LAYERS = [[("10.0.0.1", 1), ("10.0.0.2", 2)], [("10.0.0.3", 3), ("10.0.0.4", 4)], [("10.0.0.5", 5), ("10.0.0.6", 6)]]
SENDER, RECEIVER = ("10.1.0.1", 11), ("10.1.0.2", 12)
BURST, GAP_NS = 50, 5_000_000


def network_plan(geometry: Geometry, classes: int = 1) -> NetworkPlan:
    """Six nodes in three layers, a client that sends and one that receives."""
    return plan_network(LAYERS, 2, geometry=geometry, classes=classes, entropy=random.Random(5).randbytes)


@dataclass
class Traffic:
    """n packets of one client for the other, in bursts, with where each enters. Built once, used in every run."""

    plan: NetworkPlan
    n: int
    data: Any = None
    first: Any = None
    packets: Any = None

    def __post_init__(self) -> None:
        network, rng = self.plan.network, np.random.default_rng(9)
        receiver = network.clients[1]
        self.data = rng.integers(0, 256, (self.n, network.geometry.data_size), np.uint8)
        self.first, second = rng.integers(0, 2, self.n), rng.integers(2, 4, self.n)
        publics = np.zeros((self.n, 4, 32), np.uint8)
        keys = np.array([list(node.sphinx_public) for node in network.nodes], np.uint8)
        publics[:, 0], publics[:, 1], publics[:, 2] = keys[self.first], keys[second], keys[receiver.exit]
        publics[:, 3] = np.frombuffer(receiver.sphinx_public, np.uint8)
        classes = rng.integers(0, network.classes, (self.n, 2))
        targets = (np.stack([second, np.full(self.n, receiver.exit)], 1) * network.classes + classes).astype(np.uint16)
        peer_ids = np.broadcast_to(np.frombuffer(receiver.peer_id, np.uint8), (self.n, 32))
        self.packets = sphinx.build_requests(
            self.data, publics, targets, peer_ids=peer_ids, geometry=network.geometry, entropy=b"traffic"
        )


@dataclass
class Run:
    """One run of a network with that traffic: `content` is what arrived, in order."""

    traffic: Traffic
    seed: int
    mixing: MixingConfig
    arrived: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = MemoryNetwork(self.traffic.plan, seed=self.seed, mixing=self.mixing)
        self.network.listen(RECEIVER, self._receive)
        self._greet()
        self.network.run(self._send() + 200_000_000)
        self.network.drain(3_000_000_000)

    def channels(self, client: int) -> dict[bytes, Channel]:
        """A client's links by peer."""
        plan = self.traffic.plan
        return {
            root.peer: Channel(
                root.recv_root, root.send_root, root.receiver_index_in, root.receiver_index_out, plan.network.geometry
            )
            for root in roots_of(plan, plan.network.clients[client].peer_id)
        }

    def _receive(self, _now_ns: int, datagram: bytes) -> tuple[()]:
        self.arrived.append(datagram)
        return ()

    def _greet(self) -> None:
        """The receiver shows its address to its exit, by a cover packet."""
        network = self.traffic.plan.network
        exit_ = network.node(network.clients[1].exit)
        public = np.frombuffer(exit_.sphinx_public, np.uint8).reshape(1, 1, 32)
        cover = sphinx.build_covers(public, np.zeros((1, 0), np.uint16), geometry=network.geometry, entropy=b"hello")
        self.exit_link = self.channels(1)[link_id(exit_.number)]
        self.network.send(RECEIVER, exit_.address, self.exit_link.seal(cover)[0].tobytes())

    def _send(self) -> int:
        """All bursts; when the last one goes."""
        traffic, links, at_ns = self.traffic, self.channels(0), self.network.now_ns + 20_000_000
        for begin in range(0, traffic.n, BURST):
            for number in (0, 1):
                rows = begin + np.flatnonzero(traffic.first[begin : begin + BURST] == number)
                address = traffic.plan.network.node(number).address
                for frame in links[link_id(number)].seal(traffic.packets[rows]) if len(rows) else ():
                    self.network.send(SENDER, address, frame.tobytes(), at_ns)
            at_ns += GAP_NS
        return at_ns

    def delivered(self) -> set[bytes]:
        """The messages that arrived, opened by link and by packet; each once."""
        if not self.arrived:
            return set()
        plan = self.traffic.plan
        frames = np.frombuffer(b"".join(self.arrived), np.uint8).reshape(len(self.arrived), -1)
        verdicts, _, packets = self.exit_link.open(frames)
        assert (verdicts == Verdict.OK).all()
        seen = sphinx.unwrap(packets, plan.secrets[plan.network.clients[1].peer_id], geometry=plan.network.geometry)
        assert (seen.verdict == Verdict.OK).all()
        size = plan.network.geometry.data_size
        content = {row[:size].tobytes() for row in seen.packets}
        assert len(content) == len(frames)
        return content


def check_sums(run: Run) -> None:
    """What each layer let go is what the next received; nothing is missing anywhere."""
    nodes = {number: run.network.node(number).metrics() for number in range(6)}
    n = run.traffic.n
    for metrics in nodes.values():
        assert metrics.conservation == 0
        assert (metrics.pooled, metrics.in_stage, metrics.kernel_drop_events, metrics.strategy_faults) == (0, 0, 0, 0)
    drained = sum(metrics.dropped["drop_drained"] for metrics in nodes.values())
    assert sum(metrics.dropped_total for metrics in nodes.values()) == drained
    assert sum(nodes[number].received for number in (0, 1)) == n
    for layer in (0, 2):
        forwarded = sum(nodes[number].forwarded for number in (layer, layer + 1))
        assert sum(nodes[number].received for number in (layer + 2, layer + 3)) == forwarded + (layer == 2)
    assert sum(nodes[number].absorbed_cover for number in range(6)) == 1
    assert sum(nodes[number].forwarded for number in (4, 5)) == len(run.arrived) == n - drained
    for number in range(6):
        assert run.network.node(number).plane.road.free_count == len(run.network.node(number).arena["state"])


def test_ten_thousand_packets_twice_the_same() -> None:
    traffic = Traffic(network_plan(WAN), 10_000)
    runs = [Run(traffic, 1, MixingConfig()) for _ in range(2)]
    assert runs[0].network.digest == runs[1].network.digest
    assert runs[0].arrived == runs[1].arrived
    assert runs[0].delivered() == {row.tobytes() for row in traffic.data}
    check_sums(runs[0])


def test_another_seed_is_another_run() -> None:
    traffic = Traffic(network_plan(WAN), 200)
    digests = {Run(traffic, seed, MixingConfig()).network.digest for seed in (1, 2, 1)}
    assert len(digests) == 2


PRIORITY = MixingConfig(strategy="priority", classes=(ClassConfig(), ClassConfig(strategy="timed", options={"interval": "40ms"})))


@pytest.mark.parametrize("geometry", [WAN, JUMBO], ids=str)
@pytest.mark.parametrize(
    "mixing",
    [MixingConfig(strategy=name) for name in ("poisson", "timed", "size", "adaptive")] + [PRIORITY],
    ids=lambda mixing: mixing.strategy,
)
def test_every_strategy_delivers_everything(mixing, geometry) -> None:
    traffic = Traffic(network_plan(geometry, 2 if mixing.classes else 1), 400)
    run = Run(traffic, 3, mixing)
    check_sums(run)
    missing = {row.tobytes() for row in traffic.data} - run.delivered()
    drained = sum(run.network.node(number).metrics().dropped["drop_drained"] for number in range(6))
    assert len(missing) == drained


def test_order_is_mixed() -> None:
    """Packets of one burst come out in another order than they went in: no rank correlation to speak of within bursts."""
    traffic = Traffic(network_plan(WAN), 600)
    run = Run(traffic, 4, MixingConfig())
    plan = traffic.plan
    frames = np.frombuffer(b"".join(run.arrived), np.uint8).reshape(len(run.arrived), -1)
    _, _, packets = run.exit_link.open(frames)
    seen = sphinx.unwrap(packets, plan.secrets[plan.network.clients[1].peer_id])
    rank = {row.tobytes(): at for at, row in enumerate(traffic.data)}
    order = np.array([rank[row[:996].tobytes()] for row in seen.packets])
    inner = [np.corrcoef(np.flatnonzero(order // BURST == burst), order[order // BURST == burst])[0, 1] for burst in range(12)]
    assert abs(np.mean(inner)) < 0.2
