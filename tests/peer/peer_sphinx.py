"""A second implementation of the packet, written from docs/wire-format.md sections 2 to 4; imports nothing of fastmix.

One packet at a time, readable before fast, not constant time: a test peer, never a client for people.
"""

import hashlib
import math
import os
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

DATA_SIZES = {"wan": 996, "jumbo": 2048}
GEOMETRY_CODES = {"wan": 1, "jumbo": 2}
HEADER, ACTIONS, TAG = 188, 140, 16
FORWARD_PEER, DELIVER_REQUEST, DELIVER_REPLY, COVER, COVER_ID = range(0xFF00, 0xFF05)
PRIME = 2**255 - 19


class Dropped(Exception):
    """The packet must be dropped; the text says at which check."""


def x25519(scalar, point):
    try:
        return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise Dropped("low order") from None


def public_of(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def chacha20(key, size, nonce=bytes(16)):
    """Keystream; `nonce` is block counter u32 LE and 12 nonce bytes."""
    return Cipher(algorithms.ChaCha20(key, nonce), None).encryptor().update(bytes(size))


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def derive(personal, index, key, size=64):
    return hashlib.blake2b(b"", digest_size=size, key=key, person=personal, salt=bytes([index]) + bytes(15)).digest()


def small_secrets(shared):
    """mac key 16, actions key 32, delay seed 16."""
    out = derive(b"sphinx-small-d-s", 0, shared)
    return out[:16], out[16:48], out[48:]


def payload_key(shared):
    return b"".join(derive(b"sphinx-pl-en-key", index, shared) for index in range(3))


def blinding(kx_public, shared):
    return derive(b"sphinx-blind-fac", 0, kx_public + shared, 32)


def mac_of(mac_key, actions):
    return hashlib.blake2b(actions, digest_size=16, key=mac_key).digest()


def _rounds(block, steps):
    left, right = block[:32], block[32:]
    for stream_key, hash_key in steps:
        if stream_key is not None:
            right = xor(right, chacha20(xor(left, stream_key), len(right)))
        else:
            left = xor(left, hashlib.blake2b(right, digest_size=32, key=hash_key).digest())
    return left + right


def _lioness_steps(key):
    return [(key[:32], None), (None, key[32:96]), (key[96:128], None), (None, key[128:192])]


def lioness_encrypt(block, key):
    return _rounds(block, _lioness_steps(key))


def lioness_decrypt(block, key):
    return _rounds(block, _lioness_steps(key)[::-1])


@dataclass
class Header:
    """A built header and what its maker keeps: the payload key of each hop."""

    bytes: bytes
    payload_keys: list


def build_header(publics, targets, last):
    """`publics`: the hops' X25519 keys; `targets`: after each hop but the last an index (int) or a peer id (bytes);
    `last`: the last hop's action, 2 or 18 bytes."""
    secret = os.urandom(32)
    kx_public, factors, shared, first = public_of(secret), [], [], None
    for public in publics:
        first = first or kx_public
        point = x25519(secret, public)
        for factor in factors:
            point = x25519(factor, point)
        shared.append(point)
        factors.append(blinding(kx_public, point))
        kx_public = x25519(factors[-1], kx_public)
    codes = [struct.pack("<H", t) if isinstance(t, int) else struct.pack("<H", FORWARD_PEER) + t for t in targets]
    return Header(first + build_actions(shared, codes, last), [payload_key(s) for s in shared])


def build_actions(shared, codes, last):
    """mac and actions for the first hop: 156 bytes."""
    keys = [small_secrets(s) for s in shared]
    sizes = [len(code) + TAG for code in codes]
    tail = b""
    for (_, key, _), size in zip(keys, sizes, strict=False):
        stream = chacha20(key, ACTIONS + size)
        tail = xor(tail + bytes(size), stream[ACTIONS - len(tail) :])
    body = last + os.urandom(ACTIONS - len(tail) - len(last))
    actions = xor(body, chacha20(keys[-1][1], len(body))) + tail
    for (_, key, _), code, (mac_key, _, _) in list(zip(keys, codes, keys[1:], strict=False))[::-1]:
        plain = code + mac_of(mac_key, actions) + actions
        actions = xor(plain[:ACTIONS], chacha20(key, ACTIONS))
    return mac_of(keys[0][0], actions) + actions


def build_request(data, publics, targets):
    header = build_header(publics, targets, struct.pack("<H", DELIVER_REQUEST))
    payload = data + bytes(TAG)
    for key in header.payload_keys[::-1]:
        payload = lioness_encrypt(payload, key)
    return header.bytes + payload


def build_cover(geometry, publics, targets, cover_id=None):
    last = struct.pack("<H", COVER) if cover_id is None else struct.pack("<H", COVER_ID) + cover_id
    return build_header(publics, targets, last).bytes + os.urandom(DATA_SIZES[geometry] + TAG)


def build_surb(first, publics, targets, surb_id):
    """(the SURB, 222 bytes; the keys that its maker keeps, in order of use by `open_reply`)."""
    header = build_header(publics, targets, struct.pack("<H", DELIVER_REPLY) + surb_id)
    secret = os.urandom(32)
    keys = [payload_key(secret), *header.payload_keys[:-1]]
    return struct.pack("<H", first) + header.bytes + secret, keys[::-1]


def build_reply(data, surb):
    """(mixnode index of the first hop, packet)."""
    payload = lioness_decrypt(data + bytes(TAG), payload_key(surb[-32:]))
    return struct.unpack("<H", surb[:2])[0], surb[2:-32] + payload


def open_reply(payload, keys):
    for key in keys:
        payload = lioness_encrypt(payload, key)
    return checked(payload)


def checked(payload):
    if payload[-TAG:] != bytes(TAG):
        raise Dropped("payload tag")
    return payload[:-TAG]


@dataclass
class Unwrapped:
    """What one hop learns. `packet`: the next hop's packet; for a delivery, data (request) or payload field (reply)."""

    action: int
    peer_id: bytes = b""
    surb_id: bytes = b""
    delay_seed: bytes = b""
    shared: bytes = b""
    packet: bytes = b""


def unwrap(packet, secret):
    kx_public, mac, actions, payload = packet[:32], packet[32:48], packet[48:HEADER], packet[HEADER:]
    if int.from_bytes(kx_public, "little") >= PRIME:
        raise Dropped("non-canonical")
    shared = x25519(secret, kx_public)
    mac_key, actions_key, delay_seed = small_secrets(shared)
    if mac_of(mac_key, actions) != mac:
        raise Dropped("mac")
    plain = xor(actions + bytes(50), chacha20(actions_key, ACTIONS + 50))
    (code,) = struct.unpack("<H", plain[:2])
    out = Unwrapped(code, delay_seed=delay_seed, shared=shared)
    if code == DELIVER_REQUEST:
        out.packet = checked(lioness_decrypt(payload, payload_key(shared)))
    elif code == DELIVER_REPLY:
        out.surb_id, out.packet = plain[2:18], payload
    elif code == COVER_ID:
        out.surb_id = plain[2:18]
    elif code <= FORWARD_PEER:
        at = 34 if code == FORWARD_PEER else 2
        out.peer_id = plain[2:at]
        next_public = x25519(blinding(kx_public, shared), kx_public)
        mac_and_actions = plain[at : at + TAG + ACTIONS]
        out.packet = next_public + mac_and_actions + lioness_decrypt(payload, payload_key(shared))
    elif code != COVER:
        raise Dropped("action")
    return out


ZIGGURAT_R, ZIGGURAT_V = 7.69711747013104972, 0.0039496598225815571993


def ziggurat_tables():
    x = [ZIGGURAT_V / math.exp(-ZIGGURAT_R), ZIGGURAT_R]
    for _ in range(254):
        x.append(-math.log(ZIGGURAT_V / x[-1] + math.exp(-x[-1])))
    x.append(0.0)
    return x, [math.exp(-value) for value in x]


X_TABLE, F_TABLE = ziggurat_tables()


def delay(seed):
    """Exp(1), at most 10."""
    words = struct.iter_unpack("<Q", chacha20(seed + seed, 4096))
    while True:
        (bits,) = next(words)
        i = bits & 255
        u = struct.unpack("<d", struct.pack("<Q", 1023 << 52 | bits >> 12))[0] - (1 - 2.0**-53)
        x = u * X_TABLE[i]
        if x < X_TABLE[i + 1]:
            return min(x, 10.0)
        uniform = (next(words)[0] >> 11) * 2.0**-53
        if i == 0:
            return min(ZIGGURAT_R - math.log(uniform), 10.0)
        if F_TABLE[i + 1] + (F_TABLE[i] - F_TABLE[i + 1]) * uniform < math.exp(-x):
            return min(x, 10.0)
