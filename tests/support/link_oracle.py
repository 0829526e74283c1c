"""Link frames made by `cryptography` and hashlib, from the words of docs/wire-format.md: what the kernels are held to."""

import struct
from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20


def mask(root: bytes, tag: bytes, counter: bytes) -> bytes:
    key = blake2b(b"", digest_size=32, key=root, person=b"fastmix-mask-key").digest()
    return Cipher(ChaCha20(key, tag), None).encryptor().update(counter)


def seal_sealed(root: bytes, receiver_index: int, step: int, seq: int, plaintext: bytes) -> bytes:
    """A frame around any sealed part, also one with flags."""
    key = blake2b(struct.pack("<I", step), digest_size=32, key=root, person=b"fastmix-batchkey").digest()
    index, counter = struct.pack("<I", receiver_index), struct.pack("<II", step, seq)
    sealed = ChaCha20Poly1305(key).encrypt(bytes(4) + counter, plaintext, index)
    return index + mask(root, sealed[-16:], counter) + sealed


def seal_frame(root: bytes, receiver_index: int, step: int, seq: int, key_slot: int, packet: bytes) -> bytes:
    return seal_sealed(root, receiver_index, step, seq, bytes([key_slot, 0, 0, 0]) + packet)


def as_rows(frames: list[bytes]) -> np.ndarray:
    """u8[n, F] of frames of one length."""
    return np.frombuffer(b"".join(frames), np.uint8).reshape(len(frames), -1).copy()
