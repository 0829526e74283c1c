"""What two ends say first: who they are, and that they speak of the same thing.

    server ── Welcome: version, geometry, network, its signed record, a nonce ──▶ client
    server ◀── Hello: role, version, geometry, network; identity, proof, token ── client
    server ── ready, or why not ──▶ client

The client sends nothing before record, signature, PIN (or the peer that it meant) and the key of the handshake agree. A client
with a certificate is the peer whose key that is; one without proves its identity by a signature over the server's key and nonce.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from fastmix.directory.admission import NONCE_SIZE, TOKEN_SIZE, Role, is_proved, prove
from fastmix.directory.records import SIZE_MAX, NodeRecord, open_record
from fastmix.directory.signed import Signer
from fastmix.errors import CryptoError, NetworkFailure
from fastmix.tls.certificate import check_certificate, key_of

ANY_NETWORK = b""
"""Of an end that has not joined one yet."""
Network = Annotated[bytes, Meta(max_length=16)]
Wire = Annotated[int, Meta(ge=0, lt=1 << 16)]
Geometry = Annotated[str, Meta(max_length=16, pattern="^[a-z]+$")]


class Welcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server's."""

    wire: Wire
    geometry: Geometry
    network: Network
    record: Annotated[bytes, Meta(max_length=SIZE_MAX)]
    nonce: Annotated[bytes, Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The client's. `geometry` is empty of one that takes whatever the network has; `proof` of one that has shown its
    certificate."""

    role: Role
    wire: Wire
    geometry: Annotated[str, Meta(max_length=16, pattern="^[a-z]*$")]
    network: Network
    identity: Annotated[bytes, Meta(min_length=32, max_length=32)]
    proof: Annotated[bytes, Meta(max_length=64)] = b""
    token: Annotated[bytes, Meta(max_length=TOKEN_SIZE)] = b""

    def __repr__(self) -> str:
        return f"Hello({self.role} {self.identity.hex()[:16]})"


@dataclass(frozen=True, slots=True)
class Speech:
    """What an end speaks: version of the wire, geometry, network."""

    wire: int
    geometry: str = ""
    network: bytes = ANY_NETWORK

    def mismatch(self, wire: int, geometry: str, network: bytes) -> str:
        """Where the other end speaks of something else; empty where not."""
        if wire != self.wire:
            return f"version {self.wire} of the wire here, {wire} there: update the older one"
        if geometry and self.geometry and geometry != self.geometry:
            return f"geometry {self.geometry} here, {geometry} there: all nodes of a network have the same"
        if network and self.network and network != self.network:
            return f"network {self.network.hex()} here, {network.hex()} there"
        return ""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who has come in. `is_peer`: by its certificate, as one of the current peers."""

    identity: bytes
    role: Role
    is_peer: bool
    token: bytes = b""

    def __repr__(self) -> str:
        return f"Visitor({self.role} {self.identity.hex()[:16]})"


def pin_of(identity: bytes) -> bytes:
    """SHA-256 of an identity's public key: what a bootstrap text names."""
    return hashlib.sha256(identity).digest()


def check_welcome(
    welcome: Welcome, speech: Speech, key: bytes, now_ns: int, *, pin: bytes | None = None, identity: bytes | None = None
) -> NodeRecord:
    """The server's record, once all agrees: `key` is that of the handshake (`key_of`), `pin` or `identity` whom was meant
    (neither: whoever it is). `NetworkFailure` names what does not."""
    try:
        record = open_record(welcome.record, now_ns)
        check_certificate(record.certificate, record.identity)
        key_there = key_of(record.certificate)
    except CryptoError as error:
        raise NetworkFailure(f"the server's {error}") from None
    if pin is not None and pin_of(record.identity) != pin:
        raise NetworkFailure(f"the server's PIN is {pin_of(record.identity).hex()}, not {pin.hex()}: it is another node")
    if identity is not None and record.identity != identity:
        raise NetworkFailure(f"the server is node {record.identity.hex()[:16]}, not {identity.hex()[:16]}")
    if key_there != key:
        raise NetworkFailure("the server's record names another TLS key than it has: somebody is between")
    if problem := speech.mismatch(welcome.wire, welcome.geometry, welcome.network):
        raise NetworkFailure(problem)
    return record


def say_hello(welcome: Welcome, speech: Speech, role: Role, signer: Signer, key: bytes | None, token: bytes = b"") -> Hello:
    """The answer to a welcome that was checked. `key`: of the server, where this end has shown no certificate."""
    proof = b"" if key is None else prove(signer, role, key, welcome.nonce)
    return Hello(role, speech.wire, speech.geometry, speech.network, signer.public, proof, token)


def check_hello(
    hello: Hello, welcome: Welcome, own_key: bytes, certificate: bytes | None, identity_of: Callable[[bytes], bytes | None]
) -> Visitor:
    """Who has come; `NetworkFailure` says why nobody has. `own_key`: the server's; `certificate`: what the client has shown, DER;
    `identity_of`: the current peer of a key."""
    speech = Speech(welcome.wire, welcome.geometry, welcome.network)
    if problem := speech.mismatch(hello.wire, hello.geometry, hello.network):
        raise NetworkFailure(problem)
    if certificate is None:
        if not is_proved(hello.identity, hello.proof, hello.role, own_key, welcome.nonce):
            raise NetworkFailure(f"{hello.role} {hello.identity.hex()[:16]} has not proved its identity")
        return Visitor(hello.identity, hello.role, False, hello.token)
    known = identity_of(key_of(certificate))
    if known is None:
        raise NetworkFailure("the certificate is of no node that is in the network now")
    if known != hello.identity:
        raise NetworkFailure(f"the certificate is that of node {known.hex()[:16]}, not of {hello.identity.hex()[:16]}")
    return Visitor(known, hello.role, True, hello.token)
