"""Whole unwraps from Python, one packet at a time: what a program makes of PyNaCl, or of PyCryptodome, without batches.

Neither has all primitives: PyNaCl has no bare ChaCha20 and takes PyCryptodome's, PyCryptodome has no BLAKE2b with
personalisation and takes hashlib's. Results are those of `fastmix.sphinx.unwrap` for a packet that is forwarded to a mixnode;
docs/wire-format.md has the steps.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from Crypto.Cipher import ChaCha20
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement

from fastmix.packet.geometry import ACTIONS_PAD_MAX, ACTIONS_SIZE, HEADER_SIZE, Action
from fastmix.reference.delay import DELAY_MAX, exponential

FIELD = 2**255 - 19
LEFT = 32
SMALL, PAYLOAD, BLINDING, TAG = b"sphinx-small-d-s", b"sphinx-pl-en-key", b"sphinx-blind-fac", b"sphinx-replay-tg"


@dataclass(frozen=True, slots=True)
class Primitives:
    """What one packet needs. `blake2b(message, key, size, personal, number)`."""

    name: str
    version: str
    x25519: Callable[[bytes, bytes], bytes]
    blake2b: Callable[[bytes, bytes, int, bytes, int], bytes]


def pycryptodome() -> Primitives:
    """X25519 and ChaCha20 of PyCryptodome, BLAKE2b of hashlib."""
    import Crypto

    def x25519(scalar: bytes, point: bytes) -> bytes:
        private, public = import_x25519_private_key(scalar), import_x25519_public_key(point)
        return key_agreement(static_priv=private, static_pub=public, kdf=bytes)

    def blake2b(message: bytes, key: bytes, size: int, personal: bytes, number: int) -> bytes:
        salt = number.to_bytes(16, "little")
        return hashlib.blake2b(message, key=key, digest_size=size, person=personal, salt=salt).digest()

    return Primitives("PyCryptodome", Crypto.__version__, x25519, blake2b)


def pynacl() -> Primitives | None:
    """X25519 and BLAKE2b of PyNaCl; None where it is not installed."""
    try:
        import nacl  # type: ignore[import-not-found, unused-ignore]
        from nacl.bindings import (  # type: ignore[import-not-found, unused-ignore]
            crypto_generichash_blake2b_salt_personal,
            crypto_scalarmult,
        )
    except ImportError:
        return None

    def blake2b(message: bytes, key: bytes, size: int, personal: bytes, number: int) -> bytes:
        salt = number.to_bytes(16, "little")
        return bytes(crypto_generichash_blake2b_salt_personal(message, size, key=key, salt=salt, person=personal))

    return Primitives("PyNaCl", str(nacl.__version__), crypto_scalarmult, blake2b)


def unwrap(use: Primitives, packet: bytes, secret: bytes, replay_key: bytes) -> tuple[int, float, bytes, bytes]:
    """(next index, delay, replay tag, packet of the next hop) of a packet that is forwarded; `ValueError` for any other."""
    kx_public, mac, actions = packet[:32], packet[32:48], packet[48:HEADER_SIZE]
    if int.from_bytes(kx_public, "little") >= FIELD:
        raise ValueError("kx_public is not canonical")
    shared = use.x25519(secret, kx_public)
    if not any(shared):
        raise ValueError("kx_public has low order")
    small = use.blake2b(b"", shared, 64, SMALL, 0)
    if use.blake2b(actions, small[:16], 16, b"", 0) != mac:
        raise ValueError("the MAC is wrong")
    tag = use.blake2b(shared, replay_key, 16, TAG, 0)
    plain = _chacha20(small[16:48], actions + bytes(ACTIONS_PAD_MAX))
    index = int.from_bytes(plain[:2], "little")
    if index >= Action.FORWARD_PEER:
        raise ValueError("the packet is not forwarded to a mixnode")
    delay = min(exponential(_words(small[48:])), DELAY_MAX)
    onward = use.x25519(use.blake2b(b"", kx_public + shared, 32, BLINDING, 0), kx_public)
    key = b"".join(use.blake2b(b"", shared, 64, PAYLOAD, number) for number in range(3))
    return index, delay, tag, onward + plain[2 : 18 + ACTIONS_SIZE] + _lioness_decrypt(use, key, packet[HEADER_SIZE:])


def _chacha20(key: bytes, data: bytes) -> bytes:
    return ChaCha20.new(key=key, nonce=bytes(12)).encrypt(data)


def _words(seed: bytes) -> Iterator[int]:
    stream = ChaCha20.new(key=seed + seed, nonce=bytes(12))
    while True:
        yield int.from_bytes(stream.encrypt(bytes(8)), "little")


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def _lioness_decrypt(use: Primitives, key: bytes, block: bytes) -> bytes:
    left, right = block[:LEFT], block[LEFT:]
    left = _xor(left, use.blake2b(right, key[128:], 32, b"", 0))
    right = _chacha20(_xor(left, key[96:128]), right)
    left = _xor(left, use.blake2b(right, key[32:96], 32, b"", 0))
    return left + _chacha20(_xor(left, key[:32]), right)
