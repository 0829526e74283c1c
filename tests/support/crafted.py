"""Packets of one layer for one node, whose first action is what a test wants, also what no builder would write.

Made with hashlib, the oracle and the C primitives, which tests/kernels holds to published vectors; not with the code under test.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import oracle
from published import random_rows, rows

from fastmix.kernels import _native
from fastmix.packet.geometry import ACTIONS_SIZE, Action, Geometry

Rows = npt.NDArray[np.uint8]
BASE = (9).to_bytes(32, "little")


def derived(personal: bytes, number: int, shared: bytes) -> bytes:
    return hashlib.blake2b(key=shared, salt=number.to_bytes(16, "little"), person=personal).digest()


def crafted(secret: bytes, first_action: bytes, payload: bytes, seed: int) -> bytes:
    """One packet: `first_action` begins the decrypted actions (random after it), `payload` is what the node decrypts."""
    private = random_rows(seed, 1, 32)
    public = _native.x25519(rows(secret), rows(BASE))
    kx_public = _native.x25519(private, rows(BASE))[0].tobytes()
    shared = _native.x25519(private, public)[0].tobytes()
    small = derived(b"sphinx-small-d-s", 0, shared)
    actions = first_action + random_rows(seed + 1, 1, ACTIONS_SIZE)[0].tobytes()[len(first_action) :]
    actions = _native.chacha20(rows(small[16:48]), rows(actions))[0].tobytes()
    mac = hashlib.blake2b(actions, key=small[:16], digest_size=16).digest()
    key = b"".join(derived(b"sphinx-pl-en-key", number, shared) for number in range(3))
    return kx_public + mac + actions + oracle.lioness_encrypt(key, payload)


def first_actions(n: int) -> list[bytes]:
    """Every kind in turn: forward (all of 0, 0xfeff between), forward to a peer, deliver request and reply, covers."""
    codes = [0, Action.FORWARD_PEER, Action.DELIVER_REQUEST, 0xFEFF, Action.DELIVER_REPLY, Action.COVER, 0x1234, Action.COVER_ID]
    return [int(codes[i % len(codes)]).to_bytes(2, "little") for i in range(n)]


def mixed_packets(geometry: Geometry, secret: bytes, n: int) -> Rows:
    """n packets of all kinds in turn, u8[n, P]."""
    payloads = random_rows(n, n, geometry.data_size)
    made = [crafted(secret, action, payloads[i].tobytes() + bytes(16), 1000 + 2 * i) for i, action in enumerate(first_actions(n))]
    return rows(*made) if n else np.zeros((0, geometry.packet_size), np.uint8)
