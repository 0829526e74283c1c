"""Pings over the control plane: what `liveness` asks for, and what comes of it."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping

from fastmix.control.liveness import TICK_S, Liveness, Ping, Relay
from fastmix.errors import CryptoError, NetworkFailure
from fastmix.peers.messages import Question
from fastmix.tls.connection import Handler
from fastmix.tls.pool import Pool

log = logging.getLogger(__name__)
PING_S, RELAYED_S = 1.0, 1.5
"""So long an answer is waited for; what comes later than `liveness` likes still shows that the peer is there."""


class Watching:
    """One node's. `changed` is called when somebody has died, or is back."""

    def __init__(self, me: bytes, pool: Pool, changed: Callable[[], None]) -> None:
        self._pool, self._changed = pool, changed
        self._swim = Liveness(me, self._now(), random.random)
        self._dead: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def set_peers(self, identities: Collection[bytes]) -> None:
        """Whom to watch."""
        self._swim.set_peers(identities)

    def is_dead(self, identity: bytes) -> bool:
        """Whether a peer that is watched is."""
        return identity in self._dead

    async def run(self) -> None:
        """For good."""
        try:
            while True:
                for action in self._swim.due(self._now()):
                    self._begin(action)
                self._tell_changes()
                await asyncio.sleep(TICK_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def handlers(self, peer: bytes) -> Mapping[str, Handler]:
        """What a peer may ask."""

        async def ping(body: bytes) -> bytes:
            self._told(body, peer)
            return self._swim.gossip(peer)

        async def ping_for(body: bytes) -> bytes:
            return await self._pool.ask(body, Question.PING, self._swim.gossip(body), PING_S)

        return {Question.PING: ping, Question.PING_FOR: ping_for}

    def _begin(self, action: Ping | Relay) -> None:
        task = asyncio.get_running_loop().create_task(self._ping(action) if isinstance(action, Ping) else self._relay(action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ping(self, action: Ping) -> None:
        peer = action.peer
        try:
            answer = await self._pool.ask(peer, Question.PING, self._swim.gossip(peer), PING_S)
        except NetworkFailure:
            self._swim.failed(peer, self._now())
        else:
            self._told(answer, peer)
            self._swim.answered(peer, self._now())

    async def _relay(self, action: Relay) -> None:
        try:
            await self._pool.ask(action.relay, Question.PING_FOR, action.peer, RELAYED_S)
        except NetworkFailure:
            self._swim.failed(action.peer, self._now(), action.relay)
        else:
            self._swim.answered(action.peer, self._now(), action.relay)

    def _told(self, gossip: bytes, peer: bytes) -> None:
        try:
            self._swim.told(gossip, peer, self._now())
        except CryptoError as error:
            raise NetworkFailure(str(error)) from None

    def _tell_changes(self) -> None:
        dead = self._swim.dead(self._now())
        if dead == self._dead:
            return
        for peer in dead - self._dead:
            log.warning("node %s does not answer, neither to this node nor to others: taken for dead", peer.hex()[:16])
            self._pool.give_up(peer, "it does not answer")
        for peer in self._dead - dead:
            log.info("node %s is back", peer.hex()[:16])
        self._dead = dead
        self._changed()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
