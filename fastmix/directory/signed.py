"""Signed bytes: what was signed is kept and passed on as it came, never encoded again.

An envelope is MessagePack of (body, ((Ed25519 public key, signature), …)). A signature (RFC 8032) is over a context, a zero byte
and the body, so that nothing signed as one thing passes for another.
"""

from collections.abc import Iterable
from typing import Annotated, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from fastmix.errors import CryptoError

RECORD, DOCUMENT, JOIN = b"fastmix node record 1", b"fastmix document 1", b"fastmix join 1"
"""What is signed. None begins with another."""
SIGNATURES_MAX = 64
T = TypeVar("T")
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""32 bytes: an Ed25519 or X25519 public key, or a hash."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Signer(Protocol):
    """An identity."""

    @property
    def public(self) -> bytes:
        """Its Ed25519 public key, 32 bytes."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes."""
        ...


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A body, and who has signed it."""

    body: bytes
    signatures: Annotated[tuple[tuple[Key, Signature], ...], Meta(max_length=SIGNATURES_MAX)] = ()

    def to_bytes(self) -> bytes:
        """As it travels."""
        return msgspec.msgpack.encode(self)

    def signed_by(self, context: bytes, signer: Signer) -> "Envelope":
        """With one signature more; one that it has already is replaced."""
        others = tuple(pair for pair in self.signatures if pair[0] != signer.public)
        return Envelope(self.body, (*others, (signer.public, signer.sign(to_sign(context, self.body)))))

    def signers(self, context: bytes, among: Iterable[bytes]) -> set[bytes]:
        """Those of these keys that have signed it."""
        wanted = set(among)
        return {key for key, signature in self.signatures if key in wanted and verifies(key, signature, context, self.body)}


def read_envelope(data: bytes, size_max: int, what: str) -> Envelope:
    """`CryptoError` where the bytes are too many, or none. No signature is looked at."""
    if len(data) > size_max:
        raise CryptoError(f"{what}: has {len(data)} bytes, at most {size_max} are taken")
    return decode(data, Envelope, what)


def decode(data: bytes, kind: type[T], what: str) -> T:
    """MessagePack of that kind; `CryptoError` where it is not."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CryptoError(f"{what}: is not one: {error}") from None


def verifies(key: bytes, signature: bytes, context: bytes, body: bytes) -> bool:
    """Whether that key has signed that body as that thing."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, to_sign(context, body))
    except (InvalidSignature, ValueError):
        return False
    return True


def to_sign(context: bytes, body: bytes) -> bytes:
    """What a signature is over."""
    return context + b"\0" + body
