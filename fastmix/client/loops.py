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
    """The loops through a node since the last one that came back."""

    n: int = 0
    partners: set[int] = field(default_factory=set)
    since: float = 0.0
    """When the first of them left."""

    def lost(self, partner: int, left: float) -> None:
        """One more."""
        self.since = left if not self.n else min(self.since, left)
        self.n += 1
        self.partners.add(partner)


@dataclass(slots=True)
class Suspicion:
    """Until when a node is avoided, and how often it was suspected since a loop came back through it."""

    until: float
    times: int


class LoopWatch:
    """Remembers the loops that are out, and what became of the last ones."""

    def __init__(self, mean_delay: float) -> None:
        """`mean_delay`: seconds, of the network."""
        self._patience = RETURN_MEANS * mean_delay + RETURN_SLACK_S
        self._out: OrderedDict[bytes, tuple[float, Hops]] = OrderedDict()
        self._streaks: dict[int, Streak] = {}
        self._suspected: dict[int, Suspicion] = {}
        self._last_back = float("-inf")
        """When the newest loop left of those that came back."""
        self._all_lost = Streak()
        self.n_lost = self.n_back = 0

    def left(self, loop_id: bytes, hops: Hops, now: float) -> None:
        """A loop leaves."""
        self._out[loop_id] = (now, hops)
        if len(self._out) > OUT_MAX:
            self._out.popitem(last=False)

    def back(self, loop_id: bytes, now: float) -> float | None:
        """It has come back: the seconds that it took; None for one that is not known, or was given up."""
        found = self._out.pop(loop_id, None)
        if found is None:
            return None
        left, hops = found
        self.n_back += 1
        self._last_back = max(self._last_back, left)
        self._all_lost = Streak()
        for node in hops:
            self._streaks.pop(node, None)
            suspicion = self._suspected.get(node)
            if suspicion is not None and suspicion.until <= now:
                del self._suspected[node]
        return now - left

    def look(self, now: float, layers: Mapping[int, Collection[int]]) -> dict[int, str]:
        """Who is suspected now, and why. `layers`: the nodes of each layer that can be used."""
        while self._out and next(iter(self._out.values()))[0] + self._patience <= now:
            left, hops = self._out.popitem(last=False)[1]
            self._lost(left, hops)
        for layer, other in ((1, 2), (2, 1)):
            self._judge(now, layers.get(layer, ()), layers.get(other, ()))
        return {number: "its loops do not come back" for number, each in self._suspected.items() if each.until > now}

    def exit_is_lost(self, now: float) -> bool:
        """Whether nothing has come back for a while."""
        return self._all_lost.n >= EXIT_LOST and now - self._all_lost.since >= EXIT_LOST_S

    def forget_exit(self) -> None:
        """There is another one: what was lost through the one before says nothing."""
        self._out.clear()
        self._streaks.clear()
        self._all_lost = Streak()

    def _lost(self, left: float, hops: Hops) -> None:
        self.n_lost += 1
        first, second, exit_ = hops
        for node, partner in ((first, second), (second, first)):
            self._streaks.setdefault(node, Streak()).lost(partner, left)
        self._all_lost.lost(exit_, left)

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
        if streak is None or streak.n < LOST_IN_A_ROW or self._last_back < streak.since:
            return False
        return len(streak.partners) >= min(PARTNERS_LEAST, n_partners)

    def is_suspected(self, node: int, now: float) -> bool:
        """Whether routes go around it."""
        return node in self._suspected and self._suspected[node].until > now
