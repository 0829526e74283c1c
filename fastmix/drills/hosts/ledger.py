"""What became of every message of a fleet: when it was sent, when it arrived first, and how often.

Times are of the machine's monotonic clock, which all namespaces share.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Cost:
    """What a failure has cost. `under_way`: messages that were on their way at that moment, and so the most that it can have
    taken itself; `missed_under_way`: those of them that did not come in time. `missed_afterwards`: messages sent after it that
    did not, the last of them `back_after_ns` after it: from then on all came in time, `sent_since`. If none was sent since,
    nothing says that delivery is back. `lost`: messages that never came, also not by being sent again."""

    under_way: int
    missed_under_way: int
    missed_afterwards: int
    back_after_ns: int
    sent_since: int
    lost: int


class Ledger:
    """Filled by what the clients say, in any order; asked afterwards."""

    def __init__(self, in_time_ns: int = NEVER) -> None:
        """`in_time_ns`: what comes later has been sent again, and was missed. By default nothing is sent again."""
        self._in_time_ns = in_time_ns
        self.n_refused = 0
        self._sent: dict[int, int] = {}
        self._arrived: dict[int, int] = {}
        self._times: Counter[int] = Counter()

    def sent(self, told: Iterable[tuple[int, int]]) -> None:
        """(message, ns) of each that was sent."""
        self._sent.update(told)

    def arrived(self, told: Iterable[tuple[int, int]]) -> None:
        """(message, ns) of each that came; the first time counts."""
        for number, at_ns in told:
            self._arrived[number] = min(at_ns, self._arrived.get(number, NEVER))
            self._times[number] += 1

    def refused(self, told: Iterable[int]) -> None:
        """Messages that never left, as whoever would have sent them was told: they count as not sent."""
        for number in told:
            self._sent.pop(number, None)
            self.n_refused += 1

    @property
    def n_sent(self) -> int:
        """Messages."""
        return len(self._sent)

    @property
    def n_arrived(self) -> int:
        """Of those that were sent, so many have come."""
        return len(self._arrived.keys() & self._sent.keys())

    @property
    def n_unknown(self) -> int:
        """Messages that came and that nobody has sent."""
        return len(self._arrived.keys() - self._sent.keys())

    @property
    def n_doubled(self) -> int:
        """Messages that came more than once."""
        return sum(1 for n in self._times.values() if n > 1)

    def lost(self, from_ns: int = 0, to_ns: int = NEVER) -> list[int]:
        """Messages sent in this time that have never come, in the order in which they were sent."""
        return [number for number in self._in_order(from_ns, to_ns) if number not in self._arrived]

    def missed(self, from_ns: int = 0, to_ns: int = NEVER) -> list[int]:
        """Messages sent in this time that have not come in time, in the order in which they were sent."""
        return [number for number in self._in_order(from_ns, to_ns) if not self._came_in_time(number)]

    def _came_in_time(self, number: int) -> bool:
        return number in self._arrived and self._arrived[number] - self._sent[number] <= self._in_time_ns

    def under_way(self, at_ns: int, since_ns: int = 0) -> list[int]:
        """Messages that were sent before that moment, and since the other one, and had not come by then: what a failure can have
        cost at most, besides what is sent afterwards."""
        return [number for number in self._in_order(since_ns, at_ns) if self._arrived.get(number, NEVER) > at_ns]

    def cost_of(self, failed_ns: int, *, since_ns: int = 0, until_ns: int = NEVER) -> Cost:
        """What a failure at that moment has cost, as messages tell that were sent since `since_ns` (after whatever failed before)
        and before `until_ns`. To be asked once all that can come has come."""
        under_way = set(self.under_way(failed_ns, since_ns))
        missed = self.missed(failed_ns, until_ns)
        back_ns = self._sent[missed[-1]] - failed_ns if missed else 0
        return Cost(
            under_way=len(under_way),
            missed_under_way=len(under_way.intersection(self.missed(since_ns, failed_ns))),
            missed_afterwards=len(missed),
            back_after_ns=back_ns,
            sent_since=len(self._in_order(failed_ns + back_ns, until_ns)) - bool(missed),
            lost=len(self.lost(since_ns, until_ns)),
        )

    def delays_ns(self, from_ns: int = 0, to_ns: int = NEVER) -> list[int]:
        """From sending to the first arrival, of what was sent in this time and has come; ascending."""
        return sorted(
            self._arrived[number] - self._sent[number] for number in self._in_order(from_ns, to_ns) if number in self._arrived
        )

    def _in_order(self, from_ns: int, to_ns: int) -> list[int]:
        found = [(at_ns, number) for number, at_ns in self._sent.items() if from_ns <= at_ns < to_ns]
        return [number for _, number in sorted(found)]
