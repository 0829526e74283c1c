"""The link frame in plain Python: roots, sealing and opening, replay window. docs/wire-format.md has the bytes.

Frame: `receiver_index u32 | counter (step u32, seq u32), masked | sealed (key_slot u8 | flags u8 | zero u16 | packet) | tag 16`,
all numbers little endian. Sealing is ChaCha20-Poly1305 (RFC 8439) under a key of the step; masking is that of QUIC (RFC 9001
section 5.4.4).
"""

from dataclasses import dataclass

from fastmix.packet.geometry import (
    COUNTER_END,
    FRAME_COUNTER_AT,
    FRAME_OVERHEAD,
    FRAME_SEALED_AT,
    FRAME_TAG_SIZE,
    WINDOW_SIZE,
    Geometry,
)
from fastmix.packet.verdict import Verdict
from fastmix.reference import aead
from fastmix.reference.blake2b import blake2b
from fastmix.reference.chacha20 import keystream, xor
from fastmix.reference.hkdf import hkdf_sha256

ROOT_LABEL = b"fastmix link root v1"
INDEX_LABEL = b"fastmix static index"
MASK_PERSONAL = b"fastmix-mask-key"
BATCH_PERSONAL = b"fastmix-batchkey"
STATIC_EXCHANGE = bytes(32)
"""The exchange hash of a static root: there was no exchange."""


def u32(number: int) -> bytes:
    """Four bytes, little endian."""
    return number.to_bytes(4, "little")


def static_index(secret: bytes, sender_id: bytes, receiver_id: bytes) -> int:
    """The `receiver_index` of a static root: from the pair's 32-byte secret and both link ids, 32 bytes each."""
    return int.from_bytes(hkdf_sha256(secret, 4, INDEX_LABEL + sender_id + receiver_id), "little")


def link_root(
    secret: bytes,
    sender_id: bytes,
    receiver_id: bytes,
    receiver_index: int,
    geometry: Geometry,
    exchange_hash: bytes = STATIC_EXCHANGE,
) -> bytes:
    """The 32-byte root of one direction of a link."""
    info = ROOT_LABEL + sender_id + receiver_id + u32(receiver_index) + bytes([geometry.code]) + exchange_hash
    return hkdf_sha256(secret, 32, info)


def mask_key(root: bytes) -> bytes:
    """The key that masks the counters under a root, 32 bytes."""
    return blake2b(b"", size=32, key=root, personal=MASK_PERSONAL)


def batch_key(root: bytes, step: int) -> bytes:
    """The key of one batch, 32 bytes."""
    return blake2b(u32(step), size=32, key=root, personal=BATCH_PERSONAL)


def counter_mask(root: bytes, tag: bytes) -> bytes:
    """The 8 bytes that are XORed to the counter of the frame that ends in `tag`."""
    return keystream(mask_key(root), 8, nonce=tag[4:], counter=int.from_bytes(tag[:4], "little"))


def seal(root: bytes, receiver_index: int, step: int, seq: int, key_slot: int, packet: bytes) -> bytes:
    """The frame of a packet. `ValueError` where the root is used up: never a (key, nonce) twice."""
    if not (0 <= step < COUNTER_END and 0 <= seq < COUNTER_END):
        raise ValueError(f"step {step}, seq {seq}: a link root ends at 2^31 of either; the link needs a new root")
    index, counter = u32(receiver_index), u32(step) + u32(seq)
    plain = bytes([key_slot, 0, 0, 0]) + packet
    sealed = aead.seal(batch_key(root, step), bytes(4) + counter, plain, aad=index)
    return index + xor(counter, counter_mask(root, sealed[-FRAME_TAG_SIZE:])) + sealed


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened frame. After a drop only the verdict holds."""

    verdict: Verdict
    step: int = 0
    seq: int = 0
    key_slot: int = 0
    packet: bytes = b""


def open_frame(root: bytes, frame: bytes) -> Opened:
    """Opens a frame whose `receiver_index` named this root. The window over `seq` is the caller's: `Window`."""
    if len(frame) < FRAME_OVERHEAD:
        return Opened(Verdict.DROP_LENGTH)
    index, sealed = frame[:FRAME_COUNTER_AT], frame[FRAME_SEALED_AT:]
    counter = xor(frame[FRAME_COUNTER_AT:FRAME_SEALED_AT], counter_mask(root, sealed[-FRAME_TAG_SIZE:]))
    step, seq = int.from_bytes(counter[:4], "little"), int.from_bytes(counter[4:], "little")
    plain = aead.open_sealed(batch_key(root, step), bytes(4) + counter, sealed, aad=index)
    if plain is None:
        return Opened(Verdict.DROP_LINK_AUTH)
    if step >= COUNTER_END or seq >= COUNTER_END:
        return Opened(Verdict.DROP_LINK_EXHAUSTED)
    if plain[1:4] != bytes(3):
        return Opened(Verdict.DROP_LINK_FLAGS)
    return Opened(Verdict.OK, step, seq, plain[0], plain[4:])


class Window:
    """The replay window over `seq`: the last 8,192 numbers up to the largest accepted one. RFC 6479's answers, kept as a set."""

    def __init__(self) -> None:
        self._accepted: set[int] = set()
        self._top = 0

    def accept(self, seq: int) -> Verdict:
        """`OK` and remembered, `DROP_LINK_REPLAY`, or `DROP_LINK_OLD`."""
        if seq + WINDOW_SIZE < self._top:
            return Verdict.DROP_LINK_OLD
        if seq in self._accepted:
            return Verdict.DROP_LINK_REPLAY
        if seq >= self._top:
            self._top = seq + 1
            self._accepted = {old for old in self._accepted if old + WINDOW_SIZE >= self._top}
        self._accepted.add(seq)
        return Verdict.OK
