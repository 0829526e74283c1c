"""LIONESS in plain Python: a wide-block cipher from a stream cipher and a hash (Anderson and Biham 1996).

The left half is 32 bytes, the right half the rest. Keys: k1 32 | k2 64 | k3 32 | k4 64; ChaCha20 with a zero nonce under
left XOR k, keyed BLAKE2b-256 of the right half.
"""

from fastmix.packet.geometry import PAYLOAD_KEY_SIZE
from fastmix.reference.blake2b import blake2b
from fastmix.reference.chacha20 import encrypt as chacha20
from fastmix.reference.chacha20 import xor

LEFT_SIZE = 32


def _keys(key: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """k1 to k4 of the 192-byte key."""
    if len(key) != PAYLOAD_KEY_SIZE:
        raise ValueError(f"LIONESS takes a key of {PAYLOAD_KEY_SIZE} bytes, not {len(key)}")
    return key[:32], key[32:96], key[96:128], key[128:]


def _stream(left: bytes, right: bytes, key: bytes) -> bytes:
    """The right half after a stream round."""
    return chacha20(xor(left, key), right)


def _hash(left: bytes, right: bytes, key: bytes) -> bytes:
    """The left half after a hash round."""
    return xor(left, blake2b(right, size=LEFT_SIZE, key=key))


def encrypt(key: bytes, block: bytes) -> bytes:
    """The encrypted block, of the same size (more than 32 bytes)."""
    k1, k2, k3, k4 = _keys(key)
    left, right = block[:LEFT_SIZE], block[LEFT_SIZE:]
    right = _stream(left, right, k1)
    left = _hash(left, right, k2)
    right = _stream(left, right, k3)
    left = _hash(left, right, k4)
    return left + right


def decrypt(key: bytes, block: bytes) -> bytes:
    """The inverse of `encrypt`: its rounds from last to first."""
    k1, k2, k3, k4 = _keys(key)
    left, right = block[:LEFT_SIZE], block[LEFT_SIZE:]
    left = _hash(left, right, k4)
    right = _stream(left, right, k3)
    left = _hash(left, right, k2)
    right = _stream(left, right, k1)
    return left + right
