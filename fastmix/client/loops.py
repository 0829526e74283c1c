"""What a client's own loops say about nodes. Pure: times are seconds of a steady clock.

A cover is a loop: layer 1, layer 2, the exit, and back. One that has not come back in time is lost at one of the three, and
nothing says at which. So a node of layer 1 or 2 is suspected only where none of the last loops through it has come back, they
went through at least two different nodes of the other layer, and others that left meanwhile did come back. A node that loses
loops so that another one looks bad is then the one that is suspected: it is on all that are lost.

Routes go around a suspected node for a while, longer each time. At most half of a layer is suspected: what a client takes for
dead nodes may be its own line, and whoever could have nodes suspected at will could else choose its routes. The exit is on all
loops; where none at all comes back, it is the exit that is in doubt, or this machine.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

LOST_IN_A_ROW = 5
"""Loops through a node, after which it is suspected."""
PARTNERS_LEAST = 2
"""Nodes of the other layer that these have to have gone through, where there are as many."""
RETURN_MEANS, RETURN_SLACK_S = 20.0, 1.0
"""A loop is lost after so many mean delays, and this: three exponential delays are longer once in two million."""
SUSPECTED_S, SUSPECTED_MOST_S = 10.0, 160.0
EXIT_LOST, EXIT_LOST_S = 20, 5.0
"""The exit is in doubt after so many loops in a row, over that many seconds."""
OUT_MAX = 8192

Hops = tuple[int, int, int]
"""Numbers of the nodes of a loop: layer 1, layer 2, exit."""


@dataclass(slots=True)
class Streak:
    """Lost loops in a row: how many, the nodes of the other layer that they went through, when the first left, and how many loops
    had come back until then."""

    since: float
    n_back: int
    n: int = 0
    partners: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Suspicion:
    """Until when a node is avoided, and how often it was suspected since a loop came back through it."""

    until: float
    times: int


class LoopWatch:
    """Remembers the loops that are out, and judges them in the order in which they left."""

    def __init__(self, mean_delay: float) -> None:
        """`mean_delay`: seconds, of the network."""
        self._patience = RETURN_MEANS * mean_delay + RETURN_SLACK_S
        self._out: OrderedDict[bytes, tuple[float, Hops, bool]] = OrderedDict()
        """When it left, through whom, whether it is back."""
        self._late: OrderedDict[bytes, Hops] = OrderedDict()
        self._streaks: dict[int, Streak] = {}
        self._suspected: dict[int, Suspicion] = {}
        self._all: Streak | None = None
        self.n_lost = self.n_back = 0

    @property
    def n_out(self) -> int:
        """Loops that may still come back in time."""
        return len(self._out)

    def left(self, loop_id: bytes, hops: Hops, now: float) -> None:
        """A loop leaves."""
        self._out[loop_id] = (now, hops, False)
        if len(self._out) > OUT_MAX:
            self._out.popitem(last=False)

    def back(self, loop_id: bytes, now: float) -> float | None:
        """It has come back: the seconds that it took; None for one that is not known, or was given up, which shows nevertheless
        that its nodes are alive."""
        found = self._out.get(loop_id)
        if found is None:
            for node in self._late.pop(loop_id, ()):
                self._streaks.pop(node, None)
            return None
        left, hops, _ = found
        self._out[loop_id] = (left, hops, True)
        return now - left

    def look(self, now: float, layers: Mapping[int, Collection[int]]) -> dict[int, str]:
        """Who is suspected now, and why. `layers`: the nodes of each layer that can be used."""
        while self._out:
            left, hops, is_back = next(iter(self._out.values()))
            if not is_back and now < left + self._patience:
                break
            loop_id, _ = self._out.popitem(last=False)
            if is_back:
                self._came_back(hops, now)
            else:
                self._lost(loop_id, hops, left)
        for layer, other in ((1, 2), (2, 1)):
            self._judge(now, layers.get(layer, ()), layers.get(other, ()))
        return {number: "its loops do not come back" for number in self._suspected if self.is_suspected(number, now)}

    def exit_is_lost(self, now: float) -> bool:
        """Whether nothing has come back for a while."""
        return self._all is not None and self._all.n >= EXIT_LOST and now - self._all.since >= EXIT_LOST_S

    def forget_exit(self) -> None:
        """There is another one: what was lost through the one before says nothing."""
        self._out.clear()
        self._late.clear()
        self._streaks.clear()
        self._all = None

    def _came_back(self, hops: Hops, now: float) -> None:
        self.n_back += 1
        if self._all is not None and self._all.n >= LOST_IN_A_ROW:
            self._streaks.clear()  # nothing came back at all: that was no single node
        self._all = None
        for node in hops:
            self._streaks.pop(node, None)
            if node in self._suspected and not self.is_suspected(node, now):
                del self._suspected[node]

    def _lost(self, loop_id: bytes, hops: Hops, left: float) -> None:
        self.n_lost += 1
        self._late[loop_id] = hops
        if len(self._late) > OUT_MAX:
            self._late.popitem(last=False)
        if self._all is None:
            self._all = Streak(left, self.n_back)
        self._all.n += 1
        first, second, _ = hops
        for node, partner in ((first, second), (second, first)):
            if node in self._suspected and left < self._suspected[node].until:
                continue  # it left before anybody went around the node
            streak = self._streaks.setdefault(node, Streak(left, self.n_back))
            streak.n += 1
            streak.partners.add(partner)

    def _judge(self, now: float, nodes: Collection[int], others: Collection[int]) -> None:
        """Suspects nodes of a layer, the longest streaks first, as long as half of it stays."""
        room = len(nodes) // 2 - sum(self.is_suspected(node, now) for node in nodes)
        bad = [node for node in nodes if not self.is_suspected(node, now) and self._is_bad(node, len(others))]
        for node in sorted(bad, key=lambda node: (-self._streaks[node].n, node))[: max(0, room)]:
            times = self._suspected[node].times + 1 if node in self._suspected else 0
            self._suspected[node] = Suspicion(now + min(SUSPECTED_MOST_S, SUSPECTED_S * 2**times), times)
            del self._streaks[node]

    def _is_bad(self, node: int, n_partners: int) -> bool:
        streak = self._streaks.get(node)
        if streak is None or streak.n < LOST_IN_A_ROW or self.n_back == streak.n_back:
            return False
        return len(streak.partners) >= min(PARTNERS_LEAST, n_partners)

    def is_suspected(self, node: int, now: float) -> bool:
        """Whether routes go around it."""
        return node in self._suspected and self._suspected[node].until > now
