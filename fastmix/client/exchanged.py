"""The links of a client whose roots come from exchanges: received under old and new, sent under the newest that both ends know.

A root lives two minutes; the client, which always begins an exchange, makes a new one in time. Nothing of them is kept on disk,
so no number has to be reserved: after a restart there are new roots. Times are seconds of a steady clock.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastmix.client.counters import ClientCounters
from fastmix.client.framing import Framing, Outgoing
from fastmix.client.node_keys import NodeKeys
from fastmix.links.channel import Channel
from fastmix.links.exchange import Roots
from fastmix.packet.geometry import Geometry
from fastmix.packet.verdict import Verdict
from fastmix.udp.address import pack_address

ROOT_LIFE_S, OVERLAP_S = 120.0, 10.0
RENEW_S = ROOT_LIFE_S - 20.0
"""After so long the next exchange begins."""


@dataclass(slots=True, eq=False)
class Made:
    """What came of one exchange. `until`: then the channel is wiped."""

    channel: Channel
    exchange: bytes
    until: float
    both_ends: bool = False
    """Whether the other end takes frames under it, too."""


class ExchangedWire(Framing):
    """All exchanged links of one client, by the identities of its nodes."""

    def __init__(self, geometry: Geometry, counters: ClientCounters, keys: NodeKeys) -> None:
        super().__init__(geometry, counters, keys)
        self._made: dict[bytes, list[Made]] = {}
        self._places: dict[int, tuple[bytes, Any]] = {}
        self._lost: set[bytes] = set()
        self._by_index: dict[int, Channel] = {}

    def adopt(self, places: Mapping[int, tuple[bytes, tuple[str, int]]]) -> None:
        """Number of a node -> its identity, and where its datagrams go. Only they are sent to."""
        self._places = {number: (identity, pack_address(*place)) for number, (identity, place) in places.items()}

    def fresh_index(self) -> int:
        """A receiver index for the frames of a new root, of no other one."""
        while (index := int.from_bytes(os.urandom(4), "little")) in self._by_index:
            continue
        return index

    def add(self, peer: bytes, roots: Roots, now: float) -> None:
        """An exchange has come to an end here: frames under it are taken from now on. The roots are wiped."""
        channel = Channel(roots.recv.view, roots.send.view, roots.index_in, roots.index_out, self.geometry)
        self._made.setdefault(peer, []).append(Made(channel, roots.exchange, now + ROOT_LIFE_S))
        self._by_index[channel.receiver_index_in] = channel
        roots.wipe()

    def switch(self, peer: bytes, exchange: bytes, now: float) -> None:
        """The other end knows it, too: frames leave under it, and those before receive a little longer only."""
        for made in self._made.get(peer, []):
            made.both_ends |= made.exchange == exchange
            if made.exchange != exchange:
                made.until = min(made.until, now + OVERLAP_S)
        self._lost.discard(peer)

    def lose(self, peer: bytes) -> None:
        """Nothing is sent to it until the next `switch`: it may have died, its roots with it. What it still sends is taken."""
        self._lost.add(peer)

    def look(self, now: float) -> None:
        """Wipes what is over."""
        for peer, made in list(self._made.items()):
            for each in [each for each in made if each.until <= now]:
                made.remove(each)
                self._by_index.pop(each.channel.receiver_index_in, None)
                each.channel.wipe()
            if not made:
                del self._made[peer]

    def is_linked(self, peer: bytes) -> bool:
        """Whether frames can be sent to it."""
        return peer not in self._lost and self._newest(peer) is not None

    def _newest(self, peer: bytes) -> Channel | None:
        return next((made.channel for made in reversed(self._made.get(peer, [])) if made.both_ends), None)

    def outgoing(self, node: int, n: int) -> Outgoing | Verdict:
        """The newest root that both ends know."""
        peer, address = self._places.get(node, (b"", None))
        channel = None if peer in self._lost else self._newest(peer)
        return Verdict.DROP_NO_LINK if channel is None else Outgoing(address, channel)

    def incoming(self) -> Mapping[int, Channel]:
        """By receiver index."""
        return self._by_index

    def close(self) -> None:
        """Wipes all roots."""
        for made in self._made.values():
            for each in made:
                each.channel.wipe()
        self._made.clear()
        self._by_index.clear()
