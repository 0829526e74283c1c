"""A second implementation of link frame and static roots (docs/wire-format.md 6 and 7); imports nothing of fastmix."""

import hashlib
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from peer_sphinx import DATA_SIZES, GEOMETRY_CODES, Dropped, chacha20, xor

OVERHEAD, END, WINDOW = 32, 1 << 31, 8192


def node_id(number):
    return b"fastmix node" + struct.pack("<I", number) + bytes(16)


def hkdf(secret, info, size):
    return HKDF(SHA256(), size, None, info).derive(secret)


def static_index(secret, sender, receiver):
    return struct.unpack("<I", hkdf(secret, b"fastmix static index" + sender + receiver, 4))[0]


def static_root(secret, sender, receiver, geometry):
    """(receiver_index, root) of one direction."""
    index = static_index(secret, sender, receiver)
    info = b"fastmix link root v1" + sender + receiver + struct.pack("<IB", index, GEOMETRY_CODES[geometry]) + bytes(32)
    return index, hkdf(secret, info, 32)


def mask_key(root):
    return hashlib.blake2b(b"", digest_size=32, key=root, person=b"fastmix-mask-key").digest()


def batch_key(root, step):
    return hashlib.blake2b(struct.pack("<I", step), digest_size=32, key=root, person=b"fastmix-batchkey").digest()


def seal(root, index, step, seq, key_slot, packet):
    counter, head = struct.pack("<II", step, seq), struct.pack("<I", index)
    plain = bytes([key_slot, 0, 0, 0]) + packet
    sealed = ChaCha20Poly1305(batch_key(root, step)).encrypt(bytes(4) + counter, plain, head)
    return head + xor(counter, chacha20(mask_key(root), 8, sealed[-16:])) + sealed


def open_frame(root, frame):
    """(step, seq, key_slot, packet)."""
    counter = xor(frame[4:12], chacha20(mask_key(root), 8, frame[-16:]))
    step, seq = struct.unpack("<II", counter)
    try:
        plain = ChaCha20Poly1305(batch_key(root, step)).decrypt(bytes(4) + counter, frame[12:], frame[:4])
    except InvalidTag:
        raise Dropped("link tag") from None
    if step >= END or seq >= END:
        raise Dropped("exhausted")
    if plain[1:4] != bytes(3):
        raise Dropped("flags")
    return step, seq, plain[0], plain[4:]


@dataclass
class Link:
    """Both directions of a static link, seen from `me`."""

    secret: bytes
    me: bytes
    other: bytes
    geometry: str
    step: int = 0
    seq: int = 0
    top: int = 0
    seen: set = field(default_factory=set)

    def __post_init__(self):
        self.index_out, self.root_out = static_root(self.secret, self.me, self.other, self.geometry)
        self.index_in, self.root_in = static_root(self.secret, self.other, self.me, self.geometry)

    def seal(self, packets, key_slot=0):
        """The frames of one batch."""
        frames = [seal(self.root_out, self.index_out, self.step, self.seq + i, key_slot, p) for i, p in enumerate(packets)]
        self.step, self.seq = self.step + 1, self.seq + len(packets)
        return frames

    def open(self, frame):
        """(key_slot, packet)."""
        if len(frame) != DATA_SIZES[self.geometry] + 204 + OVERHEAD:
            raise Dropped("length")
        if frame[:4] != struct.pack("<I", self.index_in):
            raise Dropped("index")
        _, seq, key_slot, packet = open_frame(self.root_in, frame)
        if seq in self.seen or seq + WINDOW < self.top:
            raise Dropped("link replay")
        self.top = max(self.top, seq + 1)
        self.seen.add(seq)
        return key_slot, packet
