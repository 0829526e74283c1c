"""How documents reach a node: it asks who says that there is news, and now and then a peer drawn at random."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from fastmix.errors import NetworkFailure
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.gossip import Ask, catch_up
from fastmix.peers.messages import Question
from fastmix.tls.pool import Pool

log = logging.getLogger(__name__)
EACH_S = 2.0
"""Between two questions to a peer drawn at random."""


class Spread:
    """One node's. `changed` is called when there is a new document, or a record that one names."""

    def __init__(self, state: DirectoryState, pool: Pool, changed: Callable[[], None]) -> None:
        self._state, self._pool, self._changed = state, pool, changed
        self._peers: tuple[bytes, ...] = ()
        self._newcomer: Ask | None = None
        self._news: dict[bytes, None] = {}
        self._stirred = asyncio.Event()
        self.problems: dict[bytes, str] = {}
        """What a peer has answered, or has not."""

    def set_peers(self, peers: Iterable[bytes]) -> None:
        """Whom to ask."""
        self._peers = tuple(peers)
        self.problems = {peer: why for peer, why in self.problems.items() if peer in self._peers}

    def set_way_in(self, ask: Ask | None) -> None:
        """Asks a node that has let this one in, as long as there is no peer that answers."""
        self._newcomer = ask

    def hear(self, peer: bytes) -> None:
        """That peer has news."""
        self._news[peer] = None
        self._stirred.set()

    def tell(self) -> None:
        """There is news here: says so to whoever is connected."""
        for connection in self._pool.connected():
            with suppress(NetworkFailure):
                connection.tell(Question.NEWS, b"")

    async def run(self) -> None:
        """For good."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EACH_S * random.uniform(0.5, 1.5)):
                    await self._stirred.wait()
            self._stirred.clear()
            heard, self._news = self._news, {}
            drawn = random.sample(self._peers, min(1, len(self._peers)))
            for peer in dict.fromkeys([*heard, *drawn]):
                await self._ask(peer)
            if self._newcomer is not None:
                await self._catch_up(b"", self._newcomer)

    async def _ask(self, peer: bytes) -> None:
        await self._catch_up(peer, partial(self._pool.ask, peer))

    async def _catch_up(self, peer: bytes, ask: Ask) -> None:
        try:
            found = await catch_up(self._state, ask, time.time_ns)
        except NetworkFailure as failure:
            if self.problems.get(peer) != str(failure):
                log.info("node %s: %s", peer.hex()[:16] or "that has let this one in", failure)
            self.problems[peer] = str(failure)
            return
        self.problems.pop(peer, None)
        if found:
            self._changed()
            self.tell()
