"""The door: who may connect to the control port, how many, how often. Before TLS begins, so that a flood costs no handshakes.

A connection takes a place out of `connections_max`, and each address has a few handshakes a second. A handshake and a greeting
have to be over in five seconds.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from fastmix.errors import NetworkFailure
from fastmix.tls.connection import Connection, Handler

log = logging.getLogger(__name__)
HANDSHAKE_S = 5.0
HANDSHAKES_A_SECOND, HANDSHAKES_AT_ONCE = 5.0, 20.0
"""Of one address."""
ADDRESSES_MAX = 4096
"""So many addresses are remembered; then the oldest is forgotten."""
BACKLOG = 128
LOOK_S = 5.0

Greet = Callable[[Connection], Awaitable[Mapping[str, Handler]]]


class Bucket:
    """Handshakes that addresses may begin."""

    def __init__(self, rate: float = HANDSHAKES_A_SECOND, burst: float = HANDSHAKES_AT_ONCE) -> None:
        self._rate, self._burst = rate, burst
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, host: str, now: float) -> bool:
        """Whether that address may begin one more. `now`: seconds of a steady clock."""
        tokens, since = self._seen.pop(host, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        self._seen[host] = (tokens - 1 if tokens >= 1 else tokens, now)
        while len(self._seen) > ADDRESSES_MAX:
            self._seen.popitem(last=False)
        return tokens >= 1


class Door:
    """A listening control port. `counts`: what became of who has knocked."""

    def __init__(self, context: ssl.SSLContext, greet: Greet, connections_max: int, bucket: Bucket | None = None) -> None:
        self._context, self._greet, self._most = context, greet, connections_max
        self._bucket = bucket or Bucket()
        self.counts: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._socket is not None
        host, port, *_ = self._socket.getsockname()
        return host, port

    def open(self, host: str, port: int) -> None:
        """Listens. `NetworkFailure` where that cannot be."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise NetworkFailure(
                f"the control port {host}:{port} cannot be opened: {error.strerror}: name another address or port"
            ) from None
        self._socket.setblocking(False)
        self._spawn(self._accept())
        self._spawn(self._look())

    async def close(self) -> None:
        """Ends all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        ended = [connection.closed.wait() for connection in self.connections]
        for connection in list(self.connections):
            connection.end("the node stops")
        await asyncio.gather(*ended)

    async def _accept(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError as error:  # no descriptors left, or the peer is gone
                log.warning("a connection to the control port could not be taken: %s", error.strerror)
                await asyncio.sleep(0.1)
                continue
            if why := self._refusal(address[0], loop.time()):
                self.counts[why] += 1
                accepted.close()
            else:
                self._spawn(self._shake_hands(accepted))

    def _refusal(self, host: str, now: float) -> str:
        if len(self.connections) + self._opening >= self._most:
            return "too_many"
        return "" if self._bucket.take(host, now) else "too_often"

    async def _shake_hands(self, accepted: socket.socket) -> None:
        self._opening += 1
        connection = Connection(self._greet)
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(HANDSHAKE_S):
                await loop.connect_accepted_socket(
                    lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
                )
                await connection.ready
        except (OSError, ssl.SSLError, NetworkFailure, TimeoutError) as error:
            self.counts["refused" if isinstance(error, NetworkFailure) else "no_handshake"] += 1
            connection.end(str(error) or "too slow")
            return
        finally:
            self._opening -= 1
        self.counts["taken"] += 1
        self.connections.add(connection)
        self._spawn(self._forget(connection))

    async def _forget(self, connection: Connection) -> None:
        await connection.closed.wait()
        self.connections.discard(connection)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for connection in list(self.connections):
                connection.look(asyncio.get_running_loop().time())

    def _spawn(self, work: object) -> None:
        task = asyncio.get_running_loop().create_task(cast("asyncio._CoroutineLike[None]", work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
