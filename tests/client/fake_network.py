"""Three layers of hops in memory with real packets: `fastmix.sphinx.unwrap` at each, a virtual clock, losses from a seed.

No links and no nodes: only sessions and the packets between them. A hop holds a packet for the delay that it names.
"""

import heapq
import itertools
import random
from dataclasses import dataclass, field

import numpy as np

from fastmix import sphinx
from fastmix.client.draw import Draw
from fastmix.client.session import Session
from fastmix.network import Network, NetworkClient, NetworkLink, Node
from fastmix.packet.geometry import GEOMETRIES, Action
from fastmix.packet.verdict import Verdict

TICK = 0.01


def make_network(geometry="wan", clients=2, per_layer=2, classes=1, mean_delay=0.05):
    """(Network, node secrets by number, client secrets): all layers fully linked, clients linked to layer 1 and their exit."""
    secrets, publics = sphinx.keypairs(3 * per_layer + clients, entropy=b"fake network")
    numbers = range(3 * per_layer)
    nodes = [Node(i, 1 + i // per_layer, ("127.0.0.1", 4000 + i), publics[i].tobytes()) for i in numbers]
    exits = [node.number for node in nodes if node.layer == 3]
    members = [
        NetworkClient(bytes([65 + i]) * 32, publics[len(nodes) + i].tobytes(), exits[i % len(exits)]) for i in range(clients)
    ]
    pairs = [(a.number, b.number) for a in nodes for b in nodes if b.layer == a.layer + 1]
    for member in members:
        pairs += [(member.peer_id, node.number) for node in nodes if node.layer == 1]
        pairs.append((member.peer_id, member.exit))
    links = tuple(NetworkLink(a, b, f"link-{i}") for i, (a, b) in enumerate(pairs))
    network = Network(GEOMETRIES[geometry], int(mean_delay * 1e9), classes, tuple(nodes), tuple(members), links)
    every = [secret.tobytes() for secret in secrets]
    return network, every[: len(nodes)], every[len(nodes) :]


@dataclass
class FakeNetwork:
    """Sessions and the hops between them. `loss` and `duplicate` are chances of a packet at its first hop and at its end."""

    seed: int = 1
    geometry: str = "wan"
    clients: int = 2
    classes: int = 1
    loss: float = 0.0
    duplicate: float = 0.0
    send_rate: float = 400.0
    mean_delay: float = 0.05
    session: dict = field(default_factory=dict)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.network, self.node_secrets, self.client_secrets = make_network(
            self.geometry, self.clients, classes=self.classes, mean_delay=self.mean_delay
        )
        self.sessions = [
            Session(
                self.network,
                client.peer_id,
                secret,
                send_rate=self.send_rate,
                draw=Draw(random.Random(self.seed + 1000 * i).randbytes),
                **self.session,
            )
            for i, (client, secret) in enumerate(zip(self.network.clients, self.client_secrets, strict=True), 1)
        ]
        self.number_of = {client.peer_id: i for i, client in enumerate(self.network.clients)}
        self.now, self.heap, self.ties = 100.0, [], itertools.count()
        self.events = [[] for _ in self.sessions]
        self.lost = self.duplicated = 0
        self.bytes_at_nodes = []

    def run(self, seconds, until=lambda: False):
        """Ticks until the condition holds; returns whether it did."""
        end = self.now + seconds
        while self.now < end and not until():
            self.tick()
        return until()

    def tick(self):
        self.now += TICK
        for session in self.sessions:
            departures = session.leave(self.now)
            session.counters.sent += len(departures.nodes)
            for node, packet in zip(departures.nodes.tolist(), departures.packets, strict=True):
                self.carry(self.now, node, packet)
        self.deliver()
        for session, events in zip(self.sessions, self.events, strict=True):
            events += session.events()

    def carry(self, at, end, packet):
        """Loses, carries or doubles a packet to a node's number or a client's peer id."""
        if self.random.random() < self.loss:
            self.lost += 1
            return
        n = 1 + (isinstance(end, bytes) and self.random.random() < self.duplicate)
        self.duplicated += n - 1
        for _ in range(n):
            heapq.heappush(self.heap, (at, next(self.ties), end, packet))

    def deliver(self):
        due = {}
        while self.heap and self.heap[0][0] <= self.now:
            _, _, end, packet = heapq.heappop(self.heap)
            due.setdefault(end, []).append(packet)
        for end, packets in due.items():
            packets = np.stack(packets)
            if isinstance(end, int):
                self.hop(end, packets)
            else:
                session = self.sessions[self.number_of[end]]
                session.counters.received += len(packets)
                session.arrive(self.now, packets)

    def hop(self, number, packets):
        out = sphinx.unwrap(packets, self.node_secrets[number], geometry=self.geometry)
        assert not out.verdict.any(), [Verdict(v).name for v in out.verdict]
        for row, action in enumerate(out.action.tolist()):
            at = self.now + float(out.delay[row]) * self.mean_delay
            if action == Action.FORWARD_PEER:
                self.carry(at, out.peer_id[row].tobytes(), out.packets[row])
            elif action < Action.FORWARD_PEER:
                node, _ = self.network.node_of_index(action)
                heapq.heappush(self.heap, (at, next(self.ties), node.number, out.packets[row]))
            else:
                assert action == Action.COVER

    def of(self, client, kind):
        """The events of a kind at a client."""
        return [event for event in self.events[client] if isinstance(event, kind)]
