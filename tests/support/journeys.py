"""Random packets by the mass oracle, each with what every hop must say of it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

import oracle

from fastmix.packet.geometry import GEOMETRIES, MAX_HOPS, Geometry
from fastmix.reference.sphinx_unwrap import Unwrapped

KINDS = ("request", "reply", "cover", "cover_id")
REPLAY_KEY = bytes(range(32))


@dataclass(slots=True)
class Journey:
    """One packet and its way. `steps[i]` is what hop i must say; hop i has the i-th secret of its `Packets`."""

    kind: str
    hops: int
    data: bytes
    targets: list[int]
    peer_id: bytes | None
    ident: bytes
    packet: bytes = b""
    first: int = 0
    surb: bytes = b""
    surb_keys: list[bytes] = field(default_factory=list)
    steps: list[Unwrapped] = field(default_factory=list)

    def packet_at(self, hop: int) -> bytes:
        """The packet as hop number `hop` receives it."""
        return self.steps[hop - 1].packet if hop else self.packet


@dataclass(slots=True)
class Packets:
    """Journeys of one kind, all under the same six key pairs."""

    geometry: Geometry
    secrets: list[bytes]
    publics: list[bytes]
    journeys: list[Journey]

    def at_hop(self, hop: int) -> list[tuple[bytes, Unwrapped]]:
        """`(packet, expected)` of all journeys that reach this hop: one batch under `secrets[hop]`."""
        return [(journey.packet_at(hop), journey.steps[hop]) for journey in self.journeys if journey.hops > hop]


def random_route(random_: random.Random, kind: str, geometry: Geometry, hops: int | None, peer: bool | None) -> Journey:
    """A journey without its packet."""
    n = hops or random_.randint(1, MAX_HOPS)
    with_peer = n > 1 and (random_.random() < 0.5 if peer is None else peer)
    return Journey(
        kind=kind,
        hops=n,
        data=random_.randbytes(geometry.data_size),
        targets=[random_.randrange(0xFF00) for _ in range(n - 1 - with_peer)],
        peer_id=random_.randbytes(32) if with_peer else None,
        ident=random_.randbytes(16),
    )


def build(builder: ModuleType, journey: Journey, publics: list[bytes], geometry: Geometry, random_: random.Random) -> None:
    """Fills in the packet, by the functions of `builder` (this oracle, or the twin)."""
    keys, entropy = publics[: journey.hops], random_.randbytes
    route = (keys, journey.targets)
    if journey.kind == "request":
        journey.packet = builder.build_request(journey.data, *route, journey.peer_id, entropy, geometry)
    elif journey.kind == "reply":
        first = random_.randrange(0xFF00)
        journey.surb, journey.surb_keys = builder.build_surb(*route, first, journey.ident, journey.peer_id, entropy)
        journey.first, journey.packet = builder.build_reply(journey.data, journey.surb, geometry)
        assert journey.first == first
    else:
        ident = journey.ident if journey.kind == "cover_id" else None
        journey.packet = builder.build_cover(*route, ident, journey.peer_id, entropy, geometry)


def followed(journey: Journey, secrets: list[bytes], geometry: Geometry) -> list[Unwrapped]:
    """What the oracle says at every hop."""
    steps: list[Unwrapped] = []
    packet = journey.packet
    for secret in secrets[: journey.hops]:
        steps.append(oracle.unwrap(packet, secret, geometry, replay_key=REPLAY_KEY))
        packet = steps[-1].packet
    return steps


def make_journeys(
    kind: str, geometry: Geometry, random_: random.Random, publics: list[bytes], hops: int | None, peer: bool | None
) -> Iterator[Journey]:
    """Endless journeys with packets, without steps."""
    while True:
        journey = random_route(random_, kind, geometry, hops, peer)
        build(oracle, journey, publics, geometry, random_)
        yield journey


@lru_cache(maxsize=16)
def random_packets(
    kind: str, n: int, geometry: str = "wan", seed: int = 0, hops: int | None = None, peer: bool | None = None
) -> Packets:
    """`n` packets of a kind of `KINDS`: 1 to 6 hops, half of those from 2 on with a peer id, unless `hops` or `peer` say
    otherwise. Replay tags are under `REPLAY_KEY`. The same arguments give the same packets; nobody may change them."""
    size = GEOMETRIES[geometry]
    random_ = random.Random(f"{kind} {geometry} {seed} {hops} {peer}")
    pairs = [oracle.keypair(random_.randbytes(32)) for _ in range(MAX_HOPS)]
    secrets, publics = [secret for secret, _ in pairs], [public for _, public in pairs]
    endless = make_journeys(kind, size, random_, publics, hops, peer)
    journeys = [next(endless) for _ in range(n)]
    for journey in journeys:
        journey.steps = followed(journey, secrets, size)
    return Packets(size, secrets, publics, journeys)
