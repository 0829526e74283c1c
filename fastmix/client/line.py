"""A client's line to one node: a kept connection, the link whose roots are exchanged over it, and what that node believes of the
directory. Where it breaks, the node is avoided until there is a new connection and with it a new root.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable

import msgspec

from fastmix.client.exchanged import RENEW_S, ExchangedWire
from fastmix.client.following import Equivocation, Following
from fastmix.directory.back_off import BackOff
from fastmix.errors import CryptoError, NetworkFailure
from fastmix.links.exchange import Ends, Initiator
from fastmix.peers.messages import Documents, LinkOffer, Question, Records, read
from fastmix.tls.connection import Connection
from fastmix.tls.end import End
from fastmix.tls.greeting import pin_of

log = logging.getLogger(__name__)
POLL_S, POLL_ANSWER_S = 1.5, 2.5
"""Between two looks whether there is a newer document, and how long the node has to answer: so a node that has fallen silent is
known for it after four seconds."""
CONNECT_S, WAIT_MOST_S = 3.0, 3.0
"""A way that is open again is found soon."""


class Line:
    """To one node, by identity. `why`: what is wrong with it; empty where all is well."""

    def __init__(
        self, end: End, identity: bytes, place: tuple[str, int], wire: ExchangedWire, following: Following,
        stir: Callable[[], None], clock: Callable[[], float] = time.monotonic, unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        """`end` connects to `place`, the node's control port, as who the client is to that node; `stir` is called when something
        has changed; `clock` is the wire's."""
        self.end, self.identity, self.place = end, identity, place
        self._wire, self._following, self._stir = wire, following, stir
        self._clock, self._unix_ns = clock, unix_ns
        self.why = "not connected yet"
        self.equivocation: Equivocation | None = None
        self.down_since = clock()
        self._task: asyncio.Task[None] | None = None
        self._renew_at = 0.0

    @property
    def is_up(self) -> bool:
        """Whether packets can be sent over its link."""
        return not self.why and self._wire.is_linked(self.identity)

    def start(self) -> None:
        """Begins to keep it."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def stop(self) -> None:
        """Ends it; nothing is sent to the node any more."""
        self._wire.lose(self.identity)
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        """Connects, and again, until it is cancelled, or at equivocation."""
        back_off, clock = BackOff(), asyncio.get_running_loop().time
        while self.equivocation is None:
            try:
                await self._connect(back_off)
            except (NetworkFailure, CryptoError) as failure:
                self._broken(str(failure))
            back_off.failed(clock(), random.random())
            await asyncio.sleep(min(WAIT_MOST_S, max(0.0, back_off.not_before - clock())))

    def _broken(self, why: str) -> None:
        if not self.why:
            self.down_since = self._clock()
            log.warning("the line to node %s: %s; packets go around it", self.identity.hex()[:16], why)
        self.why = why
        self._wire.lose(self.identity)
        self._stir()

    async def _connect(self, back_off: BackOff) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                connection, _ = await self.end.join(self.place, "client", pin_of(self.identity))
        except TimeoutError:
            raise NetworkFailure(f"no answer in {CONNECT_S:g} s") from None
        try:
            await self._exchange(connection)
            back_off.succeeded()
            self.why = ""
            self._stir()
            await self._look_after(connection)
        finally:
            connection.end("the client has no use for it any more")

    async def _look_after(self, connection: Connection) -> None:
        """Asks for documents, and renews the link, until the connection ends."""
        while True:
            await self._poll(connection)
            if self._clock() >= self._renew_at:
                await self._exchange(connection)
            try:
                async with asyncio.timeout(POLL_S * (0.75 + random.random() / 2)):
                    await connection.closed.wait()
            except TimeoutError:
                continue
            raise NetworkFailure(connection.why)

    async def _exchange(self, connection: Connection) -> None:
        """New roots; frames leave under them once the node takes them."""
        ends = Ends(self.end.signer.public, self.identity, self._wire.geometry.code)
        initiator = Initiator(ends, self._wire.fresh_index())
        offer = msgspec.msgpack.encode(LinkOffer(initiator.offer))
        began = self._clock()
        roots = initiator.finish(await connection.ask(Question.LINK, offer, POLL_ANSWER_S))
        self._wire.add(self.identity, roots, began)
        await connection.ask(Question.LINK_READY, roots.exchange, POLL_ANSWER_S)
        self._wire.switch(self.identity, roots.exchange, self._clock())
        self._renew_at = began + RENEW_S

    async def _poll(self, connection: Connection) -> None:
        """What this node believes. That a document is refused says nothing about its link."""
        known = self._following.epoch
        try:
            said = read(await connection.ask(Question.DOCUMENTS, self._following.since(), POLL_ANSWER_S), Documents)
            if self._take(said):
                everything = await connection.ask(Question.DOCUMENTS, self._following.since(all_kept=True), POLL_ANSWER_S)
                self._take(read(everything, Documents))
            await fetch_records(connection, self._following, self._unix_ns)
        except Equivocation as found:
            self.equivocation = found
            self._stir()
            raise
        if self._following.epoch != known:
            self._stir()

    def _take(self, said: Documents) -> bool:
        try:
            return self._following.take(said, self._unix_ns())
        except Equivocation:
            raise
        except NetworkFailure as failure:
            log.warning("node %s: %s", self.identity.hex()[:16], failure)
            return False


async def fetch_records(connection: Connection, following: Following, unix_ns: Callable[[], int]) -> None:
    """Those that are missing, as far as this node has them."""
    while (wanted := following.wanted()) is not None:
        records = read(await connection.ask(Question.RECORDS, wanted), Records)
        if not following.give(records, unix_ns()):
            return
