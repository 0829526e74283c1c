"""A network that has formed itself, as clients see it: real TLS ends and doors, signed documents and records, UDP sockets on
loopback. Behind the sockets a plain data plane in Python: packets between nodes pass in memory.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from node_records import SETTINGS, Key

from fastmix import sphinx
from fastmix.directory.authority import Member, next_document
from fastmix.directory.bootstrap import Bootstrap
from fastmix.directory.document import FIRST, Rule, Settings, Signed, unsigned
from fastmix.directory.records import Instance, NodeRecord, Place, open_record, record_hash, sign_record
from fastmix.errors import NetworkFailure
from fastmix.keys._chain import LockedBytes
from fastmix.keys.hierarchy import Identity
from fastmix.links.channel import Channel
from fastmix.links.exchange import Ends, respond
from fastmix.packet.geometry import GEOMETRIES, Action
from fastmix.packet.verdict import Verdict
from fastmix.peers.messages import Clock, Documents, Introduction, LinkOffer, Question, Records, Since, Wanted, fitting, read
from fastmix.tls.connection import Connection, Handler
from fastmix.tls.end import End
from fastmix.tls.greeting import Speech, Visitor, pin_of
from fastmix.tls.server import Bucket, Door

HERE = "127.0.0.1"
GEOMETRY = GEOMETRIES["wan"]
MEAN_S = 0.002
FORMED = msgspec.structs.replace(SETTINGS, mean_delay_ns=int(MEAN_S * 1e9))
TIMES = FORMED.times


def identity_of(name: str) -> Identity:
    seed = LockedBytes(32)
    seed.view[:] = hashlib.sha256(name.encode()).digest()
    return Identity(seed)


@dataclass(eq=False)
class Link:
    """A node's end of a client's link. `sends` once the client has said that it is ready."""

    channel: Channel
    exchange: bytes
    sends: bool = False


@dataclass(eq=False)
class FormedNode(asyncio.DatagramProtocol):
    """One node. `silent`: it takes nothing and answers nothing, but its ports are open. `refuses`: indices of exchanges are not
    taken. `loses`: it takes packets and forwards none."""

    name: str
    network: "FormedNetwork"
    number: int = -1
    silent: bool = False
    loses: bool = False
    alive: bool = False
    links: dict[bytes, list[Link]] = field(default_factory=dict)
    addresses: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    visitors: list[Visitor] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    forwarded: int = 0
    documents: list[bytes] | None = None
    """What it says instead of the network's documents."""
    proof: bytes = b""

    def __post_init__(self) -> None:
        self.identity = identity_of(self.name)
        speech = Speech(1, "wan", FORMED.network)
        self.signed = b""
        self.end = End(self.identity, self.identity.tls_private_key(), speech, lambda: self.signed, self.handlers)

    @property
    def public(self) -> bytes:
        return self.identity.public

    @property
    def bootstrap(self) -> Bootstrap:
        return Bootstrap(*self.door.address, pin_of(self.public))

    def secret(self, slot: int) -> bytes:
        return hashlib.sha256(self.name.encode() + slot.to_bytes(8, "little")).digest()

    async def start(self) -> None:
        """Opens its ports, and signs its record."""
        self.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(HERE, 0))
        self.door = Door(self.end.server_context, self.end.welcome, 100, Bucket(1000, 1000))
        self.door.open(HERE, 0)
        self.alive = True
        now_ns = time.time_ns()
        first = TIMES.number(now_ns) - 2
        publics = b"".join(
            X25519PrivateKey.from_private_bytes(self.secret(slot)).public_key().public_bytes_raw()
            for slot in range(first, first + 12)
        )
        data = Place(*self.transport.get_extra_info("sockname"))
        record = NodeRecord(
            network=FORMED.network, identity=self.public, issued_ns=now_ns, valid_until_ns=now_ns + 10**14, wire=1,
            geometry="wan", control=Place(*self.door.address), capacity=1000, certificate=self.end.certificate,
            slot_ns=FORMED.slot_ns, early_ns=FORMED.early_ns, late_ns=FORMED.late_ns, instances=(Instance(data, first, publics),),
        )  # fmt: skip
        self.signed = sign_record(record, self.identity)

    async def kill(self) -> None:
        """Its ports are closed, and it has forgotten all links."""
        self.alive = False
        self.links.clear()
        self.transport.close()
        await self.door.close()

    # What it is asked

    def handlers(self, visitor: Visitor, _: Connection) -> Mapping[str, Handler]:
        if visitor.role == "client":
            self.visitors.append(visitor)
        answers = {
            Question.INTRODUCTION: self.introduction, Question.DOCUMENTS: self.since, Question.RECORDS: self.records,
            Question.CLOCK: lambda _: msgspec.msgpack.encode(Clock(time.time_ns())),
            Question.LINK: lambda body: self.link(visitor.identity, body),
            Question.LINK_READY: lambda body: self.link_ready(visitor.identity, body),
        }  # fmt: skip

        def answering(answer):
            async def handler(body: bytes) -> bytes:
                if self.silent:
                    await asyncio.Event().wait()
                return answer(body)

            return handler

        return {str(question): answering(answer) for question, answer in answers.items()}

    def kept(self) -> list[bytes]:
        return self.documents if self.documents is not None else self.network.documents

    def introduction(self, _: bytes) -> bytes:
        last = self.kept()[-1] if self.kept() else b""
        return msgspec.msgpack.encode(Introduction(FORMED, self.network.rule, last))

    def since(self, body: bytes) -> bytes:
        asked = read(body, Since)
        opened = [(data, self.network.opened(data)) for data in self.kept()]
        newer = [data for data, signed in opened if signed.document.epoch > asked.epoch]
        last = opened[-1][1] if opened else None
        epoch, hash_ = (last.document.epoch, last.hash) if last else (0, bytes(32))
        return msgspec.msgpack.encode(Documents(epoch, hash_, fitting(newer), self.proof))

    def records(self, body: bytes) -> bytes:
        by_hash = {record_hash(node.signed): node.signed for node in self.network.nodes}
        return msgspec.msgpack.encode(Records(fitting([by_hash[each] for each in read(body, Wanted).hashes if each in by_hash])))

    def link(self, peer: bytes, body: bytes) -> bytes:
        ends = Ends(peer, self.public, GEOMETRY.code)
        index = 1 + sum(map(len, self.links.values())) + (self.number << 16)
        answer, roots = respond(ends, index, read(body, LinkOffer).offer)
        channel = Channel(roots.recv.view, roots.send.view, roots.index_in, roots.index_out, GEOMETRY)
        self.links.setdefault(peer, []).append(Link(channel, roots.exchange))
        return answer

    def link_ready(self, peer: bytes, body: bytes) -> bytes:
        found = [link for link in self.links.get(peer, []) if link.exchange == body]
        if not found:
            raise NetworkFailure("no such exchange")
        found[0].sends = True
        return b""

    # What comes over UDP

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        frame = np.frombuffer(data, np.uint8)[np.newaxis]
        if self.silent:
            return
        for peer, links in self.links.items():
            for link in links:
                verdicts, key_slots, packets = link.channel.open(frame)
                if verdicts[0] == Verdict.OK:
                    self.addresses[peer] = address
                    self.take(int(key_slots[0]), packets)
                    return
        self.verdicts.append(Verdict.DROP_UNKNOWN_INDEX)

    def take(self, key_slot: int, packets: np.ndarray) -> None:
        """A packet in the frame of some link."""
        if self.silent or self.loses or not self.alive:
            return
        slot = next((slot for slot in TIMES.live(time.time_ns()) if TIMES.key_slot(slot) == key_slot), None)
        if slot is None:
            self.verdicts.append(Verdict.DROP_KEY_SLOT)
            return
        out = sphinx.unwrap(packets, self.secret(slot), geometry="wan")
        self.verdicts.append(Verdict(int(out.verdict[0])))
        if out.verdict[0]:
            return
        loop, action = asyncio.get_running_loop(), int(out.action[0])
        if action == Action.FORWARD_PEER:
            loop.call_later(float(out.delay[0]) * MEAN_S, self.to_client, out.peer_id[0].tobytes(), key_slot, out.packets)
        elif action < Action.FORWARD_PEER:
            node = self.network.by_number.get(action)
            if node is not None:
                loop.call_later(float(out.delay[0]) * MEAN_S, node.take, key_slot, out.packets)
        self.forwarded += 1

    def to_client(self, peer: bytes, key_slot: int, packets: np.ndarray) -> None:
        links = [link for link in self.links.get(peer, []) if link.sends]
        if self.alive and not self.silent and links and peer in self.addresses:
            self.transport.sendto(links[-1].channel.seal(packets, key_slot)[0].tobytes(), self.addresses[peer])


class FormedNetwork:
    """Nodes, and an authority of their own. `documents`: signed, of all epochs."""

    def __init__(self, n: int) -> None:
        self.authority = Key("authority")
        self.rule = Rule((self.authority.public,), 1)
        self.nodes = [FormedNode(f"node {at}", self) for at in range(n)]
        self.by_number: dict[int, FormedNode] = {}
        self.documents: list[bytes] = []
        self.down: set[bytes] = set()
        self.last: Signed | None = None
        self._opened: dict[bytes, Signed] = {}

    def opened(self, data: bytes) -> Signed:
        if data not in self._opened:
            from fastmix.directory.document import open_document

            self._opened[data] = open_document(data)
        return self._opened[data]

    def make(self, nodes: Iterable[FormedNode] | None = None, settings: Settings = FORMED, back_ns: int = 0) -> Signed:
        """The next document, not published."""
        now_ns = time.time_ns() - back_ns
        members = {
            node.public: Member(node.signed, open_record(node.signed, time.time_ns()), node.public not in self.down)
            for node in (self.nodes if nodes is None else nodes)
        }
        previous = self.last.hash if self.last else FIRST
        return unsigned(next_document(self.last, settings, self.rule, members, previous, now_ns)).signed_by(self.authority)

    def publish(self, signed: Signed | None = None) -> None:
        """A document that all nodes have from now on."""
        self.last = signed or self.make()
        self.documents.append(self.last.envelope.to_bytes())
        self.by_number = {}
        for entry in self.last.document.entries:
            node = next(node for node in self.nodes if node.public == entry.identity)
            node.number = entry.numbers[0]
            self.by_number[node.number] = node

    def in_layer(self, layer: int) -> list[FormedNode]:
        assert self.last is not None
        members = {entry.identity for entry in self.last.document.entries if entry.layer == layer}
        return [node for node in self.nodes if node.public in members]

    def node(self, identity: bytes) -> FormedNode:
        return next(node for node in self.nodes if node.public == identity)


@asynccontextmanager
async def formed_network(n: int, publish: bool = True) -> AsyncIterator[FormedNetwork]:
    network = FormedNetwork(n)
    for node in network.nodes:
        await node.start()
    if publish:
        network.publish()
    try:
        yield network
    finally:
        for node in network.nodes:
            if node.alive:
                await node.kill()


def other_of_the_epoch(network: FormedNetwork) -> Signed:
    """Another document of the last one's epoch, signed as well."""
    assert network.last is not None
    document = network.last.document
    changed = msgspec.structs.replace(document, made_ns=document.made_ns + 1, valid_until_ns=document.valid_until_ns + 1)
    return unsigned(changed).signed_by(network.authority)
