"""The AEAD of ChaCha20 and Poly1305 in plain Python: RFC 8439 section 2.8."""

from fastmix.reference.chacha20 import encrypt, keystream
from fastmix.reference.poly1305 import poly1305

TAG_SIZE = 16


def _padded(data: bytes) -> bytes:
    """`data` filled with zeros to a multiple of 16 bytes."""
    return data + bytes(-len(data) % 16)


def tag_of(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """The 16-byte tag; its Poly1305 key is the start of keystream block 0 (RFC 8439 section 2.6)."""
    sizes = len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    return poly1305(keystream(key, 32, nonce), _padded(aad) + _padded(ciphertext) + sizes)


def seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """Ciphertext, then tag: key 32 bytes, nonce 12 bytes."""
    ciphertext = encrypt(key, plaintext, nonce, counter=1)
    return ciphertext + tag_of(key, nonce, ciphertext, aad)


def open_sealed(key: bytes, nonce: bytes, sealed: bytes, aad: bytes = b"") -> bytes | None:
    """The plaintext, or None where the tag is wrong."""
    ciphertext, tag = sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]
    if len(sealed) < TAG_SIZE or tag_of(key, nonce, ciphertext, aad) != tag:
        return None
    return encrypt(key, ciphertext, nonce, counter=1)
