"""What a careful program without fastmix would do: one packet at a time, each primitive from a well-known library.

X25519 and ChaCha20 are OpenSSL's (through `cryptography`), BLAKE2b is Python's own. Same format, same checks, same bytes: the
benchmarks compare the results before they time anything.
"""

from collections.abc import Sequence
from hashlib import blake2b
from os import urandom

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fastmix.packet.geometry import (
    ACTIONS_AT,
    ACTIONS_SIZE,
    HEADER_SIZE,
    KX_PUBLIC_SIZE,
    MAC_AT,
    MAC_SIZE,
    PAYLOAD_TAG_SIZE,
    Action,
)

FORWARD_SIZE = 2 + MAC_SIZE
"""Bytes of an action that forwards to a mixnode: its index, the next mac."""


def chacha20(key: bytes, data: bytes) -> bytes:
    """ChaCha20 with block counter and nonce zero."""
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(data)


def derived(personal: bytes, number: int, key: bytes) -> bytes:
    """64 bytes: keyed BLAKE2b of nothing, as the format derives its keys."""
    return blake2b(b"", key=key, person=personal, salt=number.to_bytes(16, "little")).digest()


def mac_of(key: bytes, actions: bytes) -> bytes:
    """The header's mac over 140 bytes of actions."""
    return blake2b(actions, key=key, digest_size=MAC_SIZE).digest()


def payload_keys(shared: bytes) -> bytes:
    """192 bytes for LIONESS."""
    return b"".join(derived(b"sphinx-pl-en-key", i, shared) for i in range(3))


def blinding(kx_public: bytes, shared: bytes) -> X25519PrivateKey:
    """The scalar by which a hop blinds kx_public."""
    digest = blake2b(b"", key=kx_public + shared, person=b"sphinx-blind-fac", digest_size=32).digest()
    return X25519PrivateKey.from_private_bytes(digest)


def multiplied(scalar: X25519PrivateKey, point: bytes) -> bytes:
    """X25519; ValueError where the result is zero."""
    return scalar.exchange(X25519PublicKey.from_public_bytes(point))


def exclusive_or(a: bytes, b: bytes) -> bytes:
    """a xor b, of equal length."""
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))


def lioness(keys: bytes, block: bytes, *, backwards: bool) -> bytes:
    """Four rounds over a left half of 32 bytes and the rest; keys are 32 + 64 + 32 + 64 bytes."""
    left, right = block[:32], block[32:]
    rounds = [(keys[:32], keys[32:96]), (keys[96:128], keys[128:192])]
    for stream_key, hash_key in rounds[::-1] if backwards else rounds:
        if backwards:
            left = exclusive_or(left, blake2b(right, key=hash_key, digest_size=32).digest())
        right = chacha20(exclusive_or(left, stream_key), right)
        if not backwards:
            left = exclusive_or(left, blake2b(right, key=hash_key, digest_size=32).digest())
    return left + right


def unwrap(packet: bytes, secret: X25519PrivateKey) -> tuple[int, bytes]:
    """(index of the next mixnode, its packet) of a packet that is to be forwarded; ValueError where it is anything else."""
    kx_public, mac = packet[:KX_PUBLIC_SIZE], packet[MAC_AT:ACTIONS_AT]
    actions, payload = packet[ACTIONS_AT:HEADER_SIZE], packet[HEADER_SIZE:]
    shared = multiplied(secret, kx_public)
    keys = derived(b"sphinx-small-d-s", 0, shared)
    if mac_of(keys[:16], actions) != mac:
        raise ValueError("mac")
    opened = chacha20(keys[16:48], actions + bytes(FORWARD_SIZE))
    index = int.from_bytes(opened[:2], "little")
    if index >= Action.FORWARD_PEER:
        raise ValueError("not a forward")
    header = multiplied(blinding(kx_public, shared), kx_public) + opened[2 : FORWARD_SIZE + ACTIONS_SIZE]
    return index, header + lioness(payload_keys(shared), payload, backwards=True)


def shared_secrets(publics: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """(kx_public of the first hop, the secret shared with each hop)."""
    secret = X25519PrivateKey.generate()
    first = kx_public = secret.public_key().public_bytes_raw()
    factors: list[X25519PrivateKey] = []
    shared: list[bytes] = []
    for public in publics:
        point = multiplied(secret, public)
        for factor in factors:
            point = multiplied(factor, point)
        shared.append(point)
        factors.append(blinding(kx_public, point))
        kx_public = multiplied(factors[-1], kx_public)
    return first, shared


def mac_and_actions(shared: Sequence[bytes], targets: Sequence[int]) -> bytes:
    """The first hop's mac and actions for a route of mixnode indices that ends in a delivered request."""
    keys = [derived(b"sphinx-small-d-s", 0, point) for point in shared]
    tail = b""
    for key in keys[:-1]:
        stream = chacha20(key[16:48], bytes(ACTIONS_SIZE + FORWARD_SIZE))
        tail = exclusive_or(tail + bytes(FORWARD_SIZE), stream[ACTIONS_SIZE - len(tail) :])
    last = Action.DELIVER_REQUEST.to_bytes(2, "little")
    actions = chacha20(keys[-1][16:48], last + urandom(ACTIONS_SIZE - len(tail) - len(last))) + tail
    mac = mac_of(keys[-1][:16], actions)
    for key, target in zip(keys[-2::-1], targets[::-1], strict=True):
        actions = chacha20(key[16:48], (target.to_bytes(2, "little") + mac + actions)[:ACTIONS_SIZE])
        mac = mac_of(key[:16], actions)
    return mac + actions


def build_request(data: bytes, publics: Sequence[bytes], targets: Sequence[int]) -> bytes:
    """A packet over `data`, along hops with these X25519 keys; `targets` are the mixnode indices after the first."""
    kx_public, shared = shared_secrets(publics)
    payload = data + bytes(PAYLOAD_TAG_SIZE)
    for point in reversed(shared):
        payload = lioness(payload_keys(point), payload, backwards=False)
    return kx_public + mac_and_actions(shared, targets) + payload
