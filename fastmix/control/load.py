"""How busy a node is, from its counters."""

from collections import deque
from collections.abc import Mapping

from fastmix.packet.verdict import DROPS, Verdict

WINDOW_S = 10.0
EARLY = tuple(verdict.label for verdict in DROPS if verdict <= Verdict.DROP_KX_NON_CANONICAL)
"""Drops before any X25519: they cost a hundredth of an unwrap."""


class Load:
    """The packets that were unwrapped in the last ten seconds against what the node's cores can do."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, counters: Mapping[str, int]) -> None:
        """The counters at a moment of the steady clock; called a few times a second."""
        unwrapped = counters["received"] - counters["in_stage"] - sum(counters[label] for label in EARLY)
        self._seen.append((now_s, unwrapped))
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()

    def percent(self, unwraps_per_s: int) -> float:
        """Share of that capacity, 0.0 where nothing is known yet. Link frames, replay set and sockets take time, too: a node
        that can take no more shows less than 100."""
        if len(self._seen) < 2 or not unwraps_per_s or self._seen[-1][0] <= self._seen[0][0]:
            return 0.0
        (start_s, before), (end_s, after) = self._seen[0], self._seen[-1]
        return round(100.0 * max(after - before, 0) / (end_s - start_s) / unwraps_per_s, 3)
