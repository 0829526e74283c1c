"""One kept connection to each peer, shared by all that this end has to say to it; made anew, after a while, when it has ended.

Tries that fail wait longer and longer: twice as long each time up to two seconds, so that a node that is back is found soon, and
drawn at random from the upper half, so that many nodes do not come back to one at the same moment.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from fastmix.directory.back_off import BackOff
from fastmix.errors import NetworkFailure
from fastmix.tls.connection import ANSWER_S, Connection
from fastmix.tls.end import End


@dataclass
class _Kept:
    back_off: BackOff = field(default_factory=BackOff)
    connection: Connection | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    why: str = ""


class Pool:
    """Connections of one end. `place_of`: where a peer's control port is, None where it has none now."""

    def __init__(
        self, end: End, place_of: Callable[[bytes], tuple[str, int] | None], draw: Callable[[], float] = random.random
    ) -> None:
        self._end, self._place_of, self._draw = end, place_of, draw
        self._kept: dict[bytes, _Kept] = {}

    async def get(self, identity: bytes) -> Connection:
        """The connection to a peer, which is made where there is none. `NetworkFailure` where it cannot be made, or a try before
        has failed a moment ago."""
        kept = self._kept.setdefault(identity, _Kept())
        async with kept.turn:
            if kept.connection is not None and not kept.connection.closed.is_set():
                return kept.connection
            return await self._connect(identity, kept)

    async def ask(self, identity: bytes, name: str, body: bytes, timeout_s: float = ANSWER_S) -> bytes:
        """A peer's answer; `NetworkFailure` as `get` and `Connection.ask`."""
        return await (await self.get(identity)).ask(name, body, timeout_s)

    def give_up(self, identity: bytes, why: str) -> None:
        """Ends the connection to a peer at once; the next one is made anew."""
        kept = self._kept.get(identity)
        if kept is not None and kept.connection is not None:
            kept.connection.end(why, at_once=True)

    def adopt(self, identity: bytes, connection: Connection) -> None:
        """A connection that the peer has made serves as well, where there is none."""
        kept = self._kept.setdefault(identity, _Kept())
        if kept.connection is None or kept.connection.closed.is_set():
            kept.connection = connection
            kept.back_off.succeeded()

    def close(self) -> None:
        """Ends all connections."""
        for identity in list(self._kept):
            self.give_up(identity, "the node stops")

    def connected(self) -> list[Connection]:
        """The connections that there are now."""
        kept = (each.connection for each in self._kept.values())
        return [each for each in kept if each is not None and not each.closed.is_set()]

    def is_connected(self, identity: bytes) -> bool:
        """Whether there is a connection to a peer now."""
        kept = self._kept.get(identity)
        return kept is not None and kept.connection is not None and not kept.connection.closed.is_set()

    def keep_only(self, identities: set[bytes]) -> None:
        """Ends the connections to all others."""
        for identity in self._kept.keys() - identities:
            connection = self._kept.pop(identity).connection
            if connection is not None:
                connection.end("the peer is not in the network any more")

    async def _connect(self, identity: bytes, kept: _Kept) -> Connection:
        now, place = asyncio.get_running_loop().time(), self._place_of(identity)
        if place is None:
            raise NetworkFailure(f"node {identity.hex()[:16]} has no address now")
        if now < kept.back_off.not_before:
            raise NetworkFailure(f"{kept.why}; the next try is in {kept.back_off.not_before - now:.1f} s")
        try:
            kept.connection = await self._end.connect(place, identity)
        except NetworkFailure as failure:
            kept.back_off.failed(asyncio.get_running_loop().time(), self._draw())
            kept.why = str(failure)
            raise
        kept.back_off.succeeded()
        return kept.connection
