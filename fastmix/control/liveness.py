"""Who of the neighbours is there: SWIM (Das, Gupta, Motivala 2002, "Scalable Weakly-consistent Infection-style Process Group
Membership Protocol") with suspicion and incarnation numbers.

Each peer is pinged in its turn. One that does not answer is asked for through three others, and suspected if most of them have
not reached it, either. What a node thinks travels with pings and answers. Who hears that it is suspected says so under a higher
incarnation number, and the suspicion is over everywhere.

In two things this differs from the paper. A peer may lie: so what others say makes a peer a suspect, and has it pinged at
once; but nobody is dead here who answers here, nor dead no more who does not. A lie costs pings. And turns are in an order that
each node draws once, not each time round, so that no peer waits longer than a round.

Pure: times are seconds of a steady clock, and draws from 0 to 1, arguments. Time in which nobody calls, because this process was
stopped, is nobody's silence.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fastmix.directory.signed import Key, decode
from fastmix.errors import CryptoError

State = Literal["alive", "suspect", "dead"]
TICK_S = 0.1
"""`due` is to be called so often."""
ROUND_S, SPACING_S = 0.9, 1 / 32
"""Each peer is pinged once in a round, which is longer where that would be more than 32 pings a second."""
PING_S, RELAYED_S = 0.35, 0.45
"""So long an answer is waited for, and then that of the relays."""
RELAYS = 3
SUSPICION_S, AGAIN_S = 1.8, 0.25
"""A suspect is dead after so long. Meanwhile it is pinged again so long after a ping has come to nothing."""
AT_ONCE = 16
"""Suspects that are pinged in one tick at most, whatever peers claim."""
STEP_MAX_S = 0.5
"""So much time passes between two calls at most."""
CLAIMS_MAX, GOSSIP_MAX = 24, 2048
"""Claims in a message, and its bytes."""

Incarnation = Annotated[int, Meta(ge=0, le=1 << 62)]


class Claim(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node thinks of another one, or says of itself."""

    identity: Key
    state: State
    incarnation: Incarnation


class Gossip(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What travels with pings and answers: the sender's own incarnation first."""

    incarnation: Incarnation
    claims: Annotated[tuple[Claim, ...], Meta(max_length=CLAIMS_MAX)]


@dataclass(frozen=True, slots=True)
class Ping:
    """Ping that peer; with `gossip(peer)` in the question, and that of its own in its answer."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class Relay:
    """Ask `relay` to ping `peer`."""

    relay: bytes
    peer: bytes


Action = Ping | Relay


@dataclass(slots=True)
class _Peer:
    state: State = "alive"
    incarnation: int = 0
    since: float = 0.0
    """When the state began."""
    was_missed: bool = False
    """Whether a ping from here has come to nothing since; never of one that is alive."""
    ping_at: float = 0.0
    """When a suspect is pinged again."""
    untold: int = 0
    """So often its state is still passed on."""


@dataclass(slots=True)
class _Probe:
    ends_at: float
    relays: set[bytes] | None = None
    """Those who have not said anything yet; None while the peer itself is waited for."""
    wanted: int = 0
    """So many of them have yet to say that they have reached it."""


@dataclass
class _Clock:
    """Seconds in which this process has run."""

    last: float
    ran: float = field(default=0.0)

    def at(self, now: float) -> float:
        self.ran += min(max(now - self.last, 0.0), STEP_MAX_S)
        self.last = max(self.last, now)
        return self.ran


class Liveness:
    """What one node thinks of its peers. `me`: its identity; `now`: the moment; `draw`: gives numbers from 0 to 1, below 1.

    A peer is alive until something else shows. `incarnation` is this node's own.
    """

    def __init__(self, me: bytes, now: float, draw: Callable[[], float]) -> None:
        self.me, self.incarnation = me, 0
        self._draw, self._clock = draw, _Clock(now)
        self._peers: dict[bytes, _Peer] = {}
        self._probes: dict[bytes, _Probe] = {}
        self._suspects: dict[bytes, _Peer] = {}
        self._order: list[bytes] = []
        self._turn, self._next_at = 0, 0.0
        """Whose turn is next, as a place in the order, and when."""

    def set_peers(self, identities: Collection[bytes]) -> None:
        """The peers from now on; what is thought of those who stay, stays."""
        wanted = set(identities) - {self.me}
        for gone in self._peers.keys() - wanted:
            del self._peers[gone]
            self._probes.pop(gone, None)
            self._suspects.pop(gone, None)
        self._turn = sum(identity in wanted for identity in self._order[: self._turn])
        self._order = [identity for identity in self._order if identity in wanted]
        for identity in sorted(wanted - self._peers.keys()):
            self._peers[identity] = _Peer()
            place = int(self._draw() * (len(self._order) + 1))
            self._order.insert(place, identity)
            self._turn += place < self._turn

    def due(self, now: float) -> list[Action]:
        """What is to be done now: each action at once, `answered` or `failed` when it is over."""
        at = self._clock.at(now)
        actions: list[Action] = []
        for identity, probe in list(self._probes.items()):
            if probe.ends_at <= at:
                actions += self._ask_others(identity, probe, at) if probe.relays is None else self._miss(identity, at)
        self._bury(at)
        suspects = [identity for identity, peer in self._suspects.items() if peer.ping_at <= at and identity not in self._probes]
        return actions + [self._ping(identity, at) for identity in suspects[:AT_ONCE]] + self._turns(at)

    def heard(self, identity: bytes, now: float) -> None:
        """A peer has said something, whatever it was."""
        at, peer = self._clock.at(now), self._peers.get(identity)
        self._probes.pop(identity, None)
        if peer is not None and peer.state != "alive":
            self._becomes(identity, peer, "alive", at)

    def answered(self, identity: bytes, now: float, relay: bytes | None = None) -> None:
        """A peer has answered a ping, or a relay has said that it has."""
        if relay is None:
            self.heard(identity, now)
            return
        self.heard(relay, now)
        probe = self._probes.get(identity)
        if probe is not None and probe.relays and relay in probe.relays:
            probe.relays.discard(relay)
            probe.wanted -= 1
            if probe.wanted == 0:
                self.heard(identity, now)

    def failed(self, identity: bytes, now: float, relay: bytes | None = None) -> None:
        """A ping cannot be answered any more, or a relay has said that it was not, or has not said anything. An answer that is
        only late needs no word: `due` sees it."""
        at, probe = self._clock.at(now), self._probes.get(identity)
        if probe is None or (relay is None) != (probe.relays is None):
            return  # of a ping before
        if probe.relays is not None and relay is not None:
            probe.relays.discard(relay)
        if not probe.relays:
            probe.ends_at = at

    def told(self, data: bytes, source: bytes, now: float) -> None:
        """What a peer says with a ping or an answer; of others nothing is believed. `CryptoError` for what is no gossip: then
        nothing has changed."""
        if len(data) > GOSSIP_MAX:
            raise CryptoError(f"gossip: has {len(data)} bytes, at most {GOSSIP_MAX} are taken")
        gossip = decode(data, Gossip, "gossip")
        if source not in self._peers:
            return
        self.heard(source, now)
        at = self._clock.at(now)
        for claim in (Claim(source, "alive", gossip.incarnation), *gossip.claims):
            if claim.identity == self.me:
                self._refute(claim)
            elif (peer := self._peers.get(claim.identity)) is not None:
                self._weigh(claim, peer, at)

    def gossip(self, to: bytes | None = None) -> bytes:
        """What goes with a ping or an answer to a peer: first, where it is so, that it is suspected; then what was passed on
        least."""
        claims = []
        if to in self._peers and self._peers[to].state != "alive":
            claims.append(self._claim(to))
        news = sorted(
            (identity for identity, peer in self._peers.items() if peer.untold), key=lambda key: -self._peers[key].untold
        )
        for identity in news[: CLAIMS_MAX - 1]:
            self._peers[identity].untold -= 1
            if identity != to:
                claims.append(self._claim(identity))
        return msgspec.msgpack.encode(Gossip(self.incarnation, tuple(claims)))

    def state(self, identity: bytes) -> State:
        """Of a peer. Who is none counts as dead."""
        peer = self._peers.get(identity)
        return "dead" if peer is None else peer.state

    def dead(self, now: float) -> set[bytes]:
        """The peers that are."""
        self._bury(self._clock.at(now))
        return {identity for identity, peer in self._peers.items() if peer.state == "dead"}

    def _turns(self, at: float) -> list[Action]:
        """Pings of peers whose turn it is."""
        if not self._peers:
            self._next_at = at
            return []
        spacing, pings = max(ROUND_S / len(self._peers), SPACING_S), list[Action]()
        while self._next_at <= at:
            self._next_at += spacing
            identity = self._order[self._turn % len(self._order)]
            self._turn = (self._turn + 1) % len(self._order)
            if identity not in self._probes:
                pings.append(self._ping(identity, at))
        return pings

    def _ping(self, identity: bytes, at: float) -> Ping:
        self._probes[identity] = _Probe(at + PING_S)
        return Ping(identity)

    def _ask_others(self, identity: bytes, probe: _Probe, at: float) -> list[Action]:
        """The peer itself has not answered."""
        others = [key for key, peer in self._peers.items() if peer.state == "alive" and key != identity]
        relays = [others.pop(int(self._draw() * len(others))) for _ in range(min(RELAYS, len(others)))]
        if not relays:
            return self._miss(identity, at)
        probe.relays, probe.wanted, probe.ends_at = set(relays), len(relays) // 2 + 1, at + RELAYED_S
        return [Relay(relay, identity) for relay in relays]

    def _miss(self, identity: bytes, at: float) -> list[Action]:
        """Nor have the relays been answered."""
        peer = self._peers[identity]
        del self._probes[identity]
        if peer.state == "alive":
            self._becomes(identity, peer, "suspect", at)
        peer.was_missed, peer.ping_at = True, at + AGAIN_S
        return []

    def _bury(self, at: float) -> None:
        for identity, peer in list(self._suspects.items()):
            if peer.was_missed and at - peer.since >= SUSPICION_S:
                self._becomes(identity, peer, "dead", at)

    def _weigh(self, claim: Claim, peer: _Peer, at: float) -> None:
        """A claim about a peer (which overrides which: section 4.2 of the paper)."""
        newer = claim.incarnation > peer.incarnation
        if claim.state != "alive":
            if peer.state == "alive" and claim.incarnation >= peer.incarnation:
                peer.incarnation = claim.incarnation
                self._becomes(claim.identity, peer, "suspect", at)
        elif newer and (peer.state == "dead" or peer.was_missed):
            peer.untold, peer.ping_at = 0, at  # it may be so; its own answer decides
        elif newer:
            peer.incarnation = claim.incarnation
            self._becomes(claim.identity, peer, "alive", at)

    def _refute(self, claim: Claim) -> None:
        """This node is not what others think."""
        if claim.state != "alive" and claim.incarnation >= self.incarnation:
            self.incarnation = min(claim.incarnation + 1, 1 << 62)

    def _becomes(self, identity: bytes, peer: _Peer, state: State, at: float) -> None:
        peer.state, peer.since, peer.was_missed, peer.ping_at = state, at, False, at
        peer.untold = self._times()
        if state == "suspect":
            self._suspects[identity] = peer
        else:
            self._suspects.pop(identity, None)

    def _times(self) -> int:
        """So often news is passed on: enough to reach everyone with a chance of n^-2 to miss one (section 4.1 of the paper)."""
        return 3 * len(self._peers).bit_length() + 3

    def _claim(self, identity: bytes) -> Claim:
        peer = self._peers[identity]
        return Claim(identity, peer.state, peer.incarnation)
