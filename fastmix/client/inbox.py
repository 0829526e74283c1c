"""Messages on their way in: reassembly under bounds, acknowledgement, and each message once.

The rules are those of docs/wire-format.md, section 9, "Rules of the recipient of a message" and "of an answer".
"""

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastmix.client.address import Address
from fastmix.client.fragments import RECORD_SIZE, Fragment, Kind, acknowledgement
from fastmix.client.outbox import ACK_MEANS, BACKOFF, RESENDS_MAX, Order
from fastmix.packet.verdict import Verdict

Key = tuple[bytes, bytes]
"""(message that this is an answer to, or empty; message id)."""


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """Bounds of what others can make a client keep; strangers, and those whom we asked, have each their own share.

    Beyond them a stranger's oldest incomplete message gives way; where that is not enough, fragments are `drop_sink_full` and not
    acknowledged.
    """

    incomplete: int = 1024
    """Most messages of which some fragment is missing."""
    polled: int = 1024
    """Most messages of which only polls have come; the oldest is forgotten first."""
    size: int = 64 << 20
    """Most bytes of incomplete messages and of complete ones, with their SURBs, that the application has not taken."""
    waiting: int = 4096
    """Most complete messages that the application has not taken."""
    remembered: int = 65_536
    """Most ids of complete messages; the oldest is forgotten first."""
    remembered_for: float = 3600.0
    """Seconds that such an id is remembered."""
    forgotten_after: float = 120.0
    """Seconds after its latest fragment until an incomplete message is given up."""


@dataclass(slots=True, eq=False)
class Incoming:
    """A message of which fragments, or polls, have come. `held`: (time, acknowledgement SURB record).

    `next_ack`: an answer's turn. `n_fresh`: SURBs that were handed out for its lost fragments. `timer`: when it is looked at.
    """

    fragment: Fragment = field(repr=False)
    answerer: Address | None
    arrived: bytearray = field(repr=False)
    touched: float
    next_ack: float
    chunks: dict[int, bytes] = field(default_factory=dict, repr=False)
    held: deque[tuple[float, bytes]] = field(default_factory=deque, repr=False)
    size: int = 0
    n_acks: int = 0
    n_fresh: int = 0
    timer: float = math.inf

    def same_message(self, fragment: Fragment) -> bool:
        """Whether a fragment says of its message what the first one said."""
        mine = self.fragment
        return (mine.count, mine.total, mine.reply_records) == (fragment.count, fragment.total, fragment.reply_records)

    def hold(self, records: Iterable[bytes], now: float) -> None:
        """Keeps acknowledgement SURBs, the newest few."""
        self.held.extend((now, record) for record in records)
        while len(self.held) > RESENDS_MAX:
            self.held.popleft()


@dataclass(slots=True, eq=False)
class Share:
    """What strangers, or those whom we asked, have in the inbox. `untaken`: bytes of what the application has not taken."""

    gives_way: bool
    incoming: OrderedDict[Key, Incoming] = field(default_factory=OrderedDict)
    done: OrderedDict[Key, tuple[int, float]] = field(default_factory=OrderedDict)
    untaken: dict[Key, int] = field(default_factory=dict)
    size: int = 0

    def forget(self, key: Key) -> None:
        """Gives up an incomplete message."""
        incoming = self.incoming.pop(key, None)
        if incoming is not None:
            self.size -= incoming.size


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete message: its key, the reply SURB records and the application's bytes."""

    key: Key
    records: tuple[bytes, ...] = field(repr=False)
    data: bytes = field(repr=False)


class Inbox:
    """All messages on their way in. `orders` collects the acknowledgements, `whole` the messages; the session empties both."""

    def __init__(self, mean_delay: float, chunk: int, limits: InboxLimits | None = None) -> None:
        """`mean_delay` in seconds; `chunk`: bytes of a whole fragment's body."""
        self._wait = ACK_MEANS * mean_delay
        self._chunk = chunk
        self.limits = limits or InboxLimits()
        self._strangers, self._answers = Share(gives_way=True), Share(gives_way=False)
        self._polled: OrderedDict[Key, Incoming] = OrderedDict()
        self._timers: list[tuple[float, Key]] = []
        self.orders: list[Order] = []
        self.whole: list[Whole] = []

    def _share(self, key: Key) -> Share:
        return self._answers if key[0] else self._strangers

    def fragment(self, fragment: Fragment, now: float, request_id: bytes = b"", answerer: Address | None = None) -> Verdict:
        """Takes in data or a poll; of an answer with the id of the message that asked and the address that answers."""
        key = (request_id, fragment.message_id)
        share = self._share(key)
        done = share.done.get(key)
        if done is not None:
            return self._again(fragment, done[0], answerer, request_id)
        incoming = share.incoming.get(key) or self._polled.get(key)
        if incoming is None:
            incoming = Incoming(fragment, answerer, bytearray(fragment.count), now, now + self._wait)
        elif not incoming.same_message(fragment):
            return Verdict.DROP_MESSAGE_FORMAT
        if fragment.kind == Kind.POLL and key not in share.incoming:
            return self._poll(key, incoming, fragment, now)
        return self._add(key, incoming, fragment, now)

    def _poll(self, key: Key, incoming: Incoming, fragment: Fragment, now: float) -> Verdict:
        """A poll that has overtaken all data: its SURBs are kept for a while, in a table of their own."""
        incoming.hold(fragment.records, now)
        self._polled[key] = incoming
        if len(self._polled) > self.limits.polled:
            self._polled.popitem(last=False)
        return Verdict.OK

    def _add(self, key: Key, incoming: Incoming, fragment: Fragment, now: float) -> Verdict:
        """A fragment of a message that is not complete."""
        share = self._share(key)
        if fragment.kind == Kind.DATA and not incoming.arrived[fragment.index]:
            if not self._make_room(share, key, fragment):
                return Verdict.DROP_SINK_FULL
            share.incoming[key] = incoming
            self._polled.pop(key, None)
            incoming.arrived[fragment.index] = 1
            incoming.chunks[fragment.index] = fragment.body
            incoming.size += len(fragment.body)
            share.size += len(fragment.body)
            incoming.touched, incoming.next_ack, incoming.n_acks = now, now + self._wait, 0
            share.incoming.move_to_end(key)
        incoming.hold(fragment.records, now)
        if 0 not in incoming.arrived:
            self._finish(share, key, incoming, now)
        else:
            self._arm(key, incoming)
        return Verdict.OK

    def _make_room(self, share: Share, key: Key, fragment: Fragment) -> bool:
        """Whether a fragment has room, if need be that of a stranger's oldest incomplete message."""
        limits = self.limits
        begins = key not in share.incoming
        if begins and len(share.untaken) >= limits.waiting:
            return False
        adds = int(begins and fragment.count > 1)
        while share.size + len(fragment.body) > limits.size or len(share.incoming) + adds > limits.incomplete:
            oldest = next((other for other in share.incoming if other != key), None)
            if oldest is None or not share.gives_way:
                return False
            share.forget(oldest)
        return True

    def _finish(self, share: Share, key: Key, incoming: Incoming, now: float) -> None:
        del share.incoming[key]
        share.done[key] = (incoming.fragment.count, now)
        if len(share.done) > self.limits.remembered:
            share.done.popitem(last=False)
        share.untaken[key] = share.untaken.get(key, 0) + incoming.size
        stream = b"".join(incoming.chunks[index] for index in range(incoming.fragment.count))
        at = incoming.fragment.reply_records * RECORD_SIZE
        records = tuple(stream[i : i + RECORD_SIZE] for i in range(0, at, RECORD_SIZE))
        self.whole.append(Whole(key, records, stream[at:]))
        self._acknowledge(incoming, key[0])

    def _again(self, fragment: Fragment, count: int, answerer: Address | None, request_id: bytes) -> Verdict:
        """A fragment of a message that is complete: its acknowledgement was lost, or this one was late."""
        ack = acknowledgement(fragment.message_id, bytearray(b"\1" * count))
        if answerer is not None:
            self.orders.append(Order(ack, to=answerer, about=request_id))
        elif fragment.records:
            self.orders.append(Order(ack, record=fragment.records[-1]))
        return Verdict.OK

    def _acknowledge(self, incoming: Incoming, request_id: bytes) -> None:
        """An acknowledgement of what has come, with the newest SURB held, or to the one who answers.

        An answer gets as many fresh SURBs in all as it has fragments: so they serve its fragments, and do not grow in number.
        """
        ack = acknowledgement(incoming.fragment.message_id, incoming.arrived)
        if incoming.answerer is not None:
            room = (self._chunk - len(ack.body)) // RECORD_SIZE
            n_fresh = min(incoming.arrived.count(0), incoming.fragment.count - incoming.n_fresh, room)
            incoming.n_fresh += n_fresh
            self.orders.append(Order(ack, to=incoming.answerer, n_fresh=n_fresh, about=request_id))
        elif incoming.held:
            self.orders.append(Order(ack, record=incoming.held.pop()[1]))

    def taken(self, key: Key) -> None:
        """The application has taken a message, and its SURBs with it."""
        share = self._share(key)
        share.size -= share.untaken.pop(key, 0)

    def expire(self, now: float) -> None:
        """Partial acknowledgements that are due; forgets what is too old."""
        while self._timers and self._timers[0][0] <= now:
            at, due = heapq.heappop(self._timers)
            incoming = self._share(due).incoming.get(due)
            if incoming is not None and incoming.timer == at:
                self._due(due, incoming, now)
        for share in (self._strangers, self._answers):
            while (key := next(iter(share.incoming), None)) and self._is_old(share.incoming[key], now):
                share.forget(key)
            while (key := next(iter(share.done), None)) and share.done[key][1] + self.limits.remembered_for <= now:
                del share.done[key]
        while (key := next(iter(self._polled), None)) and self._is_old(self._polled[key], now):
            del self._polled[key]

    def _is_old(self, incoming: Incoming, now: float) -> bool:
        return incoming.touched + self.limits.forgotten_after <= now

    def _arm(self, key: Key, incoming: Incoming) -> None:
        """Sees to it that a message is looked at when its next acknowledgement is due."""
        if incoming.answerer is not None:
            at = incoming.next_ack if incoming.n_acks < RESENDS_MAX else math.inf
        else:
            at = incoming.held[0][0] + self._wait if incoming.held else math.inf
        if at < incoming.timer:
            incoming.timer = at
            heapq.heappush(self._timers, (at, key))

    def _due(self, key: Key, incoming: Incoming, now: float) -> None:
        """A message's time has come to be acknowledged as far as it is."""
        incoming.timer = math.inf
        if incoming.answerer is not None:
            self._press(incoming, key[0], now)
        elif incoming.held and incoming.held[0][0] + self._wait <= now:
            self._acknowledge(incoming, key[0])
            while incoming.held and incoming.held[0][0] + self._wait <= now:
                incoming.held.popleft()
        self._arm(key, incoming)

    def _press(self, incoming: Incoming, request_id: bytes, now: float) -> None:
        """Says what is missing of an answer that has stopped coming."""
        if incoming.next_ack <= now and incoming.n_acks < RESENDS_MAX:
            self._acknowledge(incoming, request_id)
            incoming.n_acks += 1
            incoming.next_ack = now + self._wait * BACKOFF**incoming.n_acks
