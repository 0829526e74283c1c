"""Loops through nodes that somebody has chosen, to see whether they come back, and how soon. They leave in the slots of covers.

Such a loop goes through all three layers and back by its node of layer 1, to whoever this client is there: so it reaches nodes of
layer 3 that are not the exit.
"""

from collections import deque

OUT_MAX = 1024

Hops = tuple[int, int, int, int]
"""Numbers of the nodes: layer 1, 2, 3, and the first again."""


class Probes:
    """Those that wait for a slot, and those that are out. `me`: the peer id at nodes of layer 1; empty where no loop can come
    back from there. `returned`: keys, and the seconds that it took; whoever reads empties it."""

    def __init__(self) -> None:
        self.me = b""
        self.waiting: deque[tuple[int, Hops]] = deque()
        self.returned: list[tuple[int, float]] = []
        self._out: dict[bytes, tuple[int, float]] = {}
        self._next = 0

    def add(self, hops: Hops) -> int:
        """A loop that is to leave; its key."""
        self._next += 1
        self.waiting.append((self._next, hops))
        return self._next

    def take(self, n: int) -> list[tuple[int, Hops]]:
        """At most n of those that wait."""
        return [self.waiting.popleft() for _ in range(min(n, len(self.waiting)))]

    def left(self, loop_id: bytes, key: int, now: float) -> None:
        """It leaves now."""
        self._out[loop_id] = (key, now)
        if len(self._out) > OUT_MAX:
            del self._out[next(iter(self._out))]

    def back(self, loop_id: bytes, now: float) -> None:
        """A loop has come back; nothing happens where it is none of these."""
        found = self._out.pop(loop_id, None)
        if found is not None:
            self.returned.append((found[0], now - found[1]))
