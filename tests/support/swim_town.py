"""Nodes that look after each other over a simulated network: messages are late and lost, cables cut, nodes killed and stopped."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from fastmix.control.liveness import TICK_S, Liveness, Ping, Relay

BEGIN = 1000.0


def name(number: int) -> bytes:
    return number.to_bytes(32, "little")


@dataclass
class Resident:
    """One node. `up`: it runs; `stopped`: it is there, and does nothing; `resets`: who connects to it while it is down learns of
    that at once."""

    identity: bytes
    liveness: Liveness
    up: bool = True
    stopped: bool = False
    resets: bool = False
    states: dict[bytes, str] = field(default_factory=dict)


@dataclass
class Town:
    """`n` nodes, each the peer of all others. `loss`: share of messages that is lost; `delay`: from, to, in seconds."""

    n: int
    seed: int
    loss: float = 0.0
    delay: tuple[float, float] = (0.001, 0.03)
    now: float = BEGIN
    pings: int = 0
    history: list[tuple[float, bytes, bytes, str]] = field(default_factory=list)
    """(when, who thinks, of whom, what): each change."""
    cut: Callable[[bytes, bytes], bool] = lambda a, b: False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.residents: dict[bytes, Resident] = {}
        for number in range(self.n):
            self.arrive(name(number))

    @property
    def identities(self) -> list[bytes]:
        return list(map(name, range(self.n)))

    def arrive(self, identity: bytes) -> Resident:
        """A node starts, and knows nothing."""
        liveness = Liveness(identity, self.now, self.random.random)
        liveness.set_peers(self.identities)
        resident = self.residents[identity] = Resident(identity, liveness)
        self.at(self.random.uniform(0, TICK_S), lambda: self._tick(resident))
        return resident

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = end

    def at(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), event))

    def think(self, state: str, whom: bytes) -> set[bytes]:
        """Those who think so now."""
        return {key for key, each in self.residents.items() if each.up and key != whom and each.liveness.state(whom) == state}

    def _tick(self, resident: Resident) -> None:
        if not resident.up:
            return
        self.at(TICK_S, lambda: self._tick(resident))
        if resident.stopped:
            return
        for action in resident.liveness.due(self.now):
            if isinstance(action, Ping):
                self._ping(resident, action.peer)
            else:
                self._relay(resident, action)
        self._note(resident)

    def _ping(self, asker: Resident, peer: bytes, done: Callable[[bool], None] | None = None) -> None:
        """A ping and its answer, both with gossip. `done`: whether there was one, for who has asked to ask."""
        self.pings += 1
        back = done or (lambda _: None)
        gossip, asked = asker.liveness.gossip(peer), self.residents[peer]

        def refused() -> None:
            asker.liveness.failed(peer, self.now)
            back(False)

        if not asked.up and asked.resets and not self.cut(asker.identity, peer):
            self.at(self._delay(), refused)
            return

        def arrived() -> None:
            if not asked.up:
                return
            asked.liveness.told(gossip, asker.identity, self.now)
            self._note(asked)
            answer = asked.liveness.gossip(asker.identity)
            self._send(asked, asker, lambda: came_back(answer))

        def came_back(answer: bytes) -> None:
            asker.liveness.told(answer, peer, self.now)
            asker.liveness.answered(peer, self.now)
            self._note(asker)
            back(True)

        self._send(asker, asked, arrived)

    def _relay(self, asker: Resident, action: Relay) -> None:
        relay = self.residents[action.relay]

        def arrived() -> None:
            self._ping(relay, action.peer, said)

        def said(reached: bool) -> None:
            word = asker.liveness.answered if reached else asker.liveness.failed
            self._send(relay, asker, lambda: word(action.peer, self.now, action.relay))

        self._send(asker, relay, arrived)

    def _send(self, source: Resident, target: Resident, arrived: Callable[[], None]) -> None:
        if self.random.random() >= self.loss and not self.cut(source.identity, target.identity):
            self.at(self._delay(), lambda: self._deliver(target, arrived))

    def _deliver(self, target: Resident, arrived: Callable[[], None]) -> None:
        if not target.up:
            return
        if target.stopped:
            self.at(TICK_S, lambda: self._deliver(target, arrived))
        else:
            arrived()

    def _delay(self) -> float:
        return self.random.uniform(*self.delay)

    def _note(self, resident: Resident) -> None:
        for identity in self.identities:
            state = resident.liveness.state(identity)
            if identity != resident.identity and resident.states.get(identity, "alive") != state:
                resident.states[identity] = state
                self.history.append((self.now, resident.identity, identity, state))

    def first(self, state: str, whom: bytes, since: float) -> float:
        """Seconds until somebody has thought so."""
        return min(when for when, _, of, what in self.history if of == whom and what == state and when >= since) - since

    def share(self, state: str) -> float:
        """Of all pairs and all time until now, the part that it was thought in."""
        total, since = 0.0, dict[tuple[bytes, bytes], float]()
        for when, who, of, what in self.history:
            begun = since.pop((who, of), None)
            total += when - begun if begun is not None else 0.0
            if what == state:
                since[who, of] = when
        total += sum(self.now - begun for begun in since.values())
        return total / (self.n * (self.n - 1) * (self.now - BEGIN))

    def last(self, state: str, whom: bytes, since: float) -> float:
        """Seconds until all who are up have thought so; a node that never did is missed."""
        thinkers = {who: when for when, who, of, what in reversed(self.history) if of == whom and what == state and when >= since}
        missing = {key for key, each in self.residents.items() if each.up and key != whom} - thinkers.keys()
        assert not missing, f"{len(missing)} of {self.n} never thought so"
        return max(thinkers.values()) - since
