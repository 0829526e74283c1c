"""The roots of a node's links: exchanged with each neighbour over the control plane, and renewed before they are over.

Of two neighbours the one with the lower identity begins; a client always does. The responder answers once its data plane takes
frames under the new root, the initiator says `link_ready` once its own does, so that neither end sends what the other cannot
open. Old and new overlap; whoever connects anew exchanges anew, for the other end may have lost all roots.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import msgspec

from fastmix.errors import FastmixError, NetworkFailure
from fastmix.links.exchange import Ends, Initiator, Roots, respond
from fastmix.peers.messages import LinkOffer, Question, read
from fastmix.tls.connection import Connection, Handler
from fastmix.tls.greeting import Visitor
from fastmix.tls.pool import Pool

log = logging.getLogger(__name__)
LIFE_S, OVERLAP_S = 120.0, 10.0
"""A root's life, and for how much of it there is a newer one already."""
TRY_S = 1.0
"""Between two tries where the other end refuses."""


class Rows(Protocol):
    """Where roots are used: the data plane's rows of links."""

    def free_index(self) -> int:
        """A random receiver index that no root has."""
        ...

    async def install(self, peer: bytes, roots: Roots, *, is_client: bool) -> int:
        """Takes frames under these roots from now on; returns when that is so, with the row. Wipes the roots."""
        ...

    async def switch(self, row: int) -> None:
        """Sends under them, too; returns when that is so."""
        ...


class Linking:
    """The links of one node. `me`: its identity; `geometry`: the code of the packets' geometry."""

    def __init__(self, me: bytes, geometry: int, rows: Rows, pool: Pool) -> None:
        self._me, self._geometry, self._rows, self._pool = me, geometry, rows, pool
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._neighbours: set[bytes] = set()
        self._waiting: dict[bytes, tuple[bytes, int]] = {}
        """Hash of an exchange: the peer, and the row that waits for its `link_ready`."""
        self.problems: dict[bytes, str] = {}
        """Why there is no root with a neighbour, or no new one."""

    def set_neighbours(self, identities: set[bytes]) -> None:
        """The nodes to have links with."""
        self._neighbours = set(identities)
        for gone in self._tasks.keys() - identities:
            self._tasks.pop(gone).cancel()
            self.problems.pop(gone, None)
        for new in {identity for identity in identities if identity > self._me} - self._tasks.keys():
            self._tasks[new] = asyncio.get_running_loop().create_task(self._keep(new))

    async def close(self) -> None:
        """Exchanges nothing more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def handlers(self, visitor: Visitor, connection: Connection) -> Mapping[str, Handler]:
        """What the other end of a connection may ask."""

        async def offered(body: bytes) -> bytes:
            return await self._offered(visitor, body)

        async def ready(body: bytes) -> bytes:
            return await self._ready(visitor.identity, body)

        return {Question.LINK: offered, Question.LINK_READY: ready}

    async def _keep(self, peer: bytes) -> None:
        """One neighbour that this end begins with, for good."""
        while True:
            try:
                connection = await self._pool.get(peer)
                await self._exchange(connection, peer)
            except FastmixError as error:
                self._complain(peer, str(error))
                await asyncio.sleep(TRY_S * (0.5 + secrets.randbelow(1000) / 1000))
                continue
            if self.problems.pop(peer, ""):
                log.info("the link with node %s is back", peer.hex()[:16])
            with suppress(TimeoutError):
                async with asyncio.timeout(LIFE_S - 2 * OVERLAP_S):
                    await connection.closed.wait()

    async def _exchange(self, connection: Connection, peer: bytes) -> None:
        initiator = Initiator(Ends(self._me, peer, self._geometry), self._rows.free_index())
        answer = await connection.ask(Question.LINK, msgspec.msgpack.encode(LinkOffer(initiator.offer)))
        roots = initiator.finish(answer)
        exchange = roots.exchange
        row = await self._rows.install(peer, roots, is_client=False)
        await self._rows.switch(row)
        await connection.ask(Question.LINK_READY, exchange)

    async def _offered(self, visitor: Visitor, body: bytes) -> bytes:
        peer, is_client = visitor.identity, visitor.role == "client"
        if not is_client and peer not in self._neighbours:
            raise NetworkFailure("no neighbour of this node by the document that is known here")
        offer = read(body, LinkOffer).offer
        answer, roots = respond(Ends(peer, self._me, self._geometry), self._rows.free_index(), offer)
        exchange = roots.exchange
        row = await self._rows.install(peer, roots, is_client=is_client)
        self._waiting = {name: each for name, each in self._waiting.items() if each[0] != peer}
        self._waiting[exchange] = peer, row
        return answer

    async def _ready(self, peer: bytes, exchange: bytes) -> bytes:
        found = self._waiting.pop(exchange, None)
        if found is None or found[0] != peer:
            raise NetworkFailure("no such exchange: begin anew")
        await self._rows.switch(found[1])
        return b""

    def _complain(self, peer: bytes, why: str) -> None:
        if self.problems.get(peer) != why:
            log.warning("no link with node %s: %s", peer.hex()[:16], why)
        self.problems[peer] = why
