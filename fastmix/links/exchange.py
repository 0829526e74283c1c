"""The exchange of a link's roots: random parts of both ends, and an ML-KEM-768 secret (FIPS 203) whose key is made for it.

Both messages travel inside the TLS channel of the two ends. A root of one direction is HKDF-SHA256 (RFC 5869) of

    ML-KEM secret ‖ the initiator's random 32 bytes ‖ the responder's

one after the other, as draft-ietf-tls-hybrid-design puts hybrid secrets together: whoever lacks a part has nothing. Its info is
that of a static root, with a SHA-256 over both ends and both messages in the place of the exchange's hash. So what was recorded
of the TLS channel stays closed to those who break X25519 later, and what breaks ML-KEM alone opens nothing.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

from fastmix.errors import CryptoError
from fastmix.keys._chain import LockedBytes
from fastmix.links.static import root_info

CONTEXT = b"fastmix link exchange 1\0"
RANDOM_SIZE, ROOT_SIZE = 32, 32
KEM_KEY_SIZE, CIPHERTEXT_SIZE = 1184, 1088
Random = Annotated[bytes, Meta(min_length=RANDOM_SIZE, max_length=RANDOM_SIZE)]
Index = Annotated[int, Meta(ge=0, lt=1 << 32)]
T = TypeVar("T", "Offer", "Answer")


class Offer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The initiator's: its random part, the receiver index that it wants in frames that come, its ML-KEM key."""

    random: Random
    index: Index
    kem_key: Annotated[bytes, Meta(min_length=KEM_KEY_SIZE, max_length=KEM_KEY_SIZE)]

    def __repr__(self) -> str:
        return f"Offer(index {self.index:08x})"


class Answer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The responder's: its random part, its receiver index, the ML-KEM ciphertext."""

    random: Random
    index: Index
    ciphertext: Annotated[bytes, Meta(min_length=CIPHERTEXT_SIZE, max_length=CIPHERTEXT_SIZE)]

    def __repr__(self) -> str:
        return f"Answer(index {self.index:08x})"


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a link, as the initiator and the responder: ids of 32 bytes; and the code of the geometry."""

    initiator: bytes
    responder: bytes
    geometry: int

    def exchange(self, offer: bytes, answer: bytes) -> bytes:
        """The hash of an exchange of these two."""
        parts = CONTEXT + self.initiator + self.responder + bytes([self.geometry])
        return hashlib.sha256(parts + hashlib.sha256(offer).digest() + hashlib.sha256(answer).digest()).digest()


class Roots:
    """What one end has of an exchange: two roots in locked memory, and the indices. `wipe` once they are where they are used."""

    def __init__(self, *, send: LockedBytes, recv: LockedBytes, index_in: int, index_out: int, exchange: bytes) -> None:
        self.send, self.recv = send, recv
        self.index_in, self.index_out, self.exchange = index_in, index_out, exchange

    def __repr__(self) -> str:
        return f"Roots(in {self.index_in:08x}, out {self.index_out:08x})"

    def wipe(self) -> None:
        """Overwrites both."""
        self.send.wipe()
        self.recv.wipe()


class Initiator:
    """One exchange, begun: send `offer`, give the answer to `finish`, once."""

    def __init__(self, ends: Ends, index: int, urandom: Callable[[int], bytes] = os.urandom) -> None:
        """`index`: random, of no other root that this end receives under."""
        self._ends, self._key = ends, MLKEM768PrivateKey.generate()
        self._offer = Offer(urandom(RANDOM_SIZE), index, self._key.public_key().public_bytes_raw())
        self.offer = msgspec.msgpack.encode(self._offer)

    def finish(self, answer: bytes) -> Roots:
        """The roots; `CryptoError` where the answer is none."""
        read = _read(answer, Answer)
        secret = self._key.decapsulate(read.ciphertext)
        return _roots(self._ends, self._offer, read, self._ends.exchange(self.offer, answer), secret, initiates=True)


def respond(ends: Ends, index: int, offer: bytes, urandom: Callable[[int], bytes] = os.urandom) -> tuple[bytes, Roots]:
    """The answer to an offer, and the roots; `CryptoError` where the offer is none."""
    read = _read(offer, Offer)
    try:
        secret, ciphertext = MLKEM768PublicKey.from_public_bytes(read.kem_key).encapsulate()
    except ValueError:
        raise CryptoError("link exchange: the offer's ML-KEM key is none (FIPS 203, 7.2)") from None
    answered = Answer(urandom(RANDOM_SIZE), index, ciphertext)
    answer = msgspec.msgpack.encode(answered)
    return answer, _roots(ends, read, answered, ends.exchange(offer, answer), secret, initiates=False)


def _read(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CryptoError(f"link exchange: is no {kind.__name__.lower()}: {error}") from None


def _roots(ends: Ends, offer: Offer, answer: Answer, exchange: bytes, secret: bytes, *, initiates: bool) -> Roots:
    forth = _derive(secret + offer.random + answer.random, ends.initiator, ends.responder, answer.index, ends.geometry, exchange)
    back = _derive(secret + offer.random + answer.random, ends.responder, ends.initiator, offer.index, ends.geometry, exchange)
    if initiates:
        return Roots(send=forth, recv=back, index_in=offer.index, index_out=answer.index, exchange=exchange)
    return Roots(send=back, recv=forth, index_in=answer.index, index_out=offer.index, exchange=exchange)


def _derive(secret: bytes, sender: bytes, receiver: bytes, index: int, geometry: int, exchange: bytes) -> LockedBytes:
    root = LockedBytes(ROOT_SIZE)
    HKDF(SHA256(), ROOT_SIZE, None, root_info(sender, receiver, index, geometry, exchange)).derive_into(secret, root.view)
    return root
