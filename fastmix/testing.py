"""A whole network in memory: the same compiled road as a node's, a virtual clock, seeded entropy. Twice the same.

Time, entropy and datagrams are arguments of the data plane; here they come from a queue of events. For tests and drills.
"""

import hashlib
import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastmix.client.draw import Draw
from fastmix.client.events import Event
from fastmix.client.node_keys import SlotKeys
from fastmix.client.session import Session
from fastmix.client.wire import Wire
from fastmix.config import MixingConfig
from fastmix.control.cover import CoverRates, LoopCover
from fastmix.control.cover_keys import NetworkKeys
from fastmix.control.duties import metrics_of
from fastmix.control.fixed_pair import fixed_name
from fastmix.control.interval import Interval
from fastmix.control.loop_routes import LoopRoutes
from fastmix.control.rotation import Rotation
from fastmix.control.snapshot import SnapshotKey, publish_keys, publish_snapshot
from fastmix.control.static_links import counter_word
from fastmix.dataplane.entropy import Entropy
from fastmix.dataplane.plane import DataPlane
from fastmix.descriptor import Descriptor, write_descriptor
from fastmix.keys.chainfile import ChainFile
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.links.static import LinkRoot, derive_link_root
from fastmix.network import End, Network
from fastmix.packet.geometry import COUNTER_END
from fastmix.plan import NetworkPlan
from fastmix.process.mixing import mixing_blob, tick_of
from fastmix.seam.address import address_pair, pack_address
from fastmix.seam.counters import CounterPage
from fastmix.seam.memory import Region, arena_sections, ask_mixing, create_memory, page_sections, secret_sections, set_mixing
from fastmix.seam.originate import OwnPackets
from fastmix.seam.pair import Pair, PairName, memory_pair, open_pair, pair_path
from fastmix.status import Metrics
from fastmix.udp._rings import MemoryIo

Place = tuple[str, int]
Receiver = Callable[[int, bytes], Iterable[tuple[Place, bytes]]]
"""(now_ns, datagram) -> datagrams to send at once: a client of a network in memory."""


UNIX_NS = 1_800_000_000 * 1_000_000_000
"""Unix time when a virtual clock shows 0."""
CONTROL_NS, CLIENT_NS = 100_000_000, 5_000_000
"""Between two looks after keys, and between two ticks of a client."""


def roots_of(plan: NetworkPlan, me: End) -> list[LinkRoot]:
    """The link roots of one end, from the plan's secrets, in the order of its links."""
    network = plan.network
    secrets = dict(zip(network.links, plan.link_secrets, strict=True))
    return [derive_link_root(network, link, me, secrets[link]) for link in network.links_of(me)]


class MemoryKeys:
    """The keys of a node in a network whose keys rotate: what control does for a real one, on the virtual clock.

    The plan must be written: pairs, chain and descriptors are files beside it.
    """

    def __init__(self, plan: NetworkPlan, number: int, policy: KeyRotationPolicy, capacity: int, now_ns: int) -> None:
        self._plan, self.number, self.policy = plan, number, policy
        self.state_dir = plan.network.path.parent / f"state-{number}"
        self.state_dir.mkdir(mode=0o700)
        chain = ChainFile.create(self.state_dir / "chain", policy.times.live(UNIX_NS + now_ns)[0])
        self.rotation = Rotation(self.state_dir, policy.times, capacity, chain)
        self.interval = Interval(number, self.rotation, policy, self._write)
        self.published: list[SnapshotKey] = []

    def begin(self, now_ns: int) -> list[SnapshotKey]:
        """The first keys, and the first descriptor."""
        self.rotation.begin(UNIX_NS + now_ns, fresh=True)
        self.rotation.look(UNIX_NS + now_ns)
        self.interval.begin(UNIX_NS + now_ns)
        self.interval.look(UNIX_NS + now_ns)
        self.published = self.rotation.keys(UNIX_NS + now_ns, now_ns)
        return self.published

    def _write(self, descriptor: Descriptor) -> None:
        path = self._plan.network.path.parent / self._plan.network.node(self.number).descriptor
        write_descriptor(path, descriptor, self._plan.identities[self.number])

    def look(self, node: "MemoryNode", now_ns: int) -> None:
        """Makes and publishes what is due."""
        self.rotation.look(UNIX_NS + now_ns)
        keys = self.rotation.keys(UNIX_NS + now_ns, now_ns)
        adopted = int(node.page["process"]["adopted"][0]) == int(node.snapshot["snapshot"]["generation"][0])
        if adopted and [key.id for key in keys] != [key.id for key in self.published]:
            node.publish(keys)
            self.published = keys
        self.interval.look(UNIX_NS + now_ns)


class MemoryNode:
    """One data plane between rings. Everything but sockets, processes and disk is the node's own.

    `ios`: the rings of each worker; what leaves, leaves through `io`, the first's. Workers get no threads here: `step` lets each
    of them receive in turn. `cover`: it makes loops. `keys`: for a network whose keys rotate; else the key has no end.
    """

    def __init__(
        self, plan: NetworkPlan, number: int, *, seed: bytes, mixing: MixingConfig, pool_slots: int = 4096,
        replay_capacity: int = 200_000, batch: int = 256, ring_size: int = 1 << 16, client_rate: int = 0,
        workers: int = 1, strict_kx: bool = False, keys: MemoryKeys | None = None, now_ns: int = 0,
        cover: CoverRates | None = None,
    ) -> None:  # fmt: skip
        network = plan.network
        self.number, self.address = number, network.node(number).address
        self.ios = [MemoryIo(ring_size, network.geometry.frame_size + 64) for _ in range(workers)]
        self.io = self.ios[0]
        self.arena = _region("arena", arena_sections(network.geometry, pool_slots))
        self.page = _region("page", page_sections())
        self.snapshot = _region("secret", secret_sections())
        roots = roots_of(plan, number)
        self.pairs: dict[bytes, Pair] = {}
        self.keys = keys
        if keys is None:
            name = fixed_name(network.node(number).sphinx_public)
            self.pairs[name.id] = memory_pair(name, replay_capacity, plan.secrets[number], hashlib.sha256(seed).digest())
        begin_with = [SnapshotKey(name.id)] if keys is None else keys.begin(now_ns)
        publish_snapshot(self.snapshot, network, begin_with, roots, pool_slots, client_rate=client_rate)
        self.page["links"]["send_limit"] = counter_word(COUNTER_END, COUNTER_END)
        set_mixing(self.page, mixing_blob(mixing, network, number))
        self.cover = None if cover is None else self._cover(plan, cover, seed)
        self._made_with = network, seed, batch, strict_kx
        self.take_over()

    def take_over(self, prepare: Callable[[DataPlane], None] = lambda _plane: None) -> None:
        """A new data plane over memory as it is, as after a kill -9 of the one before. `prepare` is given it before it adopts."""
        network, seed, batch, strict_kx = self._made_with
        self.plane = DataPlane(
            network.geometry, self.arena, self.page, self.snapshot, self.ios,
            self.open_pair, batch=batch, tick_ns=tick_of(network.mean_delay_ns), entropy=Entropy(seed), lookup_seed=self.number,
            strict_kx=strict_kx,
        )  # fmt: skip
        self.plane.recover(CounterPage(self.page.bytes("counters")).read())
        prepare(self.plane)
        self.plane.adopt()

    def _cover(self, plan: NetworkPlan, rates: CoverRates, seed: bytes) -> LoopCover:
        network, times = plan.network, None if self.keys is None else self.keys.policy.times
        routes = LoopRoutes(network, self.number, NetworkKeys(network).public, times)
        return LoopCover(OwnPackets(self.page["cover"]), rates, random.Random(seed), routes)

    def configure_mixing(self, mixing: MixingConfig, network: Network) -> None:
        """Another strategy at the next mixing."""
        ask_mixing(self.page, mixing_blob(mixing, network, self.number))

    def open_pair(self, pair_id: bytes) -> Pair:
        """The pair of that id; `FileNotFoundError` where there is none."""
        if self.keys is not None:
            return open_pair(pair_path(self.keys.state_dir, pair_id))
        if pair_id not in self.pairs:
            raise FileNotFoundError(pair_id.hex())
        return self.pairs[pair_id]

    def add_pair(self, name: PairName, capacity: int, secret: bytes) -> Pair:
        """A key that `publish` may name from now on."""
        pair = self.pairs[name.id] = memory_pair(name, capacity, secret, hashlib.sha256(name.id).digest())
        return pair

    def publish(self, keys: Sequence[SnapshotKey]) -> int:
        """Other live keys; the snapshot's generation."""
        return publish_keys(self.snapshot, keys)

    def step(self, now_ns: int) -> list[tuple[Place, bytes]]:
        """Receives all that waits, mixes once; what leaves, with its address."""
        self.plane.look(now_ns, now_ns)
        while self.plane.road.receive(now_ns) > 0:
            continue
        self.plane.mix(now_ns)
        return [(address_pair(to), datagram) for to, datagram in self.io.pop_sent()]

    def metrics(self) -> Metrics:
        """The counters as the page shows them."""
        return metrics_of(self.page)


class MemoryClient:
    """A client of a network in memory: its session, and its links between rings. Made by `MemoryNetwork.join`.

    `events`: what became of its messages. Its wall clock is wrong by `skew_ns`.
    """

    def __init__(self, network: "MemoryNetwork", peer_id: bytes, place: Place, skew_ns: int, send_rate: float) -> None:
        plan = network.plan
        draw = Draw(random.Random(network.random.random()).randbytes)
        keys = SlotKeys(plan.network, lambda: UNIX_NS + network.now_ns + skew_ns) if plan.network.rotates else None
        self.session = Session(plan.network, peer_id, plan.secrets[peer_id], send_rate=send_rate, draw=draw, keys=keys)
        self.wire = Wire(plan.network, peer_id, self.session.counters, self.session.keys)
        self.io = MemoryIo(1 << 14, plan.network.geometry.frame_size + 64)
        self.place, self.due_ns = place, network.now_ns
        self.events: list[Event] = []

    def step(self, now_ns: int) -> list[tuple[Place, bytes]]:
        """A tick: takes what has come; what leaves, with its address."""
        self.due_ns = now_ns + CLIENT_NS
        while (packets := self.wire.receive(self.io)) is not None:
            self.session.arrive(now_ns / 1e9, packets)
        self.wire.send(self.io, self.session.leave(now_ns / 1e9))
        self.events += self.session.events()
        return [(address_pair(to), datagram) for to, datagram in self.io.pop_sent()]


@dataclass
class MemoryNetwork:
    """Nodes of a plan, its clients, and whoever listens at other addresses, under one virtual clock.

    `seed` decides latency (0.5 to 1.5 ms) and every order. `digest` names all datagrams that ever moved, with their times.
    `policy`: of a network whose keys rotate.
    """

    plan: NetworkPlan
    seed: int = 1
    mixing: MixingConfig = field(default_factory=MixingConfig)
    now_ns: int = 1_000_000_000
    node_options: dict[str, Any] = field(default_factory=dict)
    policy: KeyRotationPolicy = field(default_factory=KeyRotationPolicy)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clients: dict[Place, MemoryClient] = {}
        self._control_ns = self.now_ns
        self.events: list[tuple[int, int, Place, Place, bytes]] = []
        self.receivers: dict[Place, Receiver] = {}
        self.moved = 0
        self._hash = hashlib.sha256()
        self.nodes = {
            node.address: MemoryNode(
                self.plan,
                node.number,
                seed=self.random.randbytes(32),
                mixing=self.mixing,
                now_ns=self.now_ns,
                keys=self._keys(node.number),
                **self.node_options,
            )
            for node in self.plan.network.nodes
        }

    def _keys(self, number: int) -> MemoryKeys | None:
        if not self.plan.network.rotates:
            return None
        capacity = self.node_options.get("replay_capacity", 200_000)
        return MemoryKeys(self.plan, number, self.policy, capacity, self.now_ns)

    def join(self, peer_id: bytes, place: Place, *, skew_ns: int = 0, send_rate: float = 50.0) -> MemoryClient:
        """A client of the plan, which must be written, at an address; it sends from now on."""
        client = self.clients[place] = MemoryClient(self, peer_id, place, skew_ns, send_rate)
        return client

    @property
    def digest(self) -> str:
        """Hash of all datagrams so far, with times and addresses, in order."""
        return self._hash.hexdigest()

    def node(self, number: int) -> MemoryNode:
        """The node of that number."""
        return self.nodes[self.plan.network.node(number).address]

    def listen(self, place: Place, receiver: Receiver) -> None:
        """Gives an address that is no node's to a receiver."""
        self.receivers[place] = receiver

    def send(self, source: Place, to: Place, datagram: bytes, at_ns: int | None = None) -> None:
        """Puts a datagram on the wire, now or later."""
        latency_ns = self.random.randrange(500_000, 1_500_000)
        self.moved += 1
        heapq.heappush(self.events, ((self.now_ns if at_ns is None else at_ns) + latency_ns, self.moved, source, to, datagram))

    def run(self, until_ns: int) -> None:
        """Moves the clock: arrivals in order, and each node when its mixer is due."""
        while True:
            due_ns = {place: node.plane.next_due_ns(self.now_ns) for place, node in self.nodes.items()}
            due_ns |= {place: client.due_ns for place, client in self.clients.items()}
            next_ns = min([*due_ns.values(), self._control_ns, self.events[0][0] if self.events else until_ns])
            self.now_ns = max(self.now_ns, min(next_ns, until_ns))
            if next_ns >= until_ns:
                return
            covered = self._look_after()
            active = covered | {place for place, due in due_ns.items() if due <= self.now_ns} | self._arrive()
            for place in sorted(active):
                for to, datagram in (self.nodes.get(place) or self.clients[place]).step(self.now_ns):
                    self.send(place, to, datagram)

    def _look_after(self) -> set[Place]:
        """What control does now and then; the nodes that it has given something."""
        given = set()
        if self.now_ns >= self._control_ns:
            self._control_ns = self.now_ns + CONTROL_NS
            for place, node in self.nodes.items():
                if node.keys is not None:
                    node.keys.look(node, self.now_ns)
                draining = bool(node.page["command"]["drain"][0])
                if node.cover and node.cover.tick(self.now_ns, UNIX_NS + self.now_ns, makes=not draining):
                    given.add(place)
        return given

    def _arrive(self) -> set[Place]:
        """Delivers what has arrived by now; the nodes that got something."""
        reached = set()
        while self.events and self.events[0][0] <= self.now_ns:
            at_ns, _, source, to, datagram = heapq.heappop(self.events)
            self._hash.update(b"%d %s %s " % (at_ns, repr(source).encode(), repr(to).encode()) + datagram)
            if to in self.nodes:
                self.nodes[to].io.push(datagram, pack_address(*source))
                reached.add(to)
            elif to in self.clients:
                self.clients[to].io.push(datagram, pack_address(*source))
            elif to in self.receivers:
                for onward, answer in self.receivers[to](self.now_ns, datagram):
                    self.send(to, onward, answer)
        return reached

    def drain(self, limit_ns: int) -> None:
        """Drains layer after layer, as an operator would."""
        for layer in (1, 2, 3):
            members = [self.node(node.number) for node in self.plan.network.in_layer(layer)]
            for node in members:
                node.page["command"]["drain"] = 1
                node.plane.drain(self.now_ns, limit_ns)
            self.run(self.now_ns + limit_ns + 5_000_000)


def _region(name: str, sections: Any) -> Region:
    return Region(create_memory(f"fastmix-test-{name}", sections), sections)
