"""A client without sockets and clocks: time (seconds of a steady clock), randomness and packets are arguments.

Each tick: `arrive` with what came, `leave` for what goes, then `events` for what became of messages.
"""

import math
from collections import OrderedDict, deque
from itertools import islice

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix import sphinx
from fastmix.client.address import Address
from fastmix.client.counters import ClientCounters
from fastmix.client.draw import Draw
from fastmix.client.events import Asked, Event, Message, Sent, TimedOut
from fastmix.client.fragments import (
    MAX_REPLY_SURBS,
    MESSAGE_ID_SIZE,
    MESSAGE_LIMIT,
    Fragment,
    Kind,
    chunk_size,
    fragment_count,
    parse,
)
from fastmix.client.inbox import Inbox, InboxLimits
from fastmix.client.loops import LoopWatch
from fastmix.client.node_keys import NodeKeys, keys_of
from fastmix.client.outbox import RETRANSMIT_MEANS, Outbox, Outgoing
from fastmix.client.packets import Builder, Departures, Observer
from fastmix.client.probes import Hops, Probes
from fastmix.client.replay_set import ReplaySet
from fastmix.client.routes import Routes
from fastmix.client.surbs import SURB_LIFE, Surb, SurbBook, Use
from fastmix.errors import ConfigError, NetworkFailure, ResourceExhausted
from fastmix.network import Network
from fastmix.packet.geometry import Action
from fastmix.packet.verdict import Verdict

Bytes = npt.NDArray[np.uint8]

EXIT_COVER_EVERY = 1.0
"""Seconds between two covers to the exit, beside the slots: it answers to where they come from."""
HOUSEKEEPING_EVERY = 0.05
"""Seconds between two looks at what is due."""
CATCH_UP = 0.25
"""Most seconds of slots that a late tick makes up for."""
LOOP_EVERY = 8
"""Slots, of which one at least is a loop where loops are watched."""
LOOPS_DUE_MAX = 4.0
"""Most loops that are made up for."""
UNSENT_MAX = 8192
"""Most messages on their way out at a time."""


class Session:
    """One client's state."""

    def __init__(
        self,
        network: Network,
        peer_id: bytes,
        secret: bytes,
        *,
        send_rate: float = 50.0,
        retransmit_after: float | None = None,
        limits: InboxLimits | None = None,
        draw: Draw | None = None,
        observer: Observer | None = None,
        replay_set: ReplaySet | None = None,
        keys: NodeKeys | None = None,
        watch: LoopWatch | None = None,
    ) -> None:
        """`secret`: X25519, 32 bytes, of the public key that the network file names; `ConfigError` where it is of another.

        `send_rate`: slots a second. `retransmit_after`: shortest retransmission time in seconds, by default 60 mean delays; a
        third of it is waited before an incomplete message is acknowledged. `replay_set`: by default one in memory.
        `keys`: of the nodes; by default as the network has them. `watch`: is told of this client's loops, of which at least one
        leaves in eight slots then.
        """
        if not send_rate > 0:
            raise ConfigError(f"send_rate is {send_rate}: it must be above 0 packets a second")
        self.network = network
        self._secret = secret
        self._draw = draw or Draw()
        self.counters = ClientCounters()
        self.keys = keys_of(network) if keys is None else keys
        self._routes = Routes(network, peer_id, self.keys)
        client = network.client(peer_id)
        self.address = Address(peer_id, client.sphinx_public, network.index(client.exit))
        _check_pair(network, client.sphinx_public, secret)
        self._book = SurbBook()
        self._builder = Builder(network, self.address, self._routes, self._book, self._draw, observer, watch)
        self._watch, self._loops_due = watch, 0.0
        self.probes = Probes()
        self._before: tuple[bytes, ReplaySet] | None = None
        self._chunk = chunk_size(network.geometry)
        mean_delay = network.mean_delay_ns / 1e9 if retransmit_after is None else retransmit_after / RETRANSMIT_MEANS
        self._outbox = Outbox(mean_delay, retransmit_after)
        self._inbox = Inbox(mean_delay, self._chunk, limits)
        self._asked: OrderedDict[bytes, Asked] = OrderedDict()
        self.replay_set = ReplaySet(self._draw.octets(32)) if replay_set is None else replay_set
        self._events: list[Event] = []
        self.send_rate = send_rate
        self._last: float | None = None
        self._next_exit_cover = self._next_housekeeping = 0.0
        self._was_closed = False

    def adopt(self, network: Network) -> None:
        """The network has changed, or this client's exit in it, and with it the address. What is under way stays: what goes to an
        exit that is gone waits until its deadline."""
        self.network = network
        self._routes.adopt(network)
        client = network.client(self.address.peer_id)
        self.address = Address(client.peer_id, client.sphinx_public, network.index(client.exit))
        self._builder.adopt(network, self.address)

    def renew(self, network: Network, secret: bytes, replay_set: ReplaySet) -> None:
        """A new Sphinx key, whose public key that network has. What comes for the one before is still taken, until the next."""
        _check_pair(network, network.client(self.address.peer_id).sphinx_public, secret)
        self.take_late(self._secret, self.replay_set)
        self._secret, self.replay_set = secret, replay_set
        self.adopt(network)

    def take_late(self, secret: bytes, replay_set: ReplaySet) -> None:
        """Takes what still comes for the Sphinx key before."""
        self._before = secret, replay_set

    def forget_key(self) -> None:
        """The Sphinx key before the last `renew` has ended, and its replay set."""
        if self._before is not None:
            self._before[1].close()
            self._before = None

    # Sending

    def send(self, now: float, to: Address, data: bytes, deadline: float, surbs: int = 0, class_: int = 0) -> bytes:
        """Queues a message with that many reply SURBs; returns its id.

        `ValueError` for too much data, too many SURBs; `ConfigError` where no route leads there; `NetworkFailure` where nodes on
        all routes there, or back, have published no keys for now; `ResourceExhausted` where 8,192 messages are on their way
        already.
        """
        self._check_message(data)
        if not 0 <= surbs <= MAX_REPLY_SURBS:
            raise ValueError(f"{surbs} reply SURBs: a message carries 0 to {MAX_REPLY_SURBS}")
        if not 0 <= class_ < self.network.classes:
            raise ConfigError(f"class {class_}: this network has classes 0 to {self.network.classes - 1}")
        self.keys.look()
        self._routes.check(to)
        message_id = self._draw.octets(MESSAGE_ID_SIZE)
        records = self._builder.surbs([(Use.REPLY, message_id)] * surbs, now)
        self.counters.surbs_made += surbs
        if surbs:
            self._asked[message_id] = Asked(to, now)
        stream = b"".join([*records, data])
        self._queue(Outgoing(message_id, memoryview(stream), self._chunk, surbs, to, None, deadline, now, class_))
        return message_id

    def reply(self, now: float, message: Message, data: bytes, deadline: float) -> bytes:
        """Queues the answer to a message, in its SURBs; returns the answer's id. A message is answered once.

        `ValueError` where it has fewer SURBs than the answer has fragments, or for too much data.
        """
        self._check_message(data)
        n = fragment_count(len(data), self._chunk)
        if n > message.n_surbs:
            raise ValueError(
                f"an answer of {len(data)} bytes needs {n} SURBs and the message has {message.n_surbs} left: "
                f"answer with at most {message.n_surbs * self._chunk} bytes, or have it sent with surbs={n} or more"
            )
        message_id = self._draw.octets(MESSAGE_ID_SIZE)
        records = deque(islice(message.surbs, 2 * n + 1))
        message.surbs.clear()
        stream = memoryview(bytes(data))
        self._queue(Outgoing(message_id, stream, self._chunk, 0, None, records, deadline, now))
        return message_id

    def surbs_for(self, size: int) -> int:
        """Reply SURBs for an answer of that many bytes, with a quarter more and two for losses; at most 1,536."""
        n = fragment_count(size, self._chunk)
        return min(MAX_REPLY_SURBS, n + n // 4 + 2)

    def cancel(self, message_id: bytes) -> None:
        """Gives up a message; no event comes of it, nor of an answer that has not begun."""
        self._outbox.remove(message_id)
        asked = self._asked.get(message_id)
        if asked is not None and asked.answer is None:
            del self._asked[message_id]

    def _check_message(self, data: bytes) -> None:
        if len(data) > MESSAGE_LIMIT:
            raise ValueError(f"a message has at most {MESSAGE_LIMIT} bytes (1 MiB), this one has {len(data)}: send it in parts")
        if len(self._outbox) >= UNSENT_MAX:
            raise ResourceExhausted(f"{UNSENT_MAX} messages are on their way out already: wait for some to be acknowledged")

    def _queue(self, message: Outgoing) -> None:
        self._outbox.add(message)
        self.counters.messages_sent += 1

    def ring(self, node: int) -> Hops:
        """A loop's nodes, of which one is given and the others are drawn; as `Client.ping` says."""
        if not self.probes.me:
            raise NetworkFailure(
                "loops through chosen nodes need a network that forms itself: there, layer 3 leads back to layer 1"
            )
        return self._routes.ring(node, self._draw)

    def hush(self) -> None:
        """Nothing leaves any more, not even covers."""
        self.send_rate, self._next_exit_cover = 0.0, math.inf

    # Every tick

    @property
    def acknowledges(self) -> bool:
        """Whether acknowledgements wait for a slot."""
        return self._outbox.n_acks > 0

    @property
    def problem(self) -> str:
        """Why nothing leaves, with a remedy; empty where all is well."""
        return self._routes.why_closed(self._routes.exit)

    def why_waiting(self, to: Address | None) -> str:
        """Why messages to an address (None: answers, in SURBs) wait, with a remedy; empty where they do not."""
        return self.problem or (self._routes.why_closed(to.exit_index // self.network.classes) if to is not None else "")

    def leave(self, now: float) -> Departures:
        """The packets of the slots since the last call, waiting ones before covers, in random order. Nothing leaves while no way
        back to this client can be used; what goes to an exit without one waits."""
        if now >= self._next_housekeeping:
            self._housekeeping(now)
        self.keys.look()
        closed = bool(self.problem)
        if self._was_closed and not closed:
            self._next_exit_cover = min(now, self._next_exit_cover)  # the exit may be another, or have forgotten where this is
        self._was_closed = closed
        n = 0 if self._last is None or closed else self._draw.poisson(self.send_rate * min(now - self._last, CATCH_UP))
        self._last = now
        probes = self.probes.take(n)
        loops = self._loops_of(n - len(probes))
        orders = list(self._outbox.take(n - loops - len(probes), now, self._routes.is_open))
        exit_covers = int(now >= self._next_exit_cover and not closed)
        if exit_covers:
            self._next_exit_cover = now + EXIT_COVER_EVERY
        covers = n - len(orders)
        self._loops_due = max(0.0, self._loops_due - covers)
        departures = self._builder.build(orders, covers - len(probes), exit_covers, now, (self.probes, probes))
        self.counters.originated += len(departures.nodes)
        self.counters.covers_sent += covers + exit_covers
        self.counters.surbs_made += sum(order.n_ack + order.n_fresh for order in orders)
        self.counters.acknowledgements_sent += sum(order.fragment.kind == Kind.ACK for order in orders)
        return departures

    def _loops_of(self, n: int) -> int:
        """How many of n slots a loop takes though messages wait."""
        if self._watch is None:
            return 0
        self._loops_due = min(self._loops_due + n / LOOP_EVERY, LOOPS_DUE_MAX)
        return min(n, int(self._loops_due))

    def arrive(self, now: float, packets: Bytes) -> None:
        """Packets u8[n, P] that came over the links, opened."""
        if self._before is not None:
            packets = self._arrive_late(now, packets)
        unwrapped = sphinx.unwrap(packets, self._secret, geometry=self.network.geometry, replay_key=self.replay_set.key)
        self._arrived(unwrapped, self.replay_set, now)

    def _arrive_late(self, now: float, packets: Bytes) -> Bytes:
        """Takes what was built for the Sphinx key before; the others."""
        assert self._before is not None
        secret, replay_set = self._before
        unwrapped = sphinx.unwrap(packets, secret, geometry=self.network.geometry, replay_key=replay_set.key)
        others = unwrapped.verdict != Verdict.OK
        if not others.all():
            late = sphinx.unwrap(packets[~others], secret, geometry=self.network.geometry, replay_key=replay_set.key)
            self._arrived(late, replay_set, now)
        rest: Bytes = packets[others]
        return rest

    def _arrived(self, unwrapped: sphinx.Unwrapped, replay_set: ReplaySet, now: float) -> None:
        self.counters.drop_all(unwrapped.verdict)
        ok = unwrapped.verdict == Verdict.OK
        action = np.where(ok, unwrapped.action, 0)
        covers = (action == Action.COVER) | (action == Action.COVER_ID)
        requests, replies = action == Action.DELIVER_REQUEST, action == Action.DELIVER_REPLY
        self.counters.absorbed_cover += int(covers.sum())
        self.counters.drop(Verdict.DROP_ACTION, int((ok & ~covers & ~requests & ~replies).sum()))
        for row in np.flatnonzero(action == Action.COVER_ID):
            self.probes.back(unwrapped.surb_id[row].tobytes(), now)
            if self._watch is not None:
                self._watch.back(unwrapped.surb_id[row].tobytes(), now)
        self._requests(unwrapped, np.flatnonzero(requests), replay_set, now)
        self._replies(unwrapped, np.flatnonzero(replies), now)
        self._sort_out(now)

    def events(self) -> list[Event]:
        """What became of messages since the last call."""
        events, self._events = self._events, []
        return events

    def taken(self, message: Message) -> None:
        """The application has taken a message, and its SURBs: their room is free again."""
        self._inbox.taken((message.in_reply_to or b"", message.id))

    # What came

    def _count(self, verdict: Verdict) -> None:
        if verdict is Verdict.OK:
            self.counters.delivered += 1
        else:
            self.counters.drop(verdict)

    def _requests(self, unwrapped: sphinx.Unwrapped, rows: npt.NDArray[np.intp], replay_set: ReplaySet, now: float) -> None:
        """Replays are of requests only: a cover that comes twice does nothing, and a SURB is used up by its first reply."""
        size = self.network.geometry.data_size
        parsed = [(row, fragment) for row in rows if (fragment := parse(unwrapped.packets[row, :size].tobytes())) is not None]
        self.counters.drop(Verdict.DROP_MESSAGE_FORMAT, len(rows) - len(parsed))
        verdicts = replay_set.accept([unwrapped.tag[row].tobytes() for row, _ in parsed])
        for (_, fragment), verdict in zip(parsed, verdicts, strict=True):
            self._count(verdict or self._request(fragment, now))

    def _request(self, fragment: Fragment, now: float) -> Verdict:
        if not all(map(self._routes.may_begin, fragment.records)):
            return Verdict.DROP_MESSAGE_FORMAT
        if fragment.kind == Kind.ACK:
            return self._acknowledged(fragment, now, answer=True)
        return self._inbox.fragment(fragment, now)

    def _replies(self, unwrapped: sphinx.Unwrapped, rows: npt.NDArray[np.intp], now: float) -> None:
        found = [(row, surb) for row in rows if (surb := self._book.take(unwrapped.surb_id[row].tobytes())) is not None]
        self.counters.drop(Verdict.DROP_UNKNOWN_SURB, len(rows) - len(found))
        if not found:
            return
        geometry = self.network.geometry
        payloads = np.ascontiguousarray(unwrapped.packets[[row for row, _ in found], : geometry.payload_size])
        ok, data = sphinx.open_replies(payloads, np.stack([surb.keys for _, surb in found]), geometry=geometry)
        for (_, surb), good, plain in zip(found, ok.tolist(), data, strict=True):
            self._count(self._reply(plain.tobytes(), surb, now) if good else Verdict.DROP_PAYLOAD_TAG)

    def _reply(self, data: bytes, surb: Surb, now: float) -> Verdict:
        fragment = parse(data)
        if fragment is None or fragment.records or fragment.reply_records:
            return Verdict.DROP_MESSAGE_FORMAT
        if surb.use is Use.ACK:
            if fragment.kind != Kind.ACK or fragment.message_id != surb.message_id:
                return Verdict.DROP_MESSAGE_FORMAT
            self._outbox.sample(surb.message_id, now - surb.made)
            return self._acknowledged(fragment, now, answer=False)
        asked = self._asked.get(surb.message_id)
        if fragment.kind != Kind.DATA or asked is None:
            return Verdict.DROP_MESSAGE_FORMAT
        if asked.answer is None:
            asked.answer = fragment.message_id
        if fragment.message_id != asked.answer:
            return Verdict.DROP_MESSAGE_FORMAT
        return self._inbox.fragment(fragment, now, surb.message_id, asked.to)

    def _acknowledged(self, ack: Fragment, now: float, answer: bool) -> Verdict:
        done = self._outbox.acknowledge(ack, answer)
        if done is not None:
            self.counters.messages_acknowledged += 1
            self._events.append(Sent(done.message_id, now - done.began, done.count, done.n_resent))
        return Verdict.OK

    def _sort_out(self, now: float) -> None:
        """Hands on what the inbox has collected."""
        for order in self._inbox.orders:
            self._outbox.add_ack(order)
        self._inbox.orders.clear()
        for whole in self._inbox.whole:
            surbs = deque(record for record in whole.records if self._routes.may_begin(record))
            self._events.append(Message(whole.data, whole.key[1], whole.key[0] or None, surbs))
        self.counters.messages_received += len(self._inbox.whole)
        self._inbox.whole.clear()

    def _housekeeping(self, now: float) -> None:
        self._next_housekeeping = now + HOUSEKEEPING_EVERY
        self._inbox.expire(now)
        self._book.expire(now)
        while self._asked and next(iter(self._asked.values())).at + SURB_LIFE <= now:
            self._asked.popitem(last=False)
        late, n_resent = self._outbox.expire(now)
        self.counters.fragments_retransmitted += n_resent
        self.counters.messages_timed_out += len(late)
        self._events.extend(TimedOut(m.message_id, m.count, sum(m.acked), m.n_resent, self.why_waiting(m.to)) for m in late)
        self._sort_out(now)


def _check_pair(network: Network, public: bytes, secret: bytes) -> None:
    """`ConfigError` where the secret does not belong to the public key."""
    if len(secret) != 32:
        raise ConfigError(f"a client's secret has 32 bytes, not {len(secret)}")
    if X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw() != public:
        raise ConfigError(f"{network.path}: the client's secret does not belong to its sphinx_public")
