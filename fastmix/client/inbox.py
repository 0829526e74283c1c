"""Messages on their way in: reassembly under bounds, acknowledgement, and each message once.

The rules are those of docs/wire-format.md, section 9, "Rules of the recipient of a message" and "of an answer".
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from fastmix.client.address import Address
from fastmix.client.fragments import RECORD_SIZE, Fragment, Kind, acknowledgement
from fastmix.client.outbox import ACK_MEANS, BACKOFF, RESENDS_MAX, Order
from fastmix.packet.verdict import Verdict

Key = tuple[bytes, bytes]
"""(message that this is an answer to, or empty; message id)."""


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """Bounds of what strangers can make a client keep. Beyond them fragments are `drop_sink_full` and not acknowledged."""

    incomplete: int = 1024
    """Most messages that are not complete."""
    size: int = 64 << 20
    """Most bytes of incomplete messages and of complete ones that the application has not taken."""
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
    """A message of which fragments have come. `held`: (time, acknowledgement SURB record); `next_ack`: an answer's turn."""

    fragment: Fragment
    answerer: Address | None
    arrived: bytearray
    touched: float
    next_ack: float
    chunks: dict[int, bytes] = field(default_factory=dict)
    held: deque[tuple[float, bytes]] = field(default_factory=deque)
    size: int = 0
    n_acks: int = 0

    def same_message(self, fragment: Fragment) -> bool:
        """Whether a fragment says of its message what the first one said."""
        mine = self.fragment
        return (mine.count, mine.total, mine.reply_records) == (fragment.count, fragment.total, fragment.reply_records)


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete message: its key, the reply SURB records and the application's bytes."""

    key: Key
    records: tuple[bytes, ...]
    data: bytes


class Inbox:
    """All messages on their way in. `orders` collects the acknowledgements, `whole` the messages; the session empties both."""

    def __init__(self, mean_delay: float, chunk: int, limits: InboxLimits | None = None) -> None:
        """`mean_delay` in seconds; `chunk`: bytes of a whole fragment's body."""
        self._wait = ACK_MEANS * mean_delay
        self._chunk = chunk
        self.limits = limits or InboxLimits()
        self._incoming: OrderedDict[Key, Incoming] = OrderedDict()
        self._done: OrderedDict[Key, tuple[int, float]] = OrderedDict()
        self._size = self._waiting = 0
        self.orders: list[Order] = []
        self.whole: list[Whole] = []

    def fragment(self, fragment: Fragment, now: float, request_id: bytes = b"", answerer: Address | None = None) -> Verdict:
        """Takes in data or a poll; of an answer with the id of the message that asked and the address that answers."""
        key = (request_id, fragment.message_id)
        done = self._done.get(key)
        if done is not None:
            return self._again(fragment, done[0], answerer, request_id)
        incoming = self._incoming.get(key)
        if incoming is None:
            if len(self._incoming) >= self.limits.incomplete or self._waiting >= self.limits.waiting:
                return Verdict.DROP_SINK_FULL
            incoming = Incoming(fragment, answerer, bytearray(fragment.count), now, now + self._wait)
            self._incoming[key] = incoming
        elif not incoming.same_message(fragment):
            return Verdict.DROP_MESSAGE_FORMAT
        return self._add(key, incoming, fragment, now)

    def _add(self, key: Key, incoming: Incoming, fragment: Fragment, now: float) -> Verdict:
        """A fragment of a message that is not complete."""
        if fragment.kind == Kind.DATA and not incoming.arrived[fragment.index]:
            if self._size + len(fragment.body) > self.limits.size:
                return Verdict.DROP_SINK_FULL
            incoming.arrived[fragment.index] = 1
            incoming.chunks[fragment.index] = fragment.body
            incoming.size += len(fragment.body)
            self._size += len(fragment.body)
            incoming.touched, incoming.next_ack, incoming.n_acks = now, now + self._wait, 0
            self._incoming.move_to_end(key)
        incoming.held.extend((now, record) for record in fragment.records)
        while len(incoming.held) > RESENDS_MAX:
            incoming.held.popleft()
        if 0 not in incoming.arrived:
            self._finish(key, incoming, now)
        return Verdict.OK

    def _finish(self, key: Key, incoming: Incoming, now: float) -> None:
        del self._incoming[key]
        self._remember(key, incoming.fragment.count, now)
        stream = b"".join(incoming.chunks[index] for index in range(incoming.fragment.count))
        at = incoming.fragment.reply_records * RECORD_SIZE
        records = tuple(stream[i : i + RECORD_SIZE] for i in range(0, at, RECORD_SIZE))
        self._size -= at
        self._waiting += 1
        self.whole.append(Whole(key, records, stream[at:]))
        self._acknowledge(incoming, key[0])

    def _remember(self, key: Key, count: int, now: float) -> None:
        self._done[key] = (count, now)
        if len(self._done) > self.limits.remembered:
            self._done.popitem(last=False)

    def _again(self, fragment: Fragment, count: int, answerer: Address | None, request_id: bytes) -> Verdict:
        """A fragment of a message that is complete: its acknowledgement was lost, or this one was late."""
        ack = acknowledgement(fragment.message_id, bytearray(b"\1" * count))
        if answerer is not None:
            self.orders.append(Order(ack, to=answerer, about=request_id))
        elif fragment.records:
            self.orders.append(Order(ack, record=fragment.records[-1]))
        return Verdict.OK

    def _acknowledge(self, incoming: Incoming, request_id: bytes) -> None:
        """An acknowledgement of what has come, with the newest SURB held, or to the one who answers."""
        ack = acknowledgement(incoming.fragment.message_id, incoming.arrived)
        if incoming.answerer is not None:
            room = (self._chunk - len(ack.body)) // RECORD_SIZE
            n_fresh = min(incoming.arrived.count(0), room)
            self.orders.append(Order(ack, to=incoming.answerer, n_fresh=n_fresh, about=request_id))
        elif incoming.held:
            self.orders.append(Order(ack, record=incoming.held.pop()[1]))

    def taken(self, size: int) -> None:
        """The application has taken a message of that many bytes."""
        self._size -= size
        self._waiting -= 1

    def expire(self, now: float) -> None:
        """Partial acknowledgements that are due; forgets what is too old."""
        for key, incoming in list(self._incoming.items()):
            if incoming.touched + self.limits.forgotten_after <= now:
                self._size -= incoming.size
                del self._incoming[key]
            elif incoming.answerer is not None:
                self._press(incoming, key[0], now)
            elif incoming.held and incoming.held[0][0] + self._wait <= now:
                self._acknowledge(incoming, key[0])
                while incoming.held and incoming.held[0][0] + self._wait <= now:
                    incoming.held.popleft()
        while self._done:
            key, (_, when) = next(iter(self._done.items()))
            if when + self.limits.remembered_for > now:
                break
            del self._done[key]

    def _press(self, incoming: Incoming, request_id: bytes, now: float) -> None:
        """Says what is missing of an answer that has stopped coming."""
        if incoming.next_ack <= now and incoming.n_acks < RESENDS_MAX:
            self._acknowledge(incoming, request_id)
            incoming.n_acks += 1
            incoming.next_ack = now + self._wait * BACKOFF**incoming.n_acks
