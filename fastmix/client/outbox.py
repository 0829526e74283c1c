"""Messages on their way out: fragments, polls, retransmission. Time is an argument, in seconds of any steady clock.

The rules are those of docs/wire-format.md, section 9, "Rules of the sender of a message" and "of an answer".
"""

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from fastmix.client.address import Address
from fastmix.client.fragments import RECORD_SIZE, Fragment, Kind, acknowledged, fragment_count

POLL_EVERY = 16
"""Fragments between two acknowledgement SURBs."""
RESENDS_MAX = 8
"""A fragment leaves at most once and this many times more."""
BACKOFF = 1.5
RETRANSMIT_MEANS = 60
"""Shortest retransmission time, in mean delays of the network: six hops and the recipient's wait of `ACK_MEANS`."""
ACK_MEANS = 20
"""What a recipient waits before it acknowledges a message that is not complete, in mean delays."""
LONGEST = 10
"""Longest retransmission time before it grows with resending, in shortest ones."""
RECIPIENTS_KEPT = 1024
"""Recipients whose round trip is remembered."""
ACKS_WAITING = 1024
"""Most messages of others whose acknowledgement waits for a slot; the oldest is forgotten first."""


@dataclass(slots=True)
class Order:
    """One packet that wants to leave. Exactly one of `to` (a request) and `record` (a reply in that SURB record) is set.

    `n_ack` and `n_fresh` SURBs are made when it leaves, and put into the fragment: for acknowledgements, and for answers, of the
    message `about`.
    """

    fragment: Fragment = field(repr=False)
    to: Address | None = None
    record: bytes | None = field(default=None, repr=False)
    class_: int = 0
    n_ack: int = 0
    n_fresh: int = 0
    about: bytes = b""


class RoundTrip:
    """Retransmission time from measured round trips (RFC 6298) to one recipient; seconds."""

    def __init__(self, mean_delay: float, shortest: float | None = None) -> None:
        """`shortest` stands in for 60 mean delays. A recipient cannot make it more than ten times that."""
        self._shortest = RETRANSMIT_MEANS * mean_delay if shortest is None else shortest
        self._wait = ACK_MEANS * mean_delay
        self._smooth = self._deviation = 0.0
        self.n_samples = 0

    def sample(self, seconds: float) -> None:
        """Takes in one round trip. A SURB serves once, so none is ambiguous after a retransmission."""
        seconds = min(seconds, LONGEST * self._shortest)
        if not self.n_samples:
            self._smooth, self._deviation = seconds, seconds / 2
        else:
            self._deviation += (abs(self._smooth - seconds) - self._deviation) / 4
            self._smooth += (seconds - self._smooth) / 8
        self.n_samples += 1

    def timeout(self, n_resends: int) -> float:
        """Seconds after which a fragment that was resent that often is taken for lost."""
        measured = min(self._smooth + 4 * self._deviation + self._wait, LONGEST * self._shortest)
        return max(self._shortest, measured) * BACKOFF**n_resends


class RoundTrips:
    """One `RoundTrip` for each of the recipients written to last."""

    def __init__(self, mean_delay: float, shortest: float | None = None) -> None:
        """As `RoundTrip`."""
        self._mean_delay, self._shortest = mean_delay, shortest
        self._known: OrderedDict[bytes, RoundTrip] = OrderedDict()

    def of(self, to: Address | None) -> RoundTrip:
        """That of a recipient; without an address, for an answer, one that nobody's samples are in."""
        if to is None:
            return RoundTrip(self._mean_delay, self._shortest)
        known = self._known.get(to.peer_id)
        if known is None:
            known = self._known[to.peer_id] = RoundTrip(self._mean_delay, self._shortest)
            if len(self._known) > RECIPIENTS_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(to.peer_id)
        return known


@dataclass(slots=True, eq=False)
class Outgoing:
    """One message (or, with `records`, an answer) until it is acknowledged.

    `queue` holds what waits for a slot: fragment indices and `POLL`. A fragment is due for retransmission once a poll that
    left after it has gone unanswered for the round trip's timeout. `timer`: when the outbox looks at it.
    """

    message_id: bytes
    stream: memoryview = field(repr=False)
    chunk: int
    reply_records: int
    to: Address | None
    records: deque[bytes] | None = field(repr=False)
    deadline: float
    began: float
    class_: int = 0
    count: int = 0
    acked: bytearray = field(default_factory=bytearray)
    resends: bytearray = field(default_factory=bytearray)
    due: dict[int, float] = field(default_factory=dict)
    unpolled: list[int] = field(default_factory=list)
    queue: deque[int] = field(default_factory=deque)
    n_resent: int = 0
    in_turn: bool = False
    timer: float = math.inf

    POLL: ClassVar[int] = -1

    def __post_init__(self) -> None:
        self.count = fragment_count(len(self.stream), self.chunk)
        self.acked, self.resends = bytearray(self.count), bytearray(self.count)
        self._enqueue(range(self.count))

    @property
    def done(self) -> bool:
        """All fragments are acknowledged."""
        return 0 not in self.acked

    def _enqueue(self, indices: Iterable[int]) -> None:
        if self.records is not None:
            self.queue.extend(indices)
            return
        for n, index in enumerate(indices, 1):
            self.queue.append(index)
            if n % POLL_EVERY == 0 and index != self.count - 1:
                self.queue.append(self.POLL)
        if self.queue[-1] != self.POLL and not self._polls(self.queue[-1]):
            self.queue.append(self.POLL)

    def _polls(self, index: int) -> bool:
        """The fragment is the last and has room for an acknowledgement SURB."""
        return self.records is None and index == self.count - 1 and len(self._body(index)) + RECORD_SIZE <= self.chunk

    def _body(self, index: int) -> memoryview:
        return self.stream[index * self.chunk : (index + 1) * self.chunk]

    def take(self) -> Order | None:
        """The next packet; None if nothing waits (or no SURB is left to send it with)."""
        while self.queue and self.queue[0] >= 0 and self.acked[self.queue[0]]:
            self.queue.popleft()
        if not self.queue or (self.records is not None and not self.records):
            return None
        index = self.queue.popleft()
        record = self.records.popleft() if self.records is not None else None
        about = (self.message_id, max(index, 0), self.count, len(self.stream), self.reply_records)
        if index == self.POLL:
            order = Order(Fragment(Kind.POLL, *about), n_ack=1)
        else:
            order = Order(Fragment(Kind.DATA, *about, body=bytes(self._body(index))), n_ack=int(self._polls(index)))
        order.to, order.record, order.class_, order.about = self.to, record, self.class_, self.message_id
        return order

    def left(self, order: Order, now: float, round_trip: RoundTrip) -> bool:
        """The packet of that order has left; whether something is due by this."""
        if order.fragment.kind == Kind.DATA:
            self.unpolled.append(order.fragment.index)
        if not order.n_ack and (self.records is None or self.queue):
            return False
        for index in self.unpolled:
            if not self.acked[index]:
                self.due[index] = now + round_trip.timeout(self.resends[index])
        self.unpolled.clear()
        return True

    def acknowledge(self, ack: Fragment) -> None:
        """Takes in an acknowledgement; one that is not of this message's count changes nothing."""
        if ack.count != self.count:
            return
        for index in acknowledged(ack):
            if index < self.count:
                self.acked[index] = 1
                self.due.pop(index, None)

    def next_due(self) -> float:
        """When the first fragment is taken for lost, or the message is given up."""
        return min(self.deadline, *self.due.values()) if self.due else self.deadline

    def refill(self, records: tuple[bytes, ...]) -> None:
        """Takes in fresh SURBs for an answer, up to two for each fragment and one more."""
        if self.records is not None:
            self.records.extend(records[: max(0, 2 * self.count + 1 - len(self.records))])

    def resend(self, now: float) -> int:
        """Queues what is taken for lost; returns how many fragments."""
        late = sorted(index for index, due in self.due.items() if due <= now)
        for index in late:
            del self.due[index]
        again = [index for index in late if self.resends[index] < RESENDS_MAX]
        for index in again:
            self.resends[index] += 1
        if again:
            self._enqueue(again)
        self.n_resent += len(again)
        return len(again)


class Outbox:
    """All messages on their way out, served in turn. Acknowledgements of strangers' messages take at most every other slot."""

    def __init__(self, mean_delay: float, shortest: float | None = None) -> None:
        """`mean_delay` in seconds; `shortest` stands in for 60 of them as the shortest retransmission time."""
        self._round_trips = RoundTrips(mean_delay, shortest)
        self._acks: OrderedDict[bytes, Order] = OrderedDict()
        self._own_acks: OrderedDict[bytes, Order] = OrderedDict()
        self._messages: dict[bytes, Outgoing] = {}
        self._round_trip: dict[bytes, RoundTrip] = {}
        self._turns: deque[Outgoing] = deque()
        self._timers: list[tuple[float, bytes]] = []
        self._strangers_turn = True
        self._is_open: Callable[[Address], bool] = lambda _: True

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._messages

    @property
    def n_acks(self) -> int:
        """Acknowledgements that wait for a slot."""
        return len(self._acks) + len(self._own_acks)

    def add(self, message: Outgoing) -> None:
        """A new message."""
        self._messages[message.message_id] = message
        self._round_trip[message.message_id] = self._round_trips.of(message.to)
        self._arm(message)
        self._wake(message)

    def remove(self, message_id: bytes) -> None:
        """Gives a message up; what waits of it never leaves."""
        message = self._messages.pop(message_id, None)
        if message is not None:
            del self._round_trip[message_id]
            message.queue.clear()

    def add_ack(self, order: Order) -> None:
        """An acknowledgement. A newer one of the same message takes the older one's place."""
        acks, key = (self._own_acks, order.about) if order.to is not None else (self._acks, order.fragment.message_id)
        acks[key] = order
        if len(acks) > ACKS_WAITING:
            acks.popitem(last=False)

    def take(self, n: int, now: float, is_open: Callable[[Address], bool] = lambda _: True) -> Iterator[Order]:
        """Up to n packets, which leave now. What goes to an address that is not open waits."""
        self._is_open = is_open
        for _ in range(n):
            order = self._next(now)
            if order is None:
                return
            yield order

    def _next(self, now: float) -> Order | None:
        """Strangers' acknowledgements and what is our own take turns, so that neither stops the other."""
        first, second = (self._take_ack, self._take_own) if self._strangers_turn else (self._take_own, self._take_ack)
        order = first(now) or second(now)
        self._strangers_turn = order is not None and (order.record is None or order.fragment.kind != Kind.ACK)
        return order

    def _take_ack(self, now: float) -> Order | None:
        return self._acks.popitem(last=False)[1] if self._acks else None

    def _take_own(self, now: float) -> Order | None:
        """Acknowledgements of answers to us first, then messages in turn."""
        for key, ack in self._own_acks.items():
            if ack.to is None or self._is_open(ack.to):
                return self._own_acks.pop(key)
        for _ in range(len(self._turns)):
            message = self._turns.popleft()
            if message.to is not None and not self._is_open(message.to):
                self._turns.append(message)
                continue
            order = message.take()
            message.in_turn = order is not None
            if order is not None:
                if message.left(order, now, self._round_trip[message.message_id]):
                    self._arm(message)
                self._turns.append(message)
                return order
        return None

    def sample(self, message_id: bytes, seconds: float) -> None:
        """A round trip of a message that is still under way; of another nothing is learned."""
        if message_id in self._round_trip:
            self._round_trip[message_id].sample(seconds)

    def acknowledge(self, ack: Fragment, answer: bool) -> Outgoing | None:
        """Takes in an acknowledgement, of an answer or of a message; returns the message if it is done by this."""
        message = self._messages.get(ack.message_id)
        if message is None or answer != (message.records is not None):
            return None
        message.acknowledge(ack)
        if ack.records:
            message.refill(ack.records)
            self._wake(message)
        if not message.done:
            return None
        self.remove(message.message_id)
        return message

    def expire(self, now: float) -> tuple[list[Outgoing], int]:
        """(messages past their deadline, given up by this; number of fragments that were queued again)."""
        late: list[Outgoing] = []
        n_resent = 0
        while self._timers and self._timers[0][0] <= now:
            at, message_id = heapq.heappop(self._timers)
            message = self._messages.get(message_id)
            if message is None or message.timer != at:
                continue
            if message.deadline <= now:
                late.append(message)
                self.remove(message_id)
            else:
                n_resent += self._resend(message, now)
        return late, n_resent

    def _resend(self, message: Outgoing, now: float) -> int:
        message.timer = math.inf
        n = message.resend(now)
        if n:
            self._wake(message)
        self._arm(message)
        return n

    def _arm(self, message: Outgoing) -> None:
        """Sees to it that a message is looked at when something of it is due."""
        at = message.next_due()
        if at < message.timer:
            message.timer = at
            heapq.heappush(self._timers, (at, message.message_id))

    def _wake(self, message: Outgoing) -> None:
        """The message has something to send again."""
        if not message.in_turn:
            message.in_turn = True
            self._turns.append(message)
