"""A plain node and a plain client on UDP sockets, from docs/wire-format.md sections 5 to 9; imports nothing of fastmix.

The client sends at once instead of in Poisson slots, and hides nothing: a test peer, never a client for people.
"""

import asyncio
import os
import random
import struct
import tomllib
from dataclasses import dataclass, field

import peer_fragments as fragments
import peer_sphinx as sphinx
from peer_fragments import ACK, DATA, RECORD, Fragment
from peer_link import Link, node_id

RESEND_AFTER, RESENDS = 3.0, 8


@dataclass
class Net:
    """network.toml and the directory that it lies in."""

    path: object

    def __post_init__(self):
        with open(self.path, "rb") as file:
            self.toml = tomllib.load(file)
        self.geometry, self.classes = self.toml["geometry"], self.toml["classes"]
        self.nodes = {node["number"]: node for node in self.toml["node"]}
        self.clients = {bytes.fromhex(c["peer_id"]): c for c in self.toml["client"]}
        self.mean = float(self.toml["mean_delay"].removesuffix("ms")) / 1000
        self.data_size = sphinx.DATA_SIZES[self.geometry]

    def end(self, value):
        """(link id, the number or peer id)."""
        return (node_id(value), value) if isinstance(value, int) else (bytes.fromhex(value),) * 2

    def links(self, me):
        """Links of an end, by its neighbours' number or peer id."""
        found = {}
        for link in self.toml["link"]:
            ends = [self.end(link["a"]), self.end(link["b"])]
            for (mine, name), (theirs, other) in (ends, ends[::-1]):
                if name == me:
                    secret = (self.path.parent / link["secret_file"]).read_bytes()
                    found[other] = Link(secret, mine, theirs, self.geometry)
        return found

    def place(self, number):
        host, port = self.nodes[number]["address"].rsplit(":", 1)
        return host, int(port)

    def public(self, number):
        return bytes.fromhex(self.nodes[number]["sphinx_public"])

    def layer(self, layer):
        return [number for number, node in self.nodes.items() if node["layer"] == layer]

    def address_of(self, peer_id):
        client = self.clients[peer_id]
        return peer_id + bytes.fromhex(client["sphinx_public"]) + struct.pack("<H", self.classes * client["exit"])


class Party(asyncio.DatagramProtocol):
    """What a node and a client share: links, a secret, a socket."""

    def __init__(self, net, me, secret):
        self.net, self.me, self.secret, self.links = net, me, secret, net.links(me)
        self.heard, self.seen, self.dropped = {}, set(), []

    async def open(self, place):
        self.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=place)

    def close(self):
        self.transport.close()

    def datagram_received(self, data, place):
        for other, link in self.links.items():
            if data[:4] == struct.pack("<I", link.index_in):
                try:
                    key_slot, packet = link.open(data)
                    self.heard[other] = place
                    out = sphinx.unwrap(packet, self.secret)
                    if key_slot or out.shared in self.seen:
                        raise sphinx.Dropped("key slot or replay")
                    self.seen.add(out.shared)
                    self.handle(out)
                except sphinx.Dropped as why:
                    self.dropped.append(str(why))

    def send_packet(self, other, packet):
        place = self.net.place(other) if isinstance(other, int) else self.heard.get(other)
        if other in self.links and place is not None and not self.transport.is_closing():
            self.transport.sendto(self.links[other].seal([packet])[0], place)


class PeerNode(Party):
    """A mix node with Poisson delays."""

    def handle(self, out):
        if out.action <= sphinx.FORWARD_PEER:
            other = out.peer_id or out.action // self.net.classes
            wait = sphinx.delay(out.delay_seed) * self.net.mean
            asyncio.get_running_loop().call_later(wait, self.send_packet, other, out.packet)
        elif out.action not in (sphinx.COVER, sphinx.COVER_ID):
            raise sphinx.Dropped("not for a node")


@dataclass
class Partial:
    """A message of which fragments have come."""

    parts: dict = field(default_factory=dict)
    done: bool = False


class PeerClient(Party):
    """A client: `send`, `answer`, and `inbox`, a queue of (reply SURB records, data, id of the message answered or None)."""

    def __init__(self, net, me, secret):
        super().__init__(net, me, secret)
        self.exit, self.inbox = net.clients[me]["exit"], asyncio.Queue()
        self.surbs, self.partial, self.unacked = {}, {}, {}
        self.address = net.address_of(me)

    async def open(self, place):
        await super().open(place)
        self.task = asyncio.create_task(self.keep_in_touch())

    def close(self):
        self.task.cancel()
        super().close()

    async def keep_in_touch(self):
        while True:
            self.send_packet(self.exit, sphinx.build_cover(self.net.geometry, [self.net.public(self.exit)], []))
            await asyncio.sleep(0.5)

    def route(self, address):
        """(first node, publics, targets) to an address."""
        (exit_index,) = struct.unpack("<H", address[64:])
        numbers = [random.choice(self.net.layer(1)), random.choice(self.net.layer(2)), exit_index // self.net.classes]
        publics = [*map(self.net.public, numbers), address[32:64]]
        return numbers[0], publics, [self.net.classes * numbers[1], exit_index, address[:32]]

    def surb(self, purpose):
        """A SURB record; `purpose`: (kind, message id, answerer)."""
        first, publics, targets = self.route(self.address)
        surb_id = os.urandom(16)
        surb, keys = sphinx.build_surb(self.net.classes * first, publics, targets, surb_id)
        self.surbs[surb_id] = keys, purpose
        return bytes(4) + surb

    def request(self, address, fragment):
        first, publics, targets = self.route(address)
        self.send_packet(first, sphinx.build_request(fragment.to_bytes(self.net.data_size), publics, targets))

    def reply(self, record, fragment):
        first, packet = sphinx.build_reply(fragment.to_bytes(self.net.data_size), record[4:])
        self.send_packet(first // self.net.classes, packet)

    async def send(self, address, data, n_surbs=0):
        """Sends until all is acknowledged; returns the message id."""
        message_id = os.urandom(16)
        records = [self.surb(("reply", message_id, address)) for _ in range(n_surbs)]
        parts = fragments.split(message_id, data, self.net.data_size, records)
        room = self.net.data_size - fragments.HEADER - RECORD
        missing = self.unacked[message_id] = {part.index for part in parts}
        for _ in range(RESENDS + 1):
            for part in [part for part in parts if part.index in missing]:
                last = part is parts[-1] and len(part.body) <= room
                part.records = [self.surb(("ack", message_id, None))] if last else []
                self.request(address, part)
            if len(parts[-1].body) > room or len(parts) - 1 not in missing:
                poll = Fragment(fragments.POLL, message_id, 0, len(parts), parts[0].total, len(records))
                poll.records = [self.surb(("ack", message_id, None))]
                self.request(address, poll)
            if await self.acknowledged(missing):
                return message_id
        raise TimeoutError

    async def answer(self, records, data):
        """Answers in SURB records until all is acknowledged."""
        message_id, records = os.urandom(16), list(records)
        parts = fragments.split(message_id, data, self.net.data_size)
        missing = self.unacked[message_id] = {part.index for part in parts}
        self.fresh = records
        while records:
            for part in [part for part in parts if part.index in missing and records]:
                self.reply(records.pop(0), part)
            if await self.acknowledged(missing):
                return message_id
        raise TimeoutError

    async def acknowledged(self, missing):
        for _ in range(round(RESEND_AFTER / 0.02)):
            await asyncio.sleep(0.02)
            if not missing:
                return True
        return False

    def handle(self, out):
        if out.action == sphinx.DELIVER_REQUEST:
            self.fragment(Fragment.parse(out.packet), None, None)
        elif out.action == sphinx.DELIVER_REPLY and out.surb_id in self.surbs:
            keys, (kind, asked, answerer) = self.surbs.pop(out.surb_id)
            fragment = Fragment.parse(sphinx.open_reply(out.packet, keys))
            if fragment.records or (kind == "ack") != (fragment.type == ACK):
                raise sphinx.Dropped("fragment in a reply")
            self.fragment(fragment, asked, answerer)
        elif out.action not in (sphinx.COVER, sphinx.COVER_ID):
            raise sphinx.Dropped("not for a client")

    def fragment(self, fragment, asked, answerer):
        if fragment.type == ACK:
            self.take_acknowledgement(fragment)
            return
        partial = self.partial.setdefault((asked, fragment.message_id), Partial())
        if fragment.type == DATA:
            partial.parts.setdefault(fragment.index, fragment)
        if len(partial.parts) < fragment.count:
            if fragment.records:
                wait = 20 * self.net.mean
                asyncio.get_running_loop().call_later(wait, self.late, partial, fragment)
            return
        self.acknowledge(fragment, partial, answerer)
        if not partial.done:
            partial.done = True
            self.inbox.put_nowait((*fragments.join(list(partial.parts.values())), asked))

    def late(self, partial, fragment):
        self.acknowledge(fragment, partial, None)

    def acknowledge(self, fragment, partial, answerer):
        ack = fragments.acknowledge(fragment.message_id, fragment.count, set(partial.parts))
        if answerer is not None:
            self.request(answerer, ack)
        else:
            held = [r for part in [fragment, *partial.parts.values()] for r in part.records]
            if held:
                self.reply(held[0], ack)
                for part in [fragment, *partial.parts.values()]:
                    part.records = [r for r in part.records if r != held[0]]

    def take_acknowledgement(self, ack):
        missing = self.unacked.get(ack.message_id, set())
        named = set(range(ack.index)) | {
            ack.index + 8 * at + bit for at, bits in enumerate(ack.body) for bit in range(8) if bits >> bit & 1
        }
        missing -= named
        if ack.records:
            self.fresh.extend(ack.records)
