"""What a session tells of messages."""

from collections import deque
from dataclasses import dataclass, field

from fastmix.client.address import Address


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message that came. With SURBs (`n_surbs` > 0) it can be answered; its sender stays unknown.

    `in_reply_to` is the id of the message of ours that it answers, else None.
    """

    data: bytes = field(repr=False)
    id: bytes
    in_reply_to: bytes | None = None
    surbs: deque[bytes] = field(default_factory=deque, repr=False)

    @property
    def n_surbs(self) -> int:
        """Packets that can still be sent in answer."""
        return len(self.surbs)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of ours of which every fragment is acknowledged. `latency`: seconds from `send` to the last acknowledgement."""

    id: bytes
    latency: float
    n_fragments: int
    n_retransmitted: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A message of ours that was not acknowledged before its deadline. `why`: nodes whose keys are missing, if that is why."""

    id: bytes
    n_fragments: int
    n_acknowledged: int
    n_retransmitted: int
    why: str = ""


Event = Message | Sent | TimedOut


@dataclass(slots=True)
class Asked:
    """A message of ours that may be answered, once: to whom it went and when, and the id of the answer that has begun."""

    to: Address
    at: float
    answer: bytes | None = None
