"""Whether more loops get lost than chance explains, and on which nodes. Pure: times are arguments.

Each loop's fate is a draw with the share of losses that is usual. An alarm is a number of losses among the last 5, 10, 20, ...
loops that such draws would give less often than once in 10^9 times (binomial): at one loop a second and 1 % usual loss, 5 of 5
(so a block is found in 5 s), or 10 of 60.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WINDOW_NS = 60_000_000_000
KEPT = 4096
"""Fates at most: what lies further back is forgotten, however few seconds that is."""
FIRST_LOOK = 5
FALSE_ALARM = 1e-9
NAMED = 3
"""Nodes at most that an alarm names, if they do not look alike."""
Way = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """Loops over a node in the last minute: how many were lost, of how many whose fate is known."""

    lost: int
    judged: int

    @property
    def share(self) -> float:
        """Of them, the lost ones."""
        return self.lost / self.judged if self.judged else 0.0

    @property
    def text(self) -> str:
        """`12 of 15`."""
        return f"{self.lost} of {self.judged}"


class LoopLoss:
    """The fates of a node's loops in the last minute. `usual`: the share that gets lost where all is well."""

    def __init__(self, usual: float) -> None:
        self.usual = usual
        self._fates: deque[tuple[int, bool, Way]] = deque(maxlen=KEPT)

    def note(self, now_ns: int, is_lost: bool, way: Way) -> None:
        """A loop over these nodes is back, or will not come any more."""
        self._fates.append((now_ns, is_lost, way))

    def forget(self) -> None:
        """What was before means nothing any more."""
        self._fates.clear()

    def look(self, now_ns: int) -> None:
        """Forgets what was more than a minute ago."""
        while self._fates and now_ns - self._fates[0][0] > WINDOW_NS:
            self._fates.popleft()

    @property
    def figure(self) -> Figure:
        """Of all."""
        return Figure(sum(is_lost for _, is_lost, _ in self._fates), len(self._fates))

    def is_alarming(self) -> bool:
        """Whether that cannot be chance."""
        return self._alarms((is_lost for _, is_lost, _ in reversed(self._fates)), len(self._fates))

    def figures(self, *, first_hops: bool = False) -> dict[int, Figure]:
        """By node that loops went over, or only by the first one, to which this node itself sends."""
        return _figures((way[:1] if first_hops else way, is_lost) for _, is_lost, way in self._fates)

    def suspects(self) -> dict[int, Figure]:
        """The nodes without whose loops the others' are no alarm: again and again the one with the largest share of losses, and
        those that look just like it. Whoever is between two of them, the network and its attacker, looks like them."""
        fates = [(way, is_lost) for _, is_lost, way in reversed(self._fates)]
        found: dict[int, Figure] = {}
        while self._alarms((is_lost for _, is_lost in fates), len(fates)) and len(found) < NAMED:
            figures = _figures(fates)
            worst = max(figures.values(), key=lambda each: (each.share, each.lost))
            found |= {number: each for number, each in figures.items() if each == worst}
            fates = [(way, is_lost) for way, is_lost in fates if not found.keys() & set(way)]
        return found

    def _alarms(self, newest_first: Iterable[bool], n: int) -> bool:
        lost, look = 0, FIRST_LOOK
        for at, is_lost in enumerate(newest_first, 1):
            lost += is_lost
            if at in (look, n):
                if at >= FIRST_LOOK and chance(lost, at, self.usual) < FALSE_ALARM:
                    return True
                look = 2 * look if at == look else look
        return False


def _figures(fates: Iterable[tuple[Way, bool]]) -> dict[int, Figure]:
    lost: Counter[int] = Counter()
    judged: Counter[int] = Counter()
    for way, is_lost in fates:
        judged.update(way)
        if is_lost:
            lost.update(way)
    return {number: Figure(lost[number], n) for number, n in judged.items()}


def chance(lost: int, n: int, share: float) -> float:
    """How likely `lost` or more of n are, where each is with probability `share` (0 to 1, both excluded)."""
    if lost <= n * share:
        return 1.0
    return min(sum(_terms(lost, n, share)), 1.0)


def _terms(lost: int, n: int, share: float) -> Iterator[float]:
    """Binomial probabilities of `lost`, `lost` + 1, ... of n, as long as they matter."""
    log = math.lgamma(n + 1) - math.lgamma(lost + 1) - math.lgamma(n - lost + 1)
    term = math.exp(log + lost * math.log(share) + (n - lost) * math.log1p(-share))
    first = term
    for k in range(lost, n + 1):
        yield term
        term *= (n - k) / (k + 1) * share / (1 - share)
        if term < first * 1e-12:
            return
