"""This end of the control plane: its certificate, whom it trusts now, and the greeting on both sides."""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastmix.directory.admission import NONCE_SIZE, Role
from fastmix.directory.records import NodeRecord
from fastmix.directory.signed import Signer, decode
from fastmix.errors import CryptoError, NetworkFailure
from fastmix.tls.certificate import check_certificate, key_of, make_certificate
from fastmix.tls.connection import Connection, Handler, shown
from fastmix.tls.context import client_context, joiner_context, server_context, trust
from fastmix.tls.frames import FRAME_MAX, Message
from fastmix.tls.greeting import Hello, Speech, Visitor, Welcome, check_hello, check_welcome, say_hello

log = logging.getLogger(__name__)
CONNECT_S, JOIN_S = 2.0, 10.0
"""So long a peer, and a node that is asked to let this one in, may take for handshake and greeting."""
Handlers = Callable[[Visitor, Connection], Mapping[str, Handler]]
"""What whoever has come in may ask. A `NetworkFailure` refuses the visitor."""


class End:
    """A node or client on the control plane. `record`: its signed record of now, empty of a client; `speech` may change once,
    when the network is known."""

    def __init__(
        self, signer: Signer, key: Ed25519PrivateKey, speech: Speech, record: Callable[[], bytes], handlers: Handlers,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self.signer, self.speech = signer, speech
        self.certificate = make_certificate(key, signer.public)
        self._record, self._handlers, self._unix_ns = record, handlers, unix_ns
        self._own_key = key_of(self.certificate)
        self.server_context = server_context(key, self.certificate)
        self._client_context = client_context(key, self.certificate)
        self._identities: dict[bytes, bytes] = {}
        """SHA-256 of a TLS key: the current peer's identity."""
        self._trusted: set[bytes] = set()
        self._checked: set[tuple[bytes, bytes]] = set()
        self._connections: set[tuple[Connection, bytes]] = set()

    def set_peers(self, certificates: Mapping[bytes, bytes]) -> None:
        """The current peers: identity -> certificate, DER. Who is none any more is let go; a certificate of
        another identity is left out."""
        certificates = {identity: each for identity, each in certificates.items() if self._is_good(identity, each)}
        self._identities = {key_of(certificate): identity for identity, certificate in certificates.items()}
        for certificate in certificates.values():
            if certificate not in self._trusted:
                trust(self.server_context, certificate)
                trust(self._client_context, certificate)
                self._trusted.add(certificate)
        for connection, identity in list(self._connections):
            if identity not in certificates:
                connection.end(f"node {identity.hex()[:16]} is not in the network any more")

    def is_peer(self, identity: bytes) -> bool:
        """Whether that is a current peer."""
        return identity in self._identities.values()

    def _is_good(self, identity: bytes, certificate: bytes) -> bool:
        if (identity, certificate) in self._checked:
            return True
        try:
            check_certificate(certificate, identity)
        except CryptoError as error:
            log.warning("the record of node %s: %s: the node is left out", identity.hex()[:16], error)
            return False
        self._checked.add((identity, certificate))
        return True

    async def welcome(self, connection: Connection) -> Mapping[str, Handler]:
        """The greeting of who is connected to."""
        speech, nonce, record = self.speech, os.urandom(NONCE_SIZE), self._record()
        if not record:
            raise NetworkFailure("this node is just starting: come again")
        welcome = Welcome(speech.wire, speech.geometry, speech.network, record, nonce)
        connection.send(Message("tell", 0, "welcome", msgspec.msgpack.encode(welcome)))
        hello = decode((await connection.greeting()).body, Hello, "hello")
        visitor = check_hello(hello, welcome, self._own_key, connection.certificate, self._identities.get)
        handlers = self._handlers(visitor, connection)
        if visitor.is_peer:
            self._remember(connection, visitor.identity)
        connection.send(Message("tell", 0, "ready", b""))
        return handlers

    async def connect(self, place: tuple[str, int], identity: bytes) -> Connection:
        """A connection to a current peer, both ends with certificates. `NetworkFailure` says why there is none."""
        if not self.is_peer(identity):
            raise NetworkFailure(f"node {identity.hex()[:16]} is not in the network now")
        greet = partial(self._greet, role="node", identity=identity)
        connection = await self._dial(place, self._client_context, greet)
        self._remember(connection, identity)
        return connection

    async def join(
        self, place: tuple[str, int], role: Role, pin: bytes | None, token: bytes = b""
    ) -> tuple[Connection, NodeRecord]:
        """A connection to a node that is known by its PIN only (None: to whoever is there), and that node's record."""
        found: list[NodeRecord] = []
        greet = partial(self._greet, role=role, pin=pin, token=token, proves=True, found=found)
        connection = await self._dial(place, joiner_context(), greet, JOIN_S)
        return connection, found[0]

    async def _greet(
        self, connection: Connection, *, role: Role, pin: bytes | None = None, identity: bytes | None = None, token: bytes = b"",
        proves: bool = False, found: list[NodeRecord] | None = None,
    ) -> Mapping[str, Handler]:  # fmt: skip
        """The greeting of who connects: nothing is sent before the server is known to be the one that was meant."""
        welcome = decode(_said(await connection.greeting()), Welcome, "welcome")
        certificate = connection.certificate
        if certificate is None:
            raise NetworkFailure("the server has shown no certificate")
        key = key_of(certificate)
        record = check_welcome(welcome, self.speech, key, self._unix_ns(), pin=pin, identity=identity)
        if not proves and self._identities.get(key) != identity:
            raise NetworkFailure("the server's certificate is of no node that is in the network now")
        hello = say_hello(welcome, self.speech, role, self.signer, key if proves else None, token)
        connection.send(Message("tell", 0, "hello", msgspec.msgpack.encode(hello)))
        _said(await connection.greeting())
        if found is not None:
            found.append(record)
        return self._handlers(Visitor(record.identity, "node", not proves), connection)

    async def _dial(
        self, place: tuple[str, int], context: ssl.SSLContext, greet: Callable[[Connection], Awaitable[Mapping[str, Handler]]],
        timeout_s: float = CONNECT_S,
    ) -> Connection:  # fmt: skip
        host, port = place
        connection = Connection(greet, FRAME_MAX)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, host, port, ssl=context, server_hostname=""
                )
                await connection.ready
        except (OSError, ssl.SSLError, TimeoutError) as error:
            connection.end("given up")
            why = f"no answer in {timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
            raise NetworkFailure(f"{host}:{port}: {why}") from None
        except NetworkFailure as failure:
            raise NetworkFailure(f"{host}:{port}: {failure}") from None
        return connection

    def _remember(self, connection: Connection, identity: bytes) -> None:
        pair = (connection, identity)
        self._connections.add(pair)
        waiting = asyncio.get_running_loop().create_task(connection.closed.wait())
        waiting.add_done_callback(lambda _: self._connections.discard(pair))


def _said(message: Message) -> bytes:
    """The body; `NetworkFailure` where the other end says why not."""
    if message.kind == "error":
        raise NetworkFailure(f"refused: {shown(message.body)}")
    return message.body
