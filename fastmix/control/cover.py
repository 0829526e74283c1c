"""The node's own loops: made at a rate and where the floor lacks residents, and missed where they do not come back.

Loops at a Poisson rate are Loopix's defence against (n-1) attacks (USENIX Security 2017): who wants to single out a message in a
mix has to keep all others away from it, and so keeps away the mix's own loops, which it misses. Pure: clocks, the rings and the
source of randomness are arguments.
"""

import random
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastmix import sphinx
from fastmix.control.loop_loss import LoopLoss
from fastmix.control.loop_routes import Drawn, LoopRoutes
from fastmix.packet.geometry import SURB_ID_SIZE
from fastmix.seam.originate import MARK_SIZE, OwnPackets

SECOND_NS = 1_000_000_000
AHEAD_NS = 150_000_000
"""Loops of a rate are made so long before their time, so that they leave when it comes, not when somebody looks."""
HOPS = 3
DELAY_MOST = 10
"""A packet's delay is capped at so many means."""
SLACK_NS = SECOND_NS
RAISE_MOST = 8
RAISE_NS = 5 * SECOND_NS
"""While loops are lost the rate doubles so often, up to eight times itself; and then goes back alike."""
SETTLE_NS = 10 * SECOND_NS
"""So long after a node has come into reach its links to others may not be there: loops over it are not missed."""


@dataclass(frozen=True, slots=True)
class CoverRates:
    """`rate`: loops a second; `fill`: so many a second more at most where the floor lacks residents; `usual_loss`: the share of
    loops that gets lost where all is well; `max_latency_ns`: how long a node may hold a packet beyond its time."""

    rate: float
    fill: float
    usual_loss: float
    max_latency_ns: int


@dataclass(slots=True)
class Loop:
    """One that is under way. `since_ns`: when it may have left at the earliest; `position`: its place among own packets."""

    way: tuple[int, int]
    position: int
    since_ns: int
    is_judged: bool


@dataclass
class LoopCover:
    """The loops of one node. `seeded`: for tests; else the kernel draws."""

    own: OwnPackets
    rates: CoverRates
    seeded: random.Random | None = None
    routes: LoopRoutes | None = None
    raised: int = 1
    """The rate is so many times itself."""
    is_alarmed: bool = False
    _under_way: dict[bytes, Loop] = field(default_factory=dict)
    _not_taken: deque[Loop] = field(default_factory=deque)
    _next_ns: int | None = None
    _raised_ns: int = 0
    _settled_ns: dict[int, int] = field(default_factory=dict)
    """When links to the nodes that have come last are sure to be there."""
    _filled: float = 0.0
    _filled_ns: int | None = None

    def __post_init__(self) -> None:
        self.random = self.seeded or random.SystemRandom()
        self.loss = LoopLoss(self.rates.usual_loss)
        mark = self.random.randbytes(MARK_SIZE)
        while not any(mark):
            mark = self.random.randbytes(MARK_SIZE)
        self._mark = mark
        self.own.begin(mark)

    def set_routes(self, routes: LoopRoutes | None, now_ns: int, *, settles: bool = True) -> None:
        """Other ways from now on. `settles`: links to nodes that are new among them may not be there yet."""
        before = self.routes.nodes if self.routes else frozenset()
        self._settled_ns = {number: until_ns for number, until_ns in self._settled_ns.items() if until_ns > now_ns}
        if routes is not None and settles:
            self._settled_ns |= dict.fromkeys(routes.nodes - before, now_ns + SETTLE_NS)
        self.routes = routes

    def tick(self, now_ns: int, wall_ns: int, *, makes: bool = True) -> int:
        """What is due, by the mixer's clock and by Unix time; called some ten times a second. `makes`: False where the node takes
        nothing new. Returns how many loops were made."""
        self._hear(now_ns)
        self._miss(now_ns)
        self._judge(now_ns)
        if not makes or self.routes is None or not self.routes.is_open:
            self._next_ns = self._filled_ns = None
            return 0
        due_ns = self._due_by_rate(now_ns) + self._due_to_fill(now_ns)
        return self._make(due_ns, wall_ns) if due_ns else 0

    @property
    def rate(self) -> float:
        """Loops a second, without those that fill the pool."""
        return self.rates.rate * self.raised

    @property
    def under_way(self) -> int:
        """Loops whose fate is not known yet."""
        return len(self._under_way)

    @property
    def patience_ns(self) -> int:
        """How long a loop may take from its departure: here and at two nodes, the longest delay and the longest wait."""
        mean_ns = self.routes.network.mean_delay_ns if self.routes else 0
        return HOPS * (DELAY_MOST * mean_ns + self.rates.max_latency_ns) + SLACK_NS

    def _hear(self, now_ns: int) -> None:
        ids, is_full = self.own.returned()
        for each in ids:
            loop = self._under_way.pop(each, None)
            if loop is None:
                continue
            self.own.count(returned=1)
            if loop.is_judged:
                self.loss.note(now_ns, False, loop.way)
        if is_full:  # this process has stood still: others may be back too
            for loop in self._under_way.values():
                loop.is_judged = False

    def _miss(self, now_ns: int) -> None:
        """Time begins for those that the mixer has taken, and is over for some."""
        taken = self.own.taken
        while self._not_taken and self._not_taken[0].position < taken:
            loop = self._not_taken.popleft()
            loop.since_ns = max(loop.since_ns, now_ns)
        waiting = self._not_taken[0].position if self._not_taken else None
        for each, loop in list(self._under_way.items()):
            if (waiting is None or loop.position < waiting) and now_ns - loop.since_ns > self.patience_ns:
                del self._under_way[each]
                self.own.count(lost=1)
                if loop.is_judged:
                    self.loss.note(now_ns, True, loop.way)

    def _judge(self, now_ns: int) -> None:
        self.loss.look(now_ns)
        self.is_alarmed = self.loss.is_alarming()
        if now_ns - self._raised_ns >= RAISE_NS:
            self._raised_ns = now_ns
            self.raised = min(2 * self.raised, RAISE_MOST) if self.is_alarmed else max(self.raised // 2, 1)

    def _delay_ns(self) -> int:
        """Exponential, as senders draw it for each hop."""
        assert self.routes is not None
        return int(min(self.random.expovariate(1.0), DELAY_MOST) * self.routes.network.mean_delay_ns)

    def _due_by_rate(self, now_ns: int) -> list[int]:
        """The deadlines of those whose arrivals are a Poisson process of that rate."""
        if not self.rate:
            return []
        due_ns = []
        if self._next_ns is None or self._next_ns < now_ns - SECOND_NS:  # the first, or after a standstill
            self._next_ns = now_ns + self._interval_ns()
        while self._next_ns < now_ns + AHEAD_NS:
            due_ns.append(self._next_ns + self._delay_ns())
            self._next_ns += self._interval_ns()
        return due_ns

    def _interval_ns(self) -> int:
        return int(self.random.expovariate(self.rate) * SECOND_NS)

    def _due_to_fill(self, now_ns: int) -> list[int]:
        """The deadlines of those that the floor lacks, as far as the rate of filling lets them be made."""
        passed_ns = SECOND_NS if self._filled_ns is None else now_ns - self._filled_ns
        self._filled_ns = now_ns
        self._filled = min(self._filled + self.rates.fill * passed_ns / SECOND_NS, self.rates.fill)
        n = max(min(self.own.missing - len(self._not_taken), int(self._filled)), 0)
        self._filled -= n
        return [now_ns + self._delay_ns() for _ in range(n)]

    def _make(self, due_ns: list[int], wall_ns: int) -> int:
        """Builds loops and hands them over, in random order; how many."""
        assert self.routes is not None
        drawn = self.routes.draw(min(len(due_ns), self.own.room), wall_ns, self.random)
        if drawn is None:
            return 0
        tails = self.random.randbytes((SURB_ID_SIZE - MARK_SIZE) * len(drawn.ways))
        tail_size = SURB_ID_SIZE - MARK_SIZE
        ids = [self._mark + tails[at * tail_size : (at + 1) * tail_size] for at in range(len(drawn.ways))]
        packets = sphinx.build_covers(
            drawn.publics,
            drawn.targets,
            ids=np.frombuffer(b"".join(ids), np.uint8).reshape(-1, SURB_ID_SIZE),
            geometry=self.routes.network.geometry,
            entropy=self.seeded.randbytes(32) if self.seeded else None,
        )
        return sum(self._offer(drawn, at, ids[at], packets[at], due_ns[at]) for at in range(len(ids)))

    def _offer(self, drawn: Drawn, at: int, each: bytes, packet: npt.NDArray[np.uint8], due_ns: int) -> bool:
        position = self.own.offered
        if not self.own.offer(int(drawn.first[at]), drawn.slots[at] & 0xFF, due_ns, packet):
            return False
        is_judged = all(due_ns >= self._settled_ns.get(number, 0) for number in drawn.ways[at])
        loop = Loop(drawn.ways[at], position, due_ns, is_judged)
        self._under_way[each] = loop
        self._not_taken.append(loop)
        self.own.count(sent=1)
        return True
