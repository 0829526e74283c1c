"""HKDF-SHA256: RFC 5869, over the standard library's HMAC."""

import hashlib
import hmac

HASH_SIZE = 32


def _hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes."""
    return hmac.digest(key, message, hashlib.sha256)


def hkdf_sha256(secret: bytes, size: int, info: bytes, salt: bytes = b"") -> bytes:
    """`size` bytes from `secret`. An empty salt is 32 zero bytes. `ValueError` beyond 8,160 bytes."""
    if size > 255 * HASH_SIZE:
        raise ValueError(f"HKDF-SHA256 gives at most {255 * HASH_SIZE} bytes, not {size}")
    pseudorandom = _hmac(salt or bytes(HASH_SIZE), secret)  # extract, section 2.2
    output, last = b"", b""
    for number in range(1, -(-size // HASH_SIZE) + 1):  # expand, section 2.3
        last = _hmac(pseudorandom, last + info + bytes([number]))
        output += last
    return output[:size]
