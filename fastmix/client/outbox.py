"""Messages on their way out: fragments, polls, retransmission. Time is an argument, in seconds of any steady clock.

The rules are those of docs/wire-format.md, section 9, "Rules of the sender of a message" and "of an answer".
"""

from collections import deque
from collections.abc import Iterable, Iterator
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


@dataclass(slots=True)
class Order:
    """One packet that wants to leave. Exactly one of `to` (a request) and `record` (a reply in that SURB record) is set.

    `n_ack` and `n_fresh` SURBs are made when it leaves, and put into the fragment: for acknowledgements, and for answers, of the
    message `about`.
    """

    fragment: Fragment
    to: Address | None = None
    record: bytes | None = None
    class_: int = 0
    n_ack: int = 0
    n_fresh: int = 0
    about: bytes = b""


class RoundTrip:
    """Retransmission time from measured round trips (RFC 6298); seconds."""

    def __init__(self, mean_delay: float, shortest: float | None = None) -> None:
        """`shortest` stands in for 60 mean delays."""
        self._shortest = RETRANSMIT_MEANS * mean_delay if shortest is None else shortest
        self._wait = ACK_MEANS * mean_delay
        self._smooth = self._deviation = 0.0
        self.n_samples = 0

    def sample(self, seconds: float) -> None:
        """Takes in one round trip. A SURB serves once, so none is ambiguous after a retransmission."""
        if not self.n_samples:
            self._smooth, self._deviation = seconds, seconds / 2
        else:
            self._deviation += (abs(self._smooth - seconds) - self._deviation) / 4
            self._smooth += (seconds - self._smooth) / 8
        self.n_samples += 1

    def timeout(self, n_resends: int) -> float:
        """Seconds after which a fragment that was resent that often is taken for lost."""
        return max(self._shortest, self._smooth + 4 * self._deviation + self._wait) * BACKOFF**n_resends


@dataclass(slots=True, eq=False)
class Outgoing:
    """One message (or, with `records`, an answer) until it is acknowledged.

    `queue` holds what waits for a slot: fragment indices and `POLL`. A fragment is due for retransmission once a poll that
    left after it has gone unanswered for the round trip's timeout.
    """

    message_id: bytes
    stream: memoryview
    chunk: int
    reply_records: int
    to: Address | None
    records: deque[bytes] | None
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

    def left(self, order: Order, now: float, round_trip: RoundTrip) -> None:
        """The packet of that order has left."""
        if order.fragment.kind == Kind.DATA:
            self.unpolled.append(order.fragment.index)
        if order.n_ack or (self.records is not None and not self.queue):
            for index in self.unpolled:
                if not self.acked[index]:
                    self.due[index] = now + round_trip.timeout(self.resends[index])
            self.unpolled.clear()

    def acknowledge(self, ack: Fragment) -> None:
        """Takes in an acknowledgement; one that is not of this message's count changes nothing."""
        if ack.count != self.count:
            return
        for index in acknowledged(ack):
            if index < self.count:
                self.acked[index] = 1
                self.due.pop(index, None)

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
    """All messages on their way out, served in turn; acknowledgements go first."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self.round_trip = round_trip
        self.urgent: deque[Order] = deque()
        self._messages: dict[bytes, Outgoing] = {}
        self._turns: deque[Outgoing] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._messages

    def add(self, message: Outgoing) -> None:
        """A new message."""
        self._messages[message.message_id] = message
        self._wake(message)

    def remove(self, message_id: bytes) -> None:
        """Gives a message up; what waits of it never leaves."""
        message = self._messages.pop(message_id, None)
        if message is not None:
            message.queue.clear()

    def take(self, n: int, now: float) -> Iterator[Order]:
        """Up to n packets, which leave now."""
        while n and self.urgent:
            yield self.urgent.popleft()
            n -= 1
        while n and self._turns:
            message = self._turns.popleft()
            order = message.take()
            message.in_turn = order is not None
            if order is None:
                continue
            message.left(order, now, self.round_trip)
            self._turns.append(message)
            n -= 1
            yield order

    def acknowledge(self, ack: Fragment, answer: bool) -> Outgoing | None:
        """Takes in an acknowledgement, of an answer or of a message; returns the message if it is done by this."""
        message = self._messages.get(ack.message_id)
        if message is None or answer != (message.records is not None):
            return None
        message.acknowledge(ack)
        if message.records is not None and ack.records:
            message.records.extend(ack.records)
            self._wake(message)
        if not message.done:
            return None
        self.remove(message.message_id)
        return message

    def expire(self, now: float) -> tuple[list[Outgoing], int]:
        """(messages past their deadline, given up by this; number of fragments that were queued again)."""
        late, n_resent = [message for message in self._messages.values() if message.deadline <= now], 0
        for message in late:
            self.remove(message.message_id)
        for message in self._messages.values():
            if message.due and (n := message.resend(now)):
                n_resent += n
                self._wake(message)
        return late, n_resent

    def _wake(self, message: Outgoing) -> None:
        """The message has something to send again."""
        if not message.in_turn:
            message.in_turn = True
            self._turns.append(message)
