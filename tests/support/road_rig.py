"""One node in memory with a neighbour on each side whose link secrets the test holds: frames and packets made one at a time."""

import random
from dataclasses import dataclass, field
from typing import Any

import oracle
from crafted import crafted

from fastmix.config import MixingConfig
from fastmix.links.static import LinkRoot
from fastmix.network import link_id
from fastmix.packet.geometry import WAN, Geometry
from fastmix.packet.verdict import Verdict
from fastmix.plan import NetworkPlan, plan_network
from fastmix.seam.address import pack_address
from fastmix.testing import MemoryNode, roots_of

UPSTREAM, DOWNSTREAM, CLIENT_PLACE = ("10.0.0.1", 1), ("10.0.0.3", 3), ("10.9.0.1", 9)
AT_ONCE = MixingConfig(floor=0, min_batch_size=1)


def small_plan(geometry: Geometry = WAN, classes: int = 1) -> NetworkPlan:
    """Nodes 0, 1, 2 in a row and a client of node 2."""
    layers = [[UPSTREAM], [("10.0.0.2", 2)], [DOWNSTREAM]]
    entropy = random.Random(4711).randbytes
    return plan_network(layers, 1, geometry=geometry, classes=classes, entropy=entropy)


@dataclass
class Sender:
    """A neighbour's side of its link to the node: counters are the test's to choose."""

    root: LinkRoot
    step: int = 0
    seq: int = 0

    def frame(
        self, packet: bytes, *, step: int | None = None, seq: int | None = None, key_slot: int = 0, rest: bytes = bytes(3)
    ) -> bytes:
        """One frame; the next numbers, where none are given."""
        at = (self.step if step is None else step, self.seq if seq is None else seq)
        self.step, self.seq = self.step + 1, self.seq + 1
        return oracle.seal(self.root.send_root, self.root.receiver_index_out, *at, key_slot, packet, rest)


@dataclass
class Rig:
    """Node `number` of `small_plan`. `push` gives it datagrams, `step` lets it receive and mix."""

    number: int = 1
    plan: NetworkPlan = field(default_factory=small_plan)
    mixing: MixingConfig = AT_ONCE
    options: dict[str, Any] = field(default_factory=dict)
    now_ns: int = 1_000_000_000
    made: int = 0

    def __post_init__(self) -> None:
        self.node = MemoryNode(self.plan, self.number, seed=bytes(range(32)), mixing=self.mixing, **self.options)
        self.senders = {place: self.sender(end) for place, end in self.ends().items()}
        self.upstream = UPSTREAM if self.number == 1 else ("10.0.0.2", 2)

    def ends(self) -> dict[tuple[str, int], Any]:
        """Address -> end, of all neighbours."""
        clients = [client.peer_id for client in self.plan.network.clients]
        places = {CLIENT_PLACE: clients[0]} if clients else {}
        places |= {node.address: node.number for node in self.plan.network.nodes}
        return {place: end for place, end in places.items() if end in self.plan.network.neighbours(self.number)}

    def sender(self, end: Any) -> Sender:
        """The end's side of its link to this node."""
        return Sender(next(root for root in roots_of(self.plan, end) if root.peer == link_id(self.number)))

    @property
    def peer(self) -> Sender:
        """The upstream neighbour."""
        return self.senders[self.upstream]

    def packet(self, first_action: bytes = b"\x02\x00", payload: bytes = b"") -> bytes:
        """A packet for this node, unlike all others; by default it goes to node 2."""
        self.made += 1
        geometry = self.plan.network.geometry
        return crafted(self.plan.secrets[self.number], first_action, payload.ljust(geometry.payload_size, b"\0"), 3 * self.made)

    def frames(self, n: int, first_action: bytes = b"\x02\x00") -> list[bytes]:
        """Fresh frames from upstream."""
        return [self.peer.frame(self.packet(first_action)) for _ in range(n)]

    def push(self, *datagrams: bytes, place: tuple[str, int] | None = None) -> None:
        """Datagrams on the wire to the node."""
        for datagram in datagrams:
            assert self.node.io.push(datagram, pack_address(*(place or self.upstream)))

    def step(self, wait_ns: int = 0) -> list[tuple[tuple[str, int], bytes]]:
        """Moves the clock, lets the node work; what left."""
        self.now_ns += wait_ns
        return self.node.step(self.now_ns)

    def leave(self) -> list[tuple[tuple[str, int], bytes]]:
        """All that waits, after its time: a second, tick by tick."""
        left = []
        for _ in range(600):
            left += self.step(1_000_000)
        return left

    def receive(self, *datagrams: bytes) -> dict[str, int]:
        """Pushes, works, and checks the law; the drops by label."""
        self.push(*datagrams)
        self.step()
        return self.drops()

    def drops(self) -> dict[str, int]:
        """Drops so far without zeros, the law checked exactly."""
        metrics = self.node.metrics()
        assert metrics.conservation == 0
        assert metrics.in_stage == 0
        assert self.node.plane.road.free_count + metrics.pooled == len(self.node.arena["state"])
        assert (self.node.arena["state"] != 0).sum() == metrics.pooled
        return {label: n for label, n in metrics.dropped.items() if n}


def only(verdict: Verdict, n: int) -> dict[str, int]:
    """What `drops` must be when all n were dropped for one reason."""
    return {verdict.label: n}
